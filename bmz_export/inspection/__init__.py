"""What the files of a package show without being run: no unpickling, no import, no path followed out of the package."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from bmz_export.inspection.onnx_file import Onnx, read_onnx
from bmz_export.inspection.pickles import Pickle, read_pickle
from bmz_export.inspection.source import Source, read_source
from bmz_export.inspection.tensors import TestTensor, read_tensor
from bmz_export.inspection.torchscript import TorchScript, fusion_groups, read_torchscript, unknown_operators
from bmz_export.package.archive import Package
from bmz_export.package.description import Description, File, Tensor
from training.util.hashing import sha256

__all__ = ["Inspection", "Onnx", "Pickle", "Source", "TestTensor", "TorchScript"]


class Inspection:
    """A package and what its files show; each file is read once, and only when a rule asks.

    Parameters
    ----------
    package : Package
        From :func:`bmz_export.package.archive.open_package`.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        self._hashes: dict[Path, str] = {}
        self._tensors: dict[Path, TestTensor] = {}

    @property
    def description(self) -> Description:
        """The package's description."""
        return self.package.description

    def weights(self, name: str) -> Path | None:
        """Return the weights file of a format, None where the package holds none."""
        entry = self.description.weights.get(name)
        return self.package.file(entry.source) if entry else None

    @cached_property
    def torchscript(self) -> TorchScript | None:
        """The TorchScript archive's code."""
        path = self.weights("torchscript")
        return read_torchscript(path) if path else None

    def unknown_operators(self, libtorch: str) -> list[str]:
        """Return the operators of the TorchScript that a version of libtorch, such as ``1.13.1``, does not know."""
        shown = self.torchscript
        return unknown_operators(shown.archive, libtorch) if shown and shown.archive else []

    @cached_property
    def fusion_groups(self) -> int | None:
        """Groups of the TorchScript that libtorch 1.13.1 and 2.0.0 compile; None where its code cannot be followed."""
        shown = self.torchscript
        return fusion_groups(shown.archive) if shown and shown.archive else None

    @cached_property
    def onnx(self) -> Onnx | None:
        """The ONNX file's graph."""
        path = self.weights("onnx")
        return read_onnx(path) if path else None

    @cached_property
    def state_dict(self) -> Pickle | None:
        """The opcodes of the state dict's pickle."""
        path = self.weights("pytorch_state_dict")
        return read_pickle(path) if path else None

    @cached_property
    def torchscript_pickle(self) -> Pickle | None:
        """The opcodes of the TorchScript archive's pickles."""
        path = self.weights("torchscript")
        return read_pickle(path) if path else None

    @cached_property
    def architecture(self) -> Source | None:
        """The syntax tree of the architecture file."""
        entry = self.description.weights.get("pytorch_state_dict")
        path = self.package.file(entry.architecture.source) if entry and entry.architecture else None
        return read_source(path) if path else None

    def test(self, tensor: Tensor) -> TestTensor | None:
        """Return the test tensor of an input or output, None where the package holds none."""
        path = self.package.file(tensor.test.source) if tensor.test else None
        if path is None:
            return None
        if path not in self._tensors:
            self._tensors[path] = read_tensor(path)
        return self._tensors[path]

    def hash(self, file: File) -> str | None:
        """Return the sha256 of a file, None where the package does not hold it."""
        path = self.package.file(file.source)
        if path is None:
            return None
        if path not in self._hashes:
            self._hashes[path] = sha256(path)
        return self._hashes[path]
