// The page for a person: an image before and after the network, a detail, a profile, and the package's own test.

import { fetchImage, load, run } from "/engine.js";

const $ = (id) => document.getElementById(id);
const DETAIL = 56; // pixels a side of the magnified square

const COLOURS = {
  Grey: (v) => [v, v, v],
  Green: (v) => [v * v * 0.25, v, v * v * 0.45],
  Fire: (v) => [Math.min(1, 2.2 * v), Math.max(0, Math.min(1, 2.1 * v - 0.75)), Math.max(0, Math.min(1, 4 * v - 3)) + 0.35 * v * (1 - v)],
};

function say(text) {
  $("state").textContent = text;
  return new Promise((done) => requestAnimationFrame(() => setTimeout(done, 30))); // let the browser paint before it computes
}

/** The values below which the given fractions of an image's pixels lie. */
function quantiles(data, fractions) {
  const sorted = Float32Array.from(data).sort();
  return fractions.map((f) => sorted[Math.round(f * (sorted.length - 1))]);
}

function paint(canvas, image, { low, high, colour }, [top, left, height, width] = [0, 0, ...image.shape.slice(2)]) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const columns = image.shape[3];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const value = image.data[(top + y) * columns + left + x];
      const [r, g, b] = colour(Math.min(1, Math.max(0, (value - low) / (high - low || 1))));
      pixels.data.set([255 * r, 255 * g, 255 * b, 255], at);
    }
  }
  context.putImageData(pixels, 0, 0);
}

/** The square with the most structure left in it after denoising, a little away from the edges: its top left corner. */
function detail(image, high) {
  const [height, width] = image.shape.slice(2);
  const side = Math.min(DETAIL, height, width);
  const at = (index) => Math.min(high, image.data[index]);
  let best = { score: -1, top: 0, left: 0 };
  const step = Math.max(4, side >> 2);
  for (let top = 0; top + side <= height; top += step) {
    for (let left = 0; left + side <= width; left += step) {
      let score = 0;
      for (let y = top + 1; y < top + side; y += 2) {
        for (let x = left + 1; x < left + side; x += 2) {
          const here = y * width + x;
          score += Math.abs(at(here) - at(here - 1)) + Math.abs(at(here) - at(here - width));
        }
      }
      if (score > best.score) best = { score, top, left };
    }
  }
  return { ...best, side };
}

function drawProfile(before, after, row) {
  const width = before.shape[3];
  const cut = (image) => image.data.subarray(row * width, (row + 1) * width);
  const [low] = quantiles(cut(after), [0]);
  const high = Math.max(...quantiles(cut(before), [0.995]), ...quantiles(cut(after), [1]));
  const line = (image) =>
    Array.from(cut(image), (v, x) => `${x},${(126 - (120 * (v - low)) / (high - low || 1)).toFixed(2)}`).join(" ");
  const svg = $("profile");
  svg.setAttribute("viewBox", `0 0 ${width - 1} 130`);
  svg.innerHTML =
    `<polyline points="${line(before)}" fill="none" stroke="var(--before)" stroke-opacity=".5" stroke-width="1" vector-effect="non-scaling-stroke"/>` +
    `<polyline points="${line(after)}" fill="none" stroke="var(--after)" stroke-width="1.8" vector-effect="non-scaling-stroke" stroke-linejoin="round"/>`;
}

function place(box, image) {
  const frame = $("frame").getBoundingClientRect();
  const [height, width] = image.shape.slice(2);
  const zoom = Math.min(frame.width / width, frame.height / height);
  $("pair").style.width = $("bar").style.width = `${width * zoom}px`;
  $("pair").style.height = `${height * zoom}px`;
  Object.assign($("found").style, {
    left: `${(100 * box.left) / width}%`, top: `${(100 * box.top) / height}%`,
    width: `${(100 * box.side) / width}%`, height: `${(100 * box.side) / height}%`,
  });
}

function listenToDivider() {
  const pair = $("pair");
  const divider = $("divider");
  const set = (percent) => {
    const value = Math.min(100, Math.max(0, percent));
    pair.style.setProperty("--split", `${value}%`);
    divider.setAttribute("aria-valuenow", Math.round(value));
  };
  const follow = (event) => {
    const box = pair.getBoundingClientRect();
    set((100 * (event.clientX - box.left)) / box.width);
  };
  pair.addEventListener("pointerdown", (event) => { pair.setPointerCapture(event.pointerId); follow(event); });
  pair.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  divider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
    if (step) set(Number(divider.getAttribute("aria-valuenow")) + step);
  });
  set(50);
}

