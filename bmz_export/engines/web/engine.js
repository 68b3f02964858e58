// ONNX Runtime Web on WebAssembly: one session, float32 images in, tensors out.

import * as ort from "/ort/ort.wasm.min.mjs";

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array,
  uint8: Uint8Array, int8: Int8Array, bool: Uint8Array,
};

let session;

/** Load the model; resolves to the seconds it took. */
export async function load(threads) {
  const started = performance.now();
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create("/model.onnx", { executionProviders: ["wasm"] });
  return (performance.now() - started) / 1000;
}

/** Fetch an array that the server holds. */
export async function fetchImage(key) {
  const response = await fetch(`/image/${key}`);
  const shape = response.headers.get("X-Shape").split(",").map(Number);
  return { data: new Float32Array(await response.arrayBuffer()), shape };
}

/** Run the network on an image; resolves to its output tensors, each {data, shape, type}. */
export async function run({ data, shape }) {
  const feeds = { [session.inputNames[0]]: new ort.Tensor("float32", data, shape) };
  const results = await session.run(feeds);
  return session.outputNames.map((name) => {
    const tensor = results[name];
    if (!(tensor.type in ARRAYS)) throw new Error(`the output ${name} is of type ${tensor.type}`);
    return { data: tensor.data, shape: tensor.dims, type: tensor.type };
  });
}

/** Send a tensor back to the server. */
export async function send({ data, shape, type }) {
  const body = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  await fetch("/result", { method: "POST", headers: { "X-Shape": shape.join(","), "X-Type": type }, body });
}
