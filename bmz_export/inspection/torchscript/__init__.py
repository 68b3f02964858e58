"""A TorchScript archive: what it shows unloaded, what torch says of it, the operators that a libtorch lacks."""

from bmz_export.inspection.torchscript.archive import Archive, read_archive
from bmz_export.inspection.torchscript.facts import SECONDS_A_GROUP, TorchScript, ask_torch
from bmz_export.inspection.torchscript.operators import unknown_operators

__all__ = ["SECONDS_A_GROUP", "Archive", "TorchScript", "ask_torch", "read_archive", "unknown_operators"]
