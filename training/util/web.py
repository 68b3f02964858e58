"""What went wrong between this machine and a server, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import RequestException


def failure(error: RequestException) -> str:
    """Return why a request failed: the server's status, no connection, or what requests calls it."""
    import requests

    if isinstance(error, requests.HTTPError):
        return str(error).partition(" for url")[0]
    if isinstance(error, requests.Timeout | requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "no connection, or it broke off"
    return type(error).__name__
