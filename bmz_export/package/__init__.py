"""A model package: built from a run, one kind of file a module, and read again.

Importing it loads no torch; its functions load what they need when they are called.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bmz_export.package.about import About, read_about
    from bmz_export.package.builder import Built, build

__all__ = ["About", "Built", "build", "read_about"]

_HOME = {"About": "about", "read_about": "about", "Built": "builder", "build": "builder"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return found
