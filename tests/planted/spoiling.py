"""What a planter works with: a copy of a sound package that is spoiled in one way and is in order otherwise."""

import copy
import hashlib
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
import yaml

from bmz_export.package import weights

ANY_TORCHSCRIPT = ("libtorch-1.13.1", "libtorch-2.0.0", "libtorch-2.5.1", "libtorch-2.7.1", "torch", "tiktorch")
ANY_ONNX = ("onnxruntime", "onnxruntime-java-1.12.1", "onnxruntime-web")


@dataclass(frozen=True)
class Fault:
    """A fault, and how it must be caught.

    Attributes
    ----------
    name, family : str
        ``name`` is unique.
    what : str
        For the table.
    plant : Callable
        Spoils a :class:`Package`; what it returns is checked instead of the folder (a zip).
    rule : str
        The name under which it is reported.
    words : str
        What its line says (a regular expression), so that the cause is named.
    tools : tuple of str
        Titles of tools that the line must name.
    severity : str
        ``error``, or ``warning`` for what a package may still be published with.
    network : str
        What it is planted in.
    engines : tuple of str or None
        What the default test runs; None where the rules alone see it.
    fails : tuple of str
        Engines whose own run must be seen to fail, where they are installed.
    refused : bool
        Whether it is no package that can be read: exit code 2.
    stale : bool
        Whether hashes stay as they were: the fault is about them.
    library : str
        Why bioimageio's own test is not tried on it; empty where it is.
    """

    name: str
    family: str
    what: str
    plant: Callable
    rule: str
    words: str
    tools: tuple[str, ...] = ()
    severity: str = "error"
    network: str = "dncnn"
    engines: tuple[str, ...] | None = None
    fails: tuple[str, ...] = ()
    refused: bool = False
    stale: bool = False
    library: str = ""

    __test__ = False


@dataclass
class Family:
    """Collects the faults of a family; ``fault`` decorates their planters, whose first line says what is wrong."""

    name: str
    faults: list[Fault] = field(default_factory=list)

    def fault(self, rule, words, **options):
        def note(plant):
            what = " ".join(plant.__doc__.split()).rstrip(".")
            name = plant.__name__.replace("_", "-")
            self.faults.append(Fault(name, self.name, what, plant, rule, words, **options))
            return plant

        return note


class Package:
    """A copy of a sound package, to be spoiled.

    Attributes
    ----------
    folder : Path
        Its files.
    model : Calibrated
        The network that it was made of, shared between tests: change a :meth:`copy_of_model`.
    canary : Path
        A file outside the package that nothing may create.
    """

    def __init__(self, sound, network, where):
        self.where = Path(where)
        self.folder = self.where / "package"
        self.canary = self.where / "canary"
        self.model = sound.copy(network, self.folder)

    def __truediv__(self, name):
        return self.folder / name

    def copy_of_model(self, seed=None):
        """Return the model for changing; with ``seed``, as another epoch of training would leave it."""
        model = copy.deepcopy(self.model)
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            for parameter in model.parameters():
                change = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.1 * parameter.std(correction=0) * change)
        return model

    # --- description -----------------------------------------------------------------------------------------

    @contextmanager
    def rdf(self):
        """The description as a dictionary; what is changed in the block is written."""
        path = self / "rdf.yaml"
        raw = yaml.safe_load(path.read_text())
        yield raw
        path.write_text(yaml.safe_dump(raw, sort_keys=False, allow_unicode=True))

    def hash_anew(self):
        """Write the sha256 that each file has now, so that no fault is caught for a stale one."""

        def walk(value):
            if isinstance(value, dict):
                source = value.get("source")
                path = self.folder / source if isinstance(source, str) and "\0" not in source else None
                if path is not None and "sha256" in value and path.is_file():
                    value["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
                value = list(value.values())
            for item in value if isinstance(value, list) else ():
                walk(item)

        with self.rdf() as raw:
            walk(raw)

    # --- files -----------------------------------------------------------------------------------------------

    def tensor(self, name):
        """Return a test tensor, ``input`` or ``output``."""
        return np.load(self / f"test_{name}.npy")

    def save_tensor(self, name, array):
        np.save(self / f"test_{name}.npy", array)

    def torchscript(self, module):
        """Trace a module as the exporter does, in the place of the TorchScript."""
        weights.write_torchscript(module, self / weights.TORCHSCRIPT)

    def onnx(self, module):
        """Export a module as the exporter does, in the place of the ONNX."""
        weights.write_onnx(module, self / weights.ONNX)

    @contextmanager
    def onnx_graph(self):
        """The ONNX as a protobuf, without files that it names; what is changed in the block is written."""
        model = onnx.load(self / weights.ONNX, load_external_data=False)
        yield model
        onnx.save(model, self / weights.ONNX)

    @contextmanager
    def state_dict(self):
        """The state dict; what is changed in the block is written."""
        tensors = torch.load(self / weights.STATE_DICT, weights_only=True)
        yield tensors
        torch.save(tensors, self / weights.STATE_DICT)

    def cut(self, name, part=0.6):
        """Cut off the end of a file."""
        data = (self / name).read_bytes()
        (self / name).write_bytes(data[: int(len(data) * part)])

    # --- archives --------------------------------------------------------------------------------------------

    def zip(self, *, inside="", method=zipfile.ZIP_STORED):
        """Zip the package, below a folder ``inside`` the archive, and return the zip."""
        target = self.where / "package.zip"
        with zipfile.ZipFile(target, "w", method) as archive:
            for path in sorted(self.folder.rglob("*")):
                archive.write(path, inside + path.relative_to(self.folder).as_posix())
        return target

    def zip_with(self, name, content, *, mode=stat.S_IFREG | 0o644):
        """Zip the package with one entry more, and return the zip."""
        target = self.zip()
        with zipfile.ZipFile(target, "a") as archive:
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
        return target


def plant(fault, sound, where):
    """Plant a fault and return the path to check and the package that it lies in."""
    package = Package(sound, fault.network, where)
    with quiet():
        path = fault.plant(package)
    if not fault.stale and path is None:
        package.hash_anew()
    return path or package.folder, package


@contextmanager
def quiet():
    """Silence what torch says while it traces and exports what nobody should."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def wrapped(model, forward):
    """Return a module that calls ``forward(model, image)``."""

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, image):
            return forward(self.model, image)

    return Wrapped().eval()


def remove(path):
    """Delete a file or folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
