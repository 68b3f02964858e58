"""From a run folder to a bioimage.io model package, and the check of a package in every tool's engine."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
