"""A module as it runs in the tools: traced and read back, or exported to ONNX."""

import contextlib
import io
import warnings
import zipfile

import onnxruntime
import torch


def traced(module, example):
    """Return the module traced, saved and loaded, and the code in the archive."""
    stream = io.BytesIO()
    with _only_known_deprecations():
        torch.jit.save(torch.jit.trace(module, example), stream)
        stream.seek(0)
        loaded = torch.jit.load(stream)
    with zipfile.ZipFile(stream) as archive:
        code = "".join(archive.read(name).decode() for name in archive.namelist() if name.endswith(".py"))
    return loaded, code


def onnx(module, example):
    """Return a function from tensor to tensor that runs the ONNX export of the module, opset 17."""
    stream = io.BytesIO()
    dynamic = {0: "batch", 2: "y", 3: "x"}
    with _only_known_deprecations():
        torch.onnx.export(
            module,
            (example,),
            stream,
            dynamo=False,
            opset_version=17,
            input_names=["raw"],
            output_names=["denoised"],
            dynamic_axes={"raw": dynamic, "denoised": dynamic},
        )
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {"raw": image.numpy()})[0])


@contextlib.contextmanager
def _only_known_deprecations():
    """Silences what torch says of its own trace and exporter, and nothing that it says of the module."""
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is", category)
            warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", category)
            warnings.filterwarnings("ignore", "The feature will be removed", category)
        yield
