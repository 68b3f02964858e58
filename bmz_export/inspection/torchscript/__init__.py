"""A TorchScript archive read as text: its facts, the operators that a libtorch lacks, the groups that one compiles."""

from bmz_export.inspection.torchscript.facts import TorchScript, read_torchscript
from bmz_export.inspection.torchscript.fusion import SECONDS_A_GROUP, fusion_groups
from bmz_export.inspection.torchscript.operators import unknown_operators

__all__ = ["SECONDS_A_GROUP", "TorchScript", "fusion_groups", "read_torchscript", "unknown_operators"]
