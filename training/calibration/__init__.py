"""The layer between an image and a denoiser, its constants, and what they are measured and searched with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
