"""A page in a headless Chromium of its own."""

import os
import sys
from typing import Any

_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers give /dev/shm too little for a large model
)


def open_page(task: dict[str, Any], address: str, *, scale: float = 1.0) -> Any:  # noqa: ANN401 -- playwright is optional
    """Start the browser and return its page at ``address``; the worker's end ends both."""
    from playwright.sync_api import sync_playwright

    flags = list(_FLAGS)
    if sys.platform == "linux" and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to sandbox root
    browser = (
        sync_playwright()
        .start()
        .chromium.launch(executable_path=task["options"]["chromium"], headless=True, args=flags, timeout=60_000)
    )
    page = browser.new_page(viewport={"width": 1440, "height": 900}, device_scale_factor=scale)
    page.set_default_timeout(0)  # the parent keeps the time
    page.goto(address)
    return page
