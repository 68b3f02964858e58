"""Whether a result can be believed, without clean images: measures, a verdict in words, a picture."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
