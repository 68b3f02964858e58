"""The engines that come with this project's own requirements: bioimageio.core, ONNX Runtime, torch."""

import importlib.metadata
from dataclasses import dataclass

from bmz_export.engines.engine import Engine


@dataclass(frozen=True)
class PythonEngine(Engine):
    """A runtime that is a Python package of this very environment, and a requirement of this project."""

    distribution: str = ""

    @property
    def install_hint(self) -> str:
        """The command that installs the package."""
        return f"pip install {self.distribution}"

    def missing(self) -> str | None:
        """Say how to install the package, where it is not there."""
        return None if self.installed() else f"is a Python package of this environment: {self.install_hint}"

    def installed(self) -> bool:
        """Whether the package is there."""
        return self.version != "?"

    def size(self) -> int:
        """Bytes of the package's own files (without what it requires)."""
        files = importlib.metadata.files(self.distribution) if self.installed() else None
        return sum(file.size or 0 for file in files or ())


def _engine(
    name: str,
    title: str,
    distribution: str,
    runtime: str,
    weights: tuple[str, ...],
    *tools: str,
    processing: bool = False,
) -> PythonEngine:
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "?"
    return PythonEngine(name, title, version, runtime, weights, tools, processing, distribution=distribution)


PYTHON_ENGINES = (
    _engine("bioimageio.core", "bioimageio.core", "bioimageio.core", "bioimageio_core",
            ("pytorch_state_dict", "torchscript", "onnx"), "bioimageio.core", "BioImage.IO", processing=True),
    _engine("onnxruntime", "ONNX Runtime", "onnxruntime", "onnx", ("onnx",), "Python"),
    _engine("torch", "torch", "torch", "torchscript", ("torchscript",), "Python"),
    _engine("tiktorch", "tiktorch's way, on torch", "torch", "torchscript", ("torchscript",), "ilastik"),
)  # fmt: skip
