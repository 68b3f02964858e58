"""Faults, each planted in a sound package of a narrow network: one module a family."""

from planted.archive import ARCHIVE
from planted.description import DESCRIPTION
from planted.hostile import HOSTILE
from planted.images import IMAGES
from planted.sound import Sound
from planted.spoiling import Fault, Package, plant
from planted.tensors import TENSORS
from planted.weights import WEIGHTS

FAMILIES = (WEIGHTS, IMAGES, TENSORS, DESCRIPTION, ARCHIVE, HOSTILE)
FAULTS = {fault.name: fault for family in FAMILIES for fault in family.faults}
"""Every fault by name."""

__all__ = ["FAMILIES", "FAULTS", "Fault", "Package", "Sound", "plant"]