function show(facts) {
  for (const [name, value] of facts) {
    $("facts").append(Object.assign(document.createElement("dt"), { textContent: name }));
    $("facts").append(Object.assign(document.createElement("dd"), { textContent: value }));
  }
}

/** Run the package's own test image and say how far its stated output is. */
async function selfTest() {
  const response = await fetch("/image/test-input");
  if (!response.ok) return;
  const [wanted, [got]] = [await fetchImage("test-output"), await run(await fetchImage("test-input"))];
  let [largest, low, high] = [wanted.data.length === got.data.length ? 0 : Infinity, Infinity, -Infinity];
  for (let i = 0; i < wanted.data.length; i++) {
    const difference = Math.abs(got.data[i] - wanted.data[i]);
    if (!(difference <= largest)) largest = difference; // NaN counts as different
    low = Math.min(low, wanted.data[i]);
    high = Math.max(high, wanted.data[i]);
  }
  const relative = largest / (high - low || 1);
  const good = relative < 1e-4;
  const verdict = $("verdict");
  verdict.hidden = false;
  verdict.classList.toggle("bad", !good);
  verdict.append(
    Object.assign(document.createElement("b"), { textContent: good ? "The pixels are the package's own" : "Other pixels than the package states" }),
    Object.assign(document.createElement("span"), {
      textContent: `Its test image, run in this browser: largest difference ${relative.toExponential(1)} of the range`,
    }),
  );
}

async function main() {
  const scene = await (await fetch("/scene.json")).json();
  document.title = `${scene.image}: before and after`;
  $("title").textContent = scene.package;
  $("about").textContent = scene.about;
  const before = await fetchImage("input");
  const threads = scene.threads ?? Math.min(4, navigator.hardwareConcurrency);

  await say(`Loading ${scene.package}`);
  const loading = await load(threads);
  await say(`Denoising ${scene.image}`);
  const started = performance.now();
  const [after] = await run(before);
  const seconds = (performance.now() - started) / 1000;
  await say("Comparing with the package's own test image");
  await selfTest();

  const [height, width] = before.shape.slice(2);
  const [low, high] = quantiles(after.data, [0.002, 0.998]);
  const box = detail(after, high);
  const row = box.top + (box.side >> 1);
  const look = { low, high, colour: COLOURS.Grey };
  const square = [box.top, box.left, box.side, box.side];
  const draw = () => {
    paint($("before"), before, look);
    paint($("after"), after, look);
    paint($("crop-before"), before, look, square);
    paint($("crop-after"), after, look, square);
    const ramp = Float32Array.from({ length: 256 }, (_, i) => low + ((high - low) * i) / 255);
    paint($("scale"), { data: ramp, shape: [1, 1, 1, 256] }, look);
  };
  for (const name of Object.keys(COLOURS)) {
    const button = Object.assign(document.createElement("button"), { textContent: name, type: "button" });
    button.setAttribute("aria-pressed", name === "Grey");
    button.addEventListener("click", () => {
      look.colour = COLOURS[name];
      for (const each of $("colours").children) each.setAttribute("aria-pressed", each === button);
      draw();
    });
    $("colours").append(button);
  }
  draw();
  drawProfile(before, after, row);
  $("cut").style.top = `${(100 * (row + 0.5)) / height}%`;
  const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 4, useGrouping: false });
  $("low").textContent = number(low);
  $("high").textContent = number(high);
  const part = scene.whole[0] === height && scene.whole[1] === width ? "" : ` of ${scene.whole[1]} × ${scene.whole[0]}`;
  show([
    ["Image", scene.image],
    ["Pixels", `${width} × ${height}${part}`],
    ["Denoised in", `${seconds.toFixed(2)} s`],
    ["Weights", `ONNX, ${scene.weights} MB, loaded in ${loading.toFixed(1)} s`],
    ["Runs on", `ONNX Runtime Web ${scene.version}, ${threads === 1 ? "1 thread" : `${threads} threads`}`],
  ]);
  listenToDivider();
  place(box, before);
  addEventListener("resize", () => place(box, before));
  document.body.dataset.state = "done";
}

main().catch((error) => {
  document.body.dataset.reason = String(error.message ?? error);
  document.body.dataset.state = "failed";
  $("state").textContent = `The network could not be run here. ${error.message ?? error}`;
});
