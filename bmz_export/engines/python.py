"""The engines that come with this project's own requirements: bioimageio.core, ONNX Runtime, torch."""

import importlib.metadata
from dataclasses import dataclass

from bmz_export.engines.base import Job, Outcome, Progress
from bmz_export.engines.process import run_worker
from training.errors import EngineError

ALL_FORMATS = ("pytorch_state_dict", "torchscript", "onnx")


@dataclass(frozen=True)
class PythonEngine:
    """A runtime that is a Python package of this very environment."""

    name: str
    title: str
    distribution: str
    runtime: str
    weights: tuple[str, ...]
    tools: tuple[str, ...]
    processing: bool = False
    compiles: bool = False

    @property
    def version(self) -> str:
        """Of the installed package."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "?"

    @property
    def install_hint(self) -> str:
        """The command that installs the package."""
        return f"pip install {self.distribution}"

    def installed(self) -> bool:
        """Whether the package is there."""
        return self.version != "?"

    def size(self) -> int:
        """Bytes of the package's own files (without what it requires)."""
        if not self.installed():
            return 0
        return sum(file.size or 0 for file in importlib.metadata.files(self.distribution) or ())

    def install(self, progress: Progress | None = None) -> None:
        """Do nothing: the package is a requirement of this project."""
        if not self.installed():
            raise EngineError(
                f"{self.name} is a Python package of this environment: install it with `{self.install_hint}`"
            )

    def remove(self) -> int:
        """Do nothing: the package is a requirement of this project."""
        return 0

    def run(self, job: Job) -> Outcome:
        """Run a job in a process of its own."""
        return run_worker(f"bmz_export.engines.runtimes.{self.runtime}", job)


PYTHON_ENGINES = (
    PythonEngine(
        "bioimageio.core", "bioimageio.core", "bioimageio.core", "bioimageio_core", ALL_FORMATS,
        ("bioimageio.core", "BioImage.IO"), processing=True,
    ),
    PythonEngine("onnxruntime", "ONNX Runtime", "onnxruntime", "onnx", ("onnx",), ("Python",)),
    PythonEngine("torch", "torch", "torch", "torchscript", ("torchscript",), ("Python",)),
    PythonEngine("tiktorch", "tiktorch's way, on torch", "torch", "torchscript", ("torchscript",), ("ilastik",)),
)  # fmt: skip
