"""A server on loopback that hands out files, slowly, in part or not at all, as a test asks."""

import contextlib
import http.server
import threading
import time


class Served(dict):
    """From path to bytes, or to a function from the request's handler; ``address`` and what was ``asked``."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def folder(self, prefix, folder):
        self.update(
            {f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*.*")}
        )
        return f"{self.address}{prefix}"


@contextlib.contextmanager
def serving():
    """Yield a ``Served`` that answers on a port of its own until the block ends."""
    served = Served()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            served.asked.append(self.path)
            content = served.get(self.path)
            if content is None:
                self.send_error(404)
            elif callable(content):
                content(self)
            else:
                whole(self, content)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def whole(handler, content, size=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if size is None else size))
    handler.end_headers()
    handler.wfile.write(content)


def broken_off(content):
    """Half of the content, then the end."""
    return lambda handler: whole(handler, content[: len(content) // 2], len(content))


def endless(handler):
    """Bytes without a stated end, until nobody listens."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"0" * 100_000)


def dripping(handler):
    """A byte now and then, until nobody listens."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"0")
            time.sleep(0.02)
