"""ONNX in the browser: ONNX Runtime Web on WebAssembly."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict
from bmz_export.engines.runtimes.chromium import open_page
from bmz_export.engines.web import PageServer

_LOAD = "async threads => { window.engine = await import('/engine.js'); return await engine.load(threads); }"
_RUN = """async key => {
  const outputs = await engine.run(await engine.fetchImage(key));
  for (const output of outputs) await engine.send(output);
}"""


def load(task: dict[str, Any]) -> Predict:
    """Open the page and load the model in it."""
    server = PageServer(Path(task["options"]["files"]), Path(task["weights"]))
    server.__enter__()
    page = open_page(task, server.address)
    page.evaluate(_LOAD, task["threads"])

    def predict(image: NDArray[np.float32]) -> list[NDArray[Any]]:
        server.images["input"] = image
        server.results.clear()
        page.evaluate(_RUN, "input")
        return list(server.results)

    return predict
