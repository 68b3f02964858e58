"""Published checkpoints by name, fetched once into the user's cache, and any checkpoint file read safely."""

from training.checkpoints.download import cached, fetch
from training.checkpoints.loading import Origin, load_weights, settings_of
from training.checkpoints.published import Checkpoint, default_checkpoint, published_checkpoints

__all__ = [
    "Checkpoint",
    "Origin",
    "cached",
    "default_checkpoint",
    "fetch",
    "load_weights",
    "published_checkpoints",
    "settings_of",
]
