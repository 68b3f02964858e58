"""How a network learns, a method a file: found by looking into this folder, others are registered.

A file that holds ``METHOD``, a class like ``training.methods.method.Method``, is one.
"""

from importlib import import_module
from pkgutil import iter_modules

from training.methods.method import Batch, Method, Needs

__all__ = ["METHODS", "Batch", "Method", "Needs", "register"]

METHODS: dict[str, type[Method]] = {}
"""What ``method`` of a run's settings may say."""


def register(method: type[Method]) -> None:
    """Add a method that lies elsewhere; a name that is taken raises ``ValueError``.

    Training on several GPUs starts processes that only run the top level of a script and of what it imports: register
    there, or train on one device (``devices=1``).

    Examples
    --------
    >>> class Mine(METHODS["supervised"]):
    ...     name = "mine"
    >>> register(Mine)
    >>> METHODS.pop("mine").needs.frames
    1
    """
    if method.name in METHODS:
        raise ValueError(f"there is a method {method.name} already")
    METHODS[method.name] = method


for _found in iter_modules(__path__):
    _method = getattr(import_module(f"{__name__}.{_found.name}"), "METHOD", None)
    if _method is not None:
        register(_method)
