"""What every package here uses: atomic writing, the run's lock, hashes, the cache, progress, devices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
