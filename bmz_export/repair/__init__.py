"""Mend a package, ours or a stranger's, as far as that goes without its training data: a kind of repair a file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
