"""Any denoiser over images of any size and axes, in tiles where memory asks for them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
