"""What the files of a package show: none is unpickled or imported, and no path followed out of the package.

A TorchScript archive whose code stays inside its computation is loaded by torch, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from bmz_export.inspection.onnx_file import Onnx, read_onnx
from bmz_export.inspection.pickles import Pickle, read_pickle
from bmz_export.inspection.source import Source, read_source
from bmz_export.inspection.tensors import TestTensor, read_tensor
from bmz_export.inspection.torchscript import Archive, TorchScript, ask_torch, read_archive, unknown_operators
from bmz_export.package.archive import Package
from bmz_export.package.description import Description, File, Tensor
from training.util.hashing import sha256

__all__ = ["Archive", "Inspection", "Onnx", "Pickle", "Source", "TestTensor", "TorchScript"]


T = TypeVar("T")


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

    def _read(self, name: str, read: Callable[[Path], T]) -> T | None:
        path = self.weights(name)
        return read(path) if path else None

    @cached_property
    def torchscript_archive(self) -> Archive | None:
        """What the TorchScript shows before anything loads it."""
        return self._read("torchscript", read_archive)

    @cached_property
    def torchscript(self) -> TorchScript | None:
        """What torch says of the TorchScript; it is not asked about one that it should not load."""
        path, archive = self.weights("torchscript"), self.torchscript_archive
        if path is None or archive is None:
            return None
        if archive.error:
            return TorchScript(error=archive.error)
        return (
            TorchScript(error="not loaded, for it reaches out of the network") if archive.reaches else ask_torch(path)
        )

    def unknown_operators(self, libtorch: str) -> list[str]:
        """Return the operators of the TorchScript that a version of libtorch, such as ``1.13.1``, does not know."""
        if self.torchscript is None or self.torchscript_archive is None:
            return []
        return unknown_operators(self.torchscript.calls, self.torchscript_archive.format, libtorch)

    @property
    def fusion_groups(self) -> int | None:
        """About how many groups of the TorchScript libtorch 1.13.1 and 2.0.0 compile; None without an answer."""
        return self.torchscript.fusion_groups if self.torchscript else None

    @cached_property
    def onnx(self) -> Onnx | None:
        """The ONNX file's graph."""
        return self._read("onnx", read_onnx)

    @cached_property
    def state_dict(self) -> Pickle | None:
        """The opcodes of the state dict's pickle."""
        return self._read("pytorch_state_dict", read_pickle)

    @cached_property
    def torchscript_pickle(self) -> Pickle | None:
        """The opcodes of the TorchScript archive's pickles."""
        return self._read("torchscript", read_pickle)

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
