"""The browser's page as a person sees it, as a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict
from bmz_export.engines.runtimes.chromium import open_page
from bmz_export.engines.viewer import page_images
from bmz_export.engines.web import PageServer


def load(task: dict[str, Any]) -> Predict:
    """Return a function from an image to the bytes of the page's PNG."""
    options = task["options"]
    scene = {**options["scene"], "version": options["version"], "threads": task["threads"]}

    def picture(image: NDArray[np.float32]) -> list[NDArray[Any]]:
        server = PageServer(Path(options["files"]), Path(task["weights"]), {"/scene.json": json.dumps(scene)})
        with server:
            server.images.update(page_images(image[0, 0], options["test"]))
            page = open_page(task, server.address, scale=2.0)
            page.wait_for_selector("body[data-state=done], body[data-state=failed]")
            if page.evaluate("document.body.dataset.state") == "failed":
                raise RuntimeError(page.evaluate("document.body.dataset.reason"))
            return [np.frombuffer(page.screenshot(), dtype=np.uint8)]

    return picture
