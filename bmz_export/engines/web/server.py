"""A server for one page: its files, the runtime's, one model and some images, on 127.0.0.1."""

import shutil
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
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
_BYTES = "application/octet-stream"
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # WebAssembly needs these three for threads
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self' blob:; script-src 'self' blob: 'wasm-unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; worker-src 'self' blob:",
    "Cache-Control": "no-store",
}
_NUMBERS = {"float32", "float64", "int64", "int32", "uint8", "int8", "bool"}


class PageServer:
    """Serves the page while its block lasts, at a port that the system chooses.

    It gives out the files of ONNX Runtime Web in ``runtime``, the ONNX file ``model``, and ``texts`` by their address.
    """

    def __init__(self, runtime: Path, model: Path, texts: Mapping[str, str] | None = None) -> None:
        self.images: dict[str, NDArray[np.float32]] = {}  # by KEY what /image/KEY gives out, the shape in a header
        self.results: list[NDArray[np.generic]] = []  # what the page sent back
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

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                address = self.path.partition("?")[0]
                path = server._files.get(address)
                image = server.images.get(address.removeprefix("/image/"))
                if path is not None:
                    self._send(_TYPES.get(path.suffix, _BYTES), path.stat().st_size)
                    with path.open("rb") as file:
                        shutil.copyfileobj(file, self.wfile)
                elif address in server._texts:
                    text = server._texts[address]
                    self._send(_TYPES[Path(address).suffix], len(text), text)
                elif image is not None:
                    self._send(_BYTES, image.nbytes, image.tobytes(), shape=image.shape)
                else:
                    self._send("text/plain", 0, status=HTTPStatus.NOT_FOUND)

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                kind = self.headers["X-Type"]
                if self.path == "/result" and kind in _NUMBERS:
                    shape = tuple(int(size) for size in self.headers["X-Shape"].split(","))
                    server.results.append(np.frombuffer(data, dtype=kind).reshape(shape))
                    self._send("text/plain", 0)
                else:
                    self._send("text/plain", 0, status=HTTPStatus.NOT_FOUND)

            def _send(
                self,
                kind: str,
                length: int,
                data: bytes = b"",
                *,
                status: int = HTTPStatus.OK,
                shape: Sequence[int] = (),
            ) -> None:
                self.send_response(status)
                lines = {
                    **_HEADERS,
                    "Content-Type": kind,
                    "Content-Length": str(length),
                    "X-Shape": ",".join(map(str, shape)),
                }
                for name, value in lines.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
