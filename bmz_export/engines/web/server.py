"""A server for one page: its files, the runtime's, one model and some images, on 127.0.0.1."""

import shutil
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

_HERE = Path(__file__).parent
_PAGE = {"/": "index.html", "/engine.js": "engine.js", "/view.js": "view.js"}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
}
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # these three open the door to threads in WebAssembly
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self' blob:; script-src 'self' blob: 'wasm-unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; worker-src 'self' blob:",
    "Cache-Control": "no-store",
}
_NUMBERS = {"float32", "float64", "int64", "int32", "uint8", "int8", "bool"}


class PageServer:
    """Serves the page while its block lasts; the system chooses the port.

    Parameters
    ----------
    runtime : Path
        Folder of ONNX Runtime Web's files.
    model : Path
        The ONNX file.
    texts : mapping
        More files by their address, such as ``{"/scene.json": "{...}"}``.

    Attributes
    ----------
    images : dict
        What ``/image/KEY`` gives out: arrays, sent as raw float32 with their shape in a header.
    results : list
        What the page sent back, in order.
    """

    def __init__(self, runtime: Path, model: Path, texts: Mapping[str, str] | None = None) -> None:
        self.images: dict[str, NDArray[np.float32]] = {}
        self.results: list[NDArray[np.generic]] = []
        self._files = {address: _HERE / name for address, name in _PAGE.items()}
        self._files.update({f"/ort/{path.name}": path for path in runtime.iterdir() if path.is_file()})
        self._files["/model.onnx"] = model
        self._texts = {address: text.encode() for address, text in (texts or {}).items()}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                address = self.path.partition("?")[0]
                if address in server._files:
                    path = server._files[address]
                    self._head(_TYPES.get(path.suffix, "application/octet-stream"), path.stat().st_size)
                    with path.open("rb") as file:
                        shutil.copyfileobj(file, self.wfile)
                elif address in server._texts:
                    self._body(_TYPES.get(Path(address).suffix, "text/plain"), server._texts[address])
                elif address.startswith("/image/") and address[7:] in server.images:
                    image = server.images[address[7:]]
                    self._body(
                        "application/octet-stream", image.tobytes(), {"X-Shape": ",".join(map(str, image.shape))}
                    )
                else:
                    self._body("text/plain", b"", status=HTTPStatus.NOT_FOUND)

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                kind = self.headers["X-Type"]
                if self.path != "/result" or kind not in _NUMBERS:
                    self._body("text/plain", b"", status=HTTPStatus.NOT_FOUND)
                    return
                shape = tuple(int(size) for size in self.headers["X-Shape"].split(","))
                server.results.append(np.frombuffer(data, dtype=kind).reshape(shape))
                self._body("text/plain", b"")

            def _body(
                self, kind: str, data: bytes, headers: Mapping[str, str] | None = None, status: int = HTTPStatus.OK
            ) -> None:
                self._head(kind, len(data), headers, status)
                self.wfile.write(data)

            def _head(
                self, kind: str, length: int, headers: Mapping[str, str] | None = None, status: int = HTTPStatus.OK
            ) -> None:
                self.send_response(status)
                lines = {**_HEADERS, **(headers or {}), "Content-Type": kind, "Content-Length": str(length)}
                for name, value in lines.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
