"""The weights of a package in three formats that give the same pixels, and the check that they do.

A state dict with its architecture in one file, a TorchScript archive that Fiji, QuPath and ilastik load, and an ONNX
file for the browser. TorchScript is traced, never scripted, and on the CPU; ``bmz_export.tools`` holds what each
tool refuses.
"""

import io
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from symtable import symtable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.package.templates import fill
from training.errors import PackageError
from training.inference.backends import Forward, Predict, from_module, from_onnx, from_torchscript
from training.networks import NETWORKS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from training.calibration.layer import Calibrated

STATE_DICT, ARCHITECTURE, TORCHSCRIPT, ONNX = "weights.pth", "architecture.py", "weights.pt", "weights.onnx"
CALLABLE = "denoiser"  # the function of the architecture file that builds the model
OPSET, NEWEST_IR = 17, 8  # the newest that ONNX Runtime 1.12 (deepImageJ) reads
EXAMPLE = (2, 1, 67, 93)  # odd and unlike in every axis: nothing of it can hide as a constant of the graph
TOLERANCE = 1e-4  # of the output's range; BioImage.IO's own is 1e-3

Arrays = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class WeightsFiles:
    """What the description says of the weights; the file names are this module's constants.

    Attributes
    ----------
    kwargs : dict
        Arguments of ``CALLABLE`` in the architecture file: ``network`` and ``calibration``, plain values without null;
        empty where the network's code does not travel, so that there is no state dict.
    differences : dict
        Format to its largest absolute difference from the model, as a part of the output's range.
    """

    kwargs: dict[str, dict[str, Any]]
    differences: dict[str, float]


def write_weights(
    model: "Calibrated", network: str, settings: Mapping[str, Any], folder: Path, images: Arrays
) -> WeightsFiles:
    """Write the model in all three formats and compare what was written with the model.

    A network whose code is not one file becomes TorchScript and ONNX alone.

    Parameters
    ----------
    model : Calibrated
        On the CPU, in eval mode.
    network : str
        Name of its denoiser in the registry.
    settings : Mapping
        The denoiser's settings, over the published ones.
    folder : Path
        Where the files go; it exists.
    images : sequence of arrays
        float32 ``(batch, 1, height, width)``, in the model's units: what the formats are compared on.

    Returns
    -------
    WeightsFiles

    Raises
    ------
    UserError
        When a format differs from the model by more than ``TOLERANCE`` of the output's range, or cannot be loaded by
        a tool that should load it.
    """
    kwargs: dict[str, dict[str, Any]] = {}
    if NETWORKS[network].one_file:
        kwargs = {
            "network": _plain({**NETWORKS[network].settings, **settings}),
            "calibration": _plain(model.constants.structure),
        }
        write_state_dict(model, folder / STATE_DICT)
        (folder / ARCHITECTURE).write_text(compose_architecture(network, kwargs), encoding="utf-8")
        write_torchscript(model, folder / TORCHSCRIPT)
        write_onnx(model, folder / ONNX)
    else:
        _write_strange(model, network, folder)
    return WeightsFiles(kwargs, verify(model, kwargs, folder, images))


def _write_strange(model: "nn.Module", network: str, folder: Path) -> None:
    """Write TorchScript and ONNX of a library's network, whose code is not made for tracing at every size and device.

    Raises
    ------
    UserError
        Where they cannot be made of it.
    """
    import torch

    from bmz_export.package.rebuilt import Rebuilt, sizes_stay_free

    try:
        with torch.no_grad(), _deprecations_silenced(), sizes_stay_free(model):
            warnings.simplefilter("ignore")  # sizes that the code compares: what is written is compared afterwards
            traced = torch.jit.trace(model, _example(), check_trace=False)  # type: ignore[no-untyped-call]
            write_onnx(model, folder / ONNX)
            write_torchscript(Rebuilt(traced).eval(), folder / TORCHSCRIPT)
    except PackageError:
        raise
    except Exception as error:  # noqa: BLE001 -- a library's code can do anything that no graph can hold
        reason = str(error).strip().splitlines()[:1] or [""]
        raise PackageError(
            f"{network}: no TorchScript and ONNX can be made of spandrel's code for it ({type(error).__name__}: "
            f"{reason[0][:200]}), so no package was written; docs/networks.md says of which they can"
        ) from None


