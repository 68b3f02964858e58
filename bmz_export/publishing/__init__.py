"""From a package to the BioImage Model Zoo: reviewed here, staged there file by file, never published by us."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
