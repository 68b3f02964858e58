"""Hypha's artifact manager, asked with plain requests; what it refuses becomes one line that says what to do.

The token goes into the request and nowhere else: no message, record or log holds it.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from training.errors import PackageError
from training.util.messages import one_line
from training.util.web import failure

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

SERVER, COLLECTION = "https://hypha.aicell.io", "bioimage-io/bioimage.io"
TOKEN = "HYPHA_TOKEN"
TOKEN_PAGE = "https://bioimage.io/#/api"
_PATIENCE = (10, 300)  # seconds for a connection, and for an answer
_BLOCK = 2**20


def read_token(server: str) -> str:
    """Return the user's token for a server, from the environment or else from the system's keyring.

    Raises
    ------
    UserError
        Where there is none, or it is no token.
    """
    token = os.environ.get(TOKEN, "").strip() or _from_keyring(server)
    if not token:
        raise PackageError(
            f"there is no token for {server}: make one at {TOKEN_PAGE} and set {TOKEN}, or keep it with "
            f"keyring set bmz-fmd {server}"
        )
    if not re.fullmatch(r"[!-~]+", token):
        raise PackageError(f"the token in {TOKEN} holds blanks or letters that no token has; copy it again")
    return token


def _from_keyring(server: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return ""
    try:
        return keyring.get_password("bmz-fmd", server) or ""
    except KeyringError:
        return ""


class Server:
    """One server with one user's token.

    Parameters
    ----------
    address : str
        Such as ``https://hypha.aicell.io``; plain http only on this machine, since a token would be read on the way.
    token : str
        As ``read_token`` returns it.
    """

    def __init__(self, address: str, token: str) -> None:
        parts = urlsplit(address)
        local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not parts.hostname or parts.scheme not in (("https", "http") if local else ("https",)):
            raise PackageError(f"`server` {address}: give an address that begins with https://")
        self.address, self._token = address.rstrip("/"), token

    def call(self, method: str, what: str, **arguments: object) -> Any:  # noqa: ANN401 an answer is any JSON
        """Call a method of the artifact manager and return its answer.

        Parameters
        ----------
        method : str
            Such as ``read``.
        what : str
            The artifact or collection, for messages.
        **arguments
            As the method takes them.
        """
        import requests

        def with_token(request: PreparedRequest) -> PreparedRequest:
            request.headers["Authorization"] = f"Bearer {self._token}"
            return request

        try:
            answer = requests.post(
                f"{self.address}/public/services/artifact-manager/{method}",
                data=json.dumps(as_json(arguments), allow_nan=False),
                headers={"Content-Type": "application/json"},
                auth=with_token,  # a header alone would give way to a .netrc
                timeout=_PATIENCE,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise self._lost(error) from None
        if answer.status_code != 200:
            raise PackageError(self._refusal(answer, method, what))
        try:
            return answer.json()
        except ValueError:
            raise PackageError(f"{self.address}: what answers there is no Hypha server") from None

    def put(self, address: str, file: Path, advance: Callable[[float, str], object]) -> None:
        """Send the bytes of a file to an address that the server signed."""
        import requests

        try:
            with file.open("rb") as stream:
                size = file.stat().st_size
                answer = requests.put(
                    address,
                    data=_Counted(stream, size, advance) if size else b"",
                    headers={"Content-Type": ""},
                    auth=lambda request: request,
                    timeout=_PATIENCE,
                    allow_redirects=False,
                )
        except requests.RequestException as error:
            raise self._lost(error) from None
        if answer.status_code != 200:
            raise PackageError(f"{self.address} did not take {file.name}: it answered {answer.status_code}")

    def sizes(self, artifact: str, folder: str = "") -> Iterator[tuple[str, int]]:
        """Yield path and bytes of each file that is staged for an artifact."""
        where = {"dir_path": folder} if folder else {}
        listed = self.call("list_files", artifact, artifact_id=artifact, stage=True, limit=10_000, **where)
        for entry in listed:
            path = f"{folder}/{entry['name']}" if folder else str(entry["name"])
            if entry["type"] == "directory":
                yield from self.sizes(artifact, path)
            else:
                yield path, int(entry["size"])

    def _lost(self, error: Exception) -> PackageError:
        from requests import RequestException

        why = failure(error) if isinstance(error, RequestException) else type(error).__name__
        return PackageError(f"{self.address}: {why}; what was uploaded is kept there: the same command goes on")

    def _refusal(self, answer: Response, method: str, what: str) -> str:
        try:
            detail = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = answer.text
        if answer.status_code == 401:
            return f"{self.address}: the token is wrong or has expired; make a new one at {TOKEN_PAGE}, set {TOKEN}"
        if answer.status_code == 403 and method == "create":
            return f"{what}: this token may not add models there; make one for your own account at {TOKEN_PAGE}"
        if answer.status_code == 403:
            return f"{what}: it is somebody else's, this token may not change it; use the token that began it"
        if "FileExistsError" in detail:
            return f"{what}: there is a model of that name; choose another `name`, or leave it out"
        if answer.status_code == 404:
            return f"{what}: {self.address} has none of that name"
        reason = one_line(detail.replace(self._token, "***").removeprefix("RemoteException: "))
        return f"{self.address}: it answered {answer.status_code} to {method} {what}: {reason}"


class _Counted:
    """A stream of known length that tells how far it was read."""

    def __init__(self, stream: Any, size: int, advance: Callable[[float, str], object]) -> None:  # noqa: ANN401
        self._stream, self._size, self._advance = stream, size, advance

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(_BLOCK if size < 0 else size)
        self._advance(len(data) / 1e6, "")
        return data


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of YAML as JSON has them: dates and infinite numbers become text."""
    return {str(key): _plain(each) for key, each in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return as_json(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
