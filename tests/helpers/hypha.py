"""A Hypha server on loopback, with moto for its S3, a zoo without models, and a relay that can cut the line."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

CACHE = Path(os.environ.get("BMZ_FMD_CACHE") or Path.home() / ".cache" / "bmz-fmd")
FOLDER = Path(os.environ.get("BMZ_FMD_HYPHA") or CACHE / "hypha")
ZOO, REVIEWER = "bioimage-io/bioimage.io", "reviewer"
_ROOT = "c9f4e7ab5d8f2e6a9c7b4d8e5f6a2b9c8d7e4f5a6b9c2d8e"
_ENVIRONMENT = {"JWT_SECRET": "of-the-tests-alone", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest"}
_TOKENS = """
import asyncio, json, sys
from hypha.core import UserInfo, UserPermission
from hypha.core.auth import create_scope, generate_auth_token

async def token(name, seconds):
    place = f"ws-user-{name}"
    scope = create_scope({place: UserPermission.admin}, current_workspace=place)
    user = UserInfo(id=name, roles=[], is_anonymous=False, email=f"{name}@example.org", scope=scope)
    return await generate_auth_token(user, seconds)

async def main():
    print(json.dumps({name: await token(name, seconds) for name, seconds in json.loads(sys.argv[1]).items()}))

asyncio.run(main())
"""


class Relay:
    """Passes bytes on to a server; it can hold back what a client sends after so many bytes, or hang up then."""

    def __init__(self, port):
        self.port, self.limit, self.hang_up, self.passed = port, None, False, 0
        self.reached = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop_after(self, limit, *, hang_up=False):
        """Let so many bytes of clients pass from now on; None: all."""
        self.passed, self.limit, self.hang_up = 0, limit, hang_up
        self.reached.clear()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as server:
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            while data := client.recv(2**16):
                self.passed += len(data)
                if self.limit is not None and self.passed > self.limit:
                    self.reached.set()
                    if self.hang_up:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        return
                    while self.limit is not None:
                        time.sleep(0.02)
                    return
                server.sendall(data)

    def _back(self, server, client):
        with contextlib.suppress(OSError):
            while data := server.recv(2**16):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

    def close(self):
        self.limit = None
        self._listening.close()


class Hypha:
    """The running server: its ``relay``, through which clients speak to it, and ``tokens`` by user."""

    def __init__(self, relay, tokens):
        self.relay, self.address, self.tokens = relay, relay.address, tokens

    def call(self, user, method, **arguments):
        """The JSON of a method's answer."""
        with requests.Session() as session:
            session.trust_env = False  # no .netrc
            answer = session.post(
                f"{self.address}/public/services/artifact-manager/{method}", json=arguments, timeout=60,
                headers={"Authorization": f"Bearer {self.tokens[user]}"},
            )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.json()

    def files(self, artifact):
        """From path to bytes of everything that is staged for an artifact, as a reader gets it."""
        names = list(self._names(artifact))
        addresses = self.call("ada", "get_file", artifact_id=artifact, file_path=names, stage=True)
        return {name: requests.get(addresses[name], timeout=60, auth=lambda request: request).content for name in names}

    def _names(self, artifact, folder=""):
        where = {"dir_path": folder} if folder else {}
        for entry in self.call("ada", "list_files", artifact_id=artifact, stage=True, **where):
            path = f"{folder}/{entry['name']}".removeprefix("/")
            if entry["type"] == "directory":
                yield from self._names(artifact, path)
            else:
                yield path


@contextlib.contextmanager
def running(folder):
    """Yield a ``Hypha`` whose files lie in ``folder``; skip where its environment is not installed."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no Hypha server in {FOLDER}: ci/install_hypha.sh installs it")
    s3, port = _free_port(), _free_port()
    relay = Relay(port)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **_ENVIRONMENT}
    moto = [FOLDER / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(s3)]
    hypha = [
        python, "-m", "hypha.server", "--host", "127.0.0.1", "--port", str(port), "--public-base-url", relay.address,
        "--enable-s3", "--enable-s3-proxy", "--s3-admin-type", "generic",
        "--endpoint-url", f"http://127.0.0.1:{s3}", "--endpoint-url-public", f"http://127.0.0.1:{s3}",
        "--region-name", "us-east-1", "--access-key-id", "test", "--secret-access-key", "testtest",
        "--workspace-bucket", "hypha-workspaces", "--database-uri", f"sqlite+aiosqlite:///{folder}/hypha.sqlite",
        "--root-token", _ROOT,
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.callback(relay.close)
        log = stack.enter_context((folder / "server.log").open("w"))

        def start(command, ready):
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return lambda: _wait(ready, process, folder / "server.log")

        s3_is_ready = start(moto, f"http://127.0.0.1:{s3}/moto-api/")
        users = json.dumps({"ada": 3600, "eve": 3600, REVIEWER: 3600, "late": 1})
        made = subprocess.run(
            [python, "-c", _TOKENS, users], env=environment, capture_output=True, text=True, check=True
        )
        tokens = {**json.loads(made.stdout), "root": _ROOT}
        s3_is_ready()  # the server gives up where it finds no S3
        start(hypha, f"http://127.0.0.1:{port}/health/readiness")()
        server = Hypha(relay, tokens)
        requests.post(
            f"{server.address}/public/services/ws/create_workspace", timeout=60,
            json={"config": {"name": "bioimage-io", "description": "of tests", "persistent": True}, "overwrite": True},
            headers={"Authorization": f"Bearer {_ROOT}"},
        ).raise_for_status()  # fmt: skip
        server.call(
            "root", "create", alias=ZOO, type="collection", manifest={"name": "zoo", "description": "of tests"},
            config={
                "permissions": {"*": "r", "@": ["read", "list", "list_files", "get_file", "draft"], REVIEWER: "rw+"},
                "id_parts": {"animal_adjective": ["kind", "bold", "calm", "wise"], "animal": ["cat", "owl", "fox"]},
            },
        )  # fmt: skip
        yield server


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def _wait(address, process, log, seconds=240):
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(address, timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"{address} did not answer: {log.read_text()[-2000:]}")
