"""The page that runs a package in a browser, and the server that gives it out on this machine alone."""

from bmz_export.engines.web.server import PageServer

__all__ = ["PageServer"]
