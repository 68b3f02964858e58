"""Published checkpoints by name, fetched once into the user's cache, and any checkpoint file read safely."""

from training.checkpoints.download import cached, fetch
from training.checkpoints.loading import Origin, load_checkpoint
from training.checkpoints.published import CHECKPOINTS, Checkpoint, default_checkpoint

__all__ = ["CHECKPOINTS", "Checkpoint", "Origin", "cached", "default_checkpoint", "fetch", "load_checkpoint"]