def write_state_dict(model: "nn.Module", path: Path) -> None:
    """Save the model's tensors, on the CPU, loadable with ``weights_only=True``."""
    import torch

    torch.save({key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}, path)


def compose_architecture(network: str, kwargs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one Python file with the network, its calibration and ``CALLABLE``, which joins them.

    Parameters
    ----------
    network : str
        Name in the registry.
    kwargs : Mapping
        ``network`` and ``calibration`` arguments, for the example in the file's docstring.
    """
    entry = NETWORKS[network]
    layer = files("training.calibration").joinpath("layer.py")
    sources = [file.read_text(encoding="utf-8").strip() for file in (entry.path, layer)]
    _refuse_shared_names(sources)
    return fill(
        "architecture.py.j2",
        title=entry.title,
        class_name=entry.class_name,
        version=version("bmz-fmd"),
        state_dict=STATE_DICT,
        sources=sources,
        **kwargs,
    )


def write_torchscript(model: "nn.Module", path: Path, *, example: "Tensor | None" = None) -> None:
    """Trace the model on the CPU and save it as TorchScript that no libtorch from 1.13.1 on stops to compile.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    path : Path
        The archive.
    example : Tensor, optional
        What it is traced with, (batch, channel, height, width); one of ``EXAMPLE``'s shape by default.

    Raises
    ------
    UserError
        When the archive names a device: it would fail on a graphics card.
    """
    import torch

    with torch.no_grad(), _deprecations_silenced(), _aliasing():
        given = _example() if example is None else example
        traced = torch.jit.trace(model, given, check_trace=False)  # type: ignore[no-untyped-call]
    # through memory: where a disk is full, torch's own writer ends the process
    _write_without_debug_records(io.BytesIO(traced.save_to_buffer()), path)
    with zipfile.ZipFile(path) as archive:
        code = [name for name in archive.namelist() if name.endswith(".py")]
        if any(b"torch.device(" in archive.read(name) for name in code):
            raise PackageError(
                f"{path.name}: the network names a device when traced, so it would fail on a graphics card; "
                "derive tensors in its forward from the input or register them as buffers"
            )


def write_onnx(
    model: "nn.Module", path: Path, *, example: "Tensor | None" = None, free: Sequence[int] = (0, 2, 3)
) -> None:
    """Export the model as one ONNX file of opset 17, with dynamic batch, height and width.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    path : Path
        The file.
    example : Tensor, optional
        As for ``write_torchscript``.
    free : sequence of int
        The axes of (batch, channel, height, width) that take any size.

    Raises
    ------
    UserError
        When the file is newer than ONNX Runtime 1.12 reads, or keeps weights outside itself.
    """
    import onnx
    import torch

    axes = {axis: ("batch", "channel", "height", "width")[axis] for axis in free}
    with torch.no_grad(), _deprecations_silenced():
        torch.onnx.export(
            model,
            (_example() if example is None else example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["raw"],
            output_names=["denoised"],
            dynamic_axes={"raw": axes, "denoised": axes},
        )
    file = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(file)
    outside = [tensor.name for tensor in file.graph.initializer if tensor.external_data]
    if file.ir_version > NEWEST_IR or outside:
        raise PackageError(
            f"{path.name}: IR {file.ir_version} with {len(outside)} weights outside the file, and Fiji reads IR "
            f"{NEWEST_IR} with none; export with a torch release that pyproject.toml allows"
        )


def verify(
    model: "Calibrated", kwargs: Mapping[str, Mapping[str, Any]], folder: Path, images: Arrays
) -> dict[str, float]:
    """Run each written format on each image and compare it with the model.

    Parameters
    ----------
    model, kwargs, folder, images
        As for ``write_weights``; the files lie in ``folder``.

    Returns
    -------
    dict
        Format to the largest absolute difference, as a part of the output's range.

    Raises
    ------
    UserError
        When a difference exceeds ``TOLERANCE`` or is not a number.
    """
    state_dict: dict[str, Callable[[], Predict]] = {
        "pytorch_state_dict": lambda: from_module(_from_state_dict(folder, kwargs))
    }
    loaders: Mapping[str, Callable[[], Predict]] = {
        **(state_dict if kwargs else {}),
        "torchscript": lambda: _first(from_torchscript(folder / TORCHSCRIPT)),
        "onnx": lambda: _first(from_onnx(folder / ONNX)),
    }
    expected = [from_module(model)(image) for image in images]
    results = {}
    for name, load in loaders.items():
        predict = load()
        results[name] = float(np.max([difference(a, predict(b)) for a, b in zip(expected, images, strict=True)]))
        if not results[name] <= TOLERANCE:  # also refuses NaN
            raise PackageError(
                f"{name}: the exported weights differ from the network by {results[name]:.1e} of the output's range "
                f"(at most {TOLERANCE:.0e} is right), so no package was written; check the training for NaN"
            )
    return results


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Lists for tuples, and no null: tools of the zoo refuse it, and every None here is the default."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in settings.items() if value is not None
    }


def _refuse_shared_names(sources: Sequence[str]) -> None:
    """Two files joined into one must not define the same name: the later would replace the earlier."""
    tables = [symtable(source, ARCHITECTURE, "exec").get_symbols() for source in sources]
    defined = [{one.get_name() for one in table if one.is_assigned() and not one.is_imported()} for table in tables]
    if shared := set.intersection(*defined):
        raise ValueError(f"network and calibration both define {sorted(shared)}: rename one")


def _example() -> "Tensor":
    import torch

    return torch.rand(EXAMPLE, generator=torch.Generator().manual_seed(0))


@contextmanager
def _deprecations_silenced() -> Iterator[None]:
    """Tracing and the old exporter are marked as deprecated; their successors write what Fiji cannot read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*(legacy|removed)", category=DeprecationWarning)
        yield


@contextmanager
def _aliasing() -> Iterator[None]:
    """While tracing, put an ``aten::alias`` behind every operation.

    libtorch 1.13.1 and 2.0.0 compile each group of touching pointwise operations at every new image size, up to a
    minute for a large network. An alias between two of them costs nothing at run time and leaves no group to compile.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    def alias(result: object) -> object:
        if isinstance(result, torch.Tensor):
            return torch.ops.aten.alias(result)
        if isinstance(result, tuple | list) and not isinstance(result, torch.Size):
            return type(result)(alias(item) for item in result)
        return result

    sizes = {torch.Tensor.size, torch.Tensor.numel, torch.Tensor.dim}  # tensors while tracing, and used as numbers

    class Aliasing(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Callable[..., object],
            types: object,
            args: tuple[object, ...] = (),
            kwargs: dict[str, object] | None = None,
        ) -> object:
            result = func(*args, **(kwargs or {}))
            return result if func in sizes else alias(result)

    with Aliasing():
        yield


def _write_without_debug_records(archive: io.BytesIO, path: Path) -> None:
    """Write a TorchScript archive without its debug records: they hold the paths of this machine's sources."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            if entry.filename.endswith(".debug_pkl"):
                continue
            info = zipfile.ZipInfo(entry.filename)
            start = new.start_dir + 30 + len(entry.filename.encode()) + 4
            padding = -start % 64  # torch maps tensors from where they lie, so each starts at a multiple of 64
            info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            new.writestr(info, old.read(entry))


def difference(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Largest absolute difference as a part of the expected range; NaN where one is in either, inf for another shape.

    An almost constant result has a range below the rounding of its values: a tenth of these stands in for it.
    """
    if expected.shape != found.shape:
        return float("inf")
    extent = max(float(np.ptp(expected)), float(np.abs(expected).max()) / 10) or 1.0
    return float(np.abs(expected - found).max()) / extent


def _from_state_dict(folder: Path, kwargs: Mapping[str, Mapping[str, Any]]) -> "nn.Module":
    """Return the model that the architecture file builds, with the weights of the state dict."""
    import torch

    namespace: dict[str, Any] = {"__name__": "architecture"}
    exec(compile((folder / ARCHITECTURE).read_text(encoding="utf-8"), ARCHITECTURE, "exec"), namespace)
    module: nn.Module = namespace[CALLABLE](**kwargs)
    module.load_state_dict(torch.load(folder / STATE_DICT, weights_only=True))
    return module.eval()


def _first(run: Forward) -> Predict:
    return lambda images: run(images)[0]
