"""Open a model package, ours or a stranger's, as a denoiser."""

from __future__ import annotations

import warnings
from math import lcm
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes.bioimageio_core import Format, pipeline
from bmz_export.inspection import Inspection
from bmz_export.inspection.safety import unsafe
from bmz_export.package.archive import Package, open_package
from bmz_export.package.description import Axis, Tensor
from bmz_export.package.rdf import PROVENANCE, is_ours
from training.errors import PackageError
from training.inference.backends import Forward, Predict, from_onnx, from_torchscript
from training.inference.denoiser import Denoiser, TilesChangeTheResult
from training.inference.memory import is_out_of_memory
from training.inference.tiles import GLOBAL_HALO, halo_for, in_tiles, plan, smallest_tile
from training.networks import NETWORKS
from training.runs.provenance import Provenance
from training.util.devices import choose_device
from training.util.messages import one_line

_LARGEST_PROVENANCE = 2**24  # bytes
_ASSUMED_STRIDE = 16  # of a stranger's network that declares none: five levels of a U-Net
_FORMATS: tuple[Format, ...] = ("torchscript", "onnx", "pytorch_state_dict")  # the last runs Python of the package


def open_denoiser(path: Path, *, device: str = "auto", trust: bool = False) -> Denoiser:
    """Return the model of a package, a folder or a zip; see ``denoiser_of``."""
    with open_package(path) as package:
        return denoiser_of(package, device=device, trust=trust)


def denoiser_of(package: Package, *, device: str = "auto", trust: bool = False) -> Denoiser:
    """Return a package's model as a function over arrays, with what its tiling needs.

    Parameters
    ----------
    package : Package
        Opened; the model is all in memory afterwards.
    device : str
        ``auto`` or a device in torch's words; ONNX runs on the CPU whatever is said.
    trust : bool
        Whether Python that lies in the package may run: a package with a state dict alone needs it.

    Returns
    -------
    Denoiser
        TorchScript where the package has it, else ONNX, else the trusted state dict. It takes any size: images are
        mirrored up to a size that the model takes, or cut into tiles of the one size that it takes.

    Raises
    ------
    UserError
        When the package cannot be read, takes or gives anything but single planes of one channel and one size, or holds
        no weights that may run here.
    """
    takes, gives = _planes_only(package)
    format = _choose_format(package, trust)
    place = "cpu" if format == "onnx" else choose_device(device)
    provenance = stated_provenance(package)
    processed = bool(takes.operations or gives.operations) or format == "pytorch_state_dict"
    file = _safe_file(package, format, processing=processed, trust=trust)
    if processed:
        predict = _through_core(package, takes, gives, format, place)
    else:
        local = provenance is not None and _radius(provenance) is not None
        run = from_torchscript(file, place, channels_last=local) if format == "torchscript" else from_onnx(file)
        predict = _in_order(run, takes, gives)
    predict = _checked(predict, package.path)
    halo = tuple(axis.halo for axis in _space(gives))
    halo = halo if any(halo) else (GLOBAL_HALO,) * len(halo)
    if provenance is None:
        stride = tuple(lcm(axis.step or 1, _ASSUMED_STRIDE) for axis in _space(takes))
        local = not any(each.measures for each in takes.operations + gives.operations)
        return Denoiser(_any_size(predict, takes, halo, stride, local), halo, stride, local=local, device=place)
    network, radius = NETWORKS[provenance.network.name], _radius(provenance)
    stride = network.stride
    return Denoiser(  # ours take any size by themselves
        predict,
        halo=tuple(map(max, halo, halo_for(radius, stride))),  # a package may declare less, where the seam is small
        stride=stride,
        trained_on=provenance.trained_on,
        local=radius is not None,
        bytes_per_pixel=network.bytes_per_pixel,
        device=place,
    )


def _planes_only(package: Package) -> tuple[Tensor, Tensor]:
    """The one input and output of a model from planes to planes of the same size."""
    description = package.description
    if len(description.inputs) != 1 or len(description.outputs) != 1:
        raise PackageError(
            f"{package.path}: {len(description.inputs)} inputs and {len(description.outputs)} outputs; "
            "a denoiser has one of each"
        )
    takes, gives = description.inputs[0], description.outputs[0]
    for tensor in (takes, gives):
        if not {"x", "y"} <= set(tensor.order) <= set("bcyx") or len(set(tensor.order)) < len(tensor.order):
            raise PackageError(
                f"{package.path}: {tensor.id} has the axes {tensor.order}; only planes (y, x) are denoised"
            )
        channel = tensor.axis("c")
        channels = 1 if channel is None else channel.size or len(channel.channel_names or ("one",))
        if channels != 1:
            raise PackageError(f"{package.path}: {tensor.id} has {channels} channels; only one at a time is denoised")
    if any((axis.scale != 1 and axis.reference) or axis.offset for axis in gives.space):
        raise PackageError(f"{package.path}: the result has another size than the image, so this is no denoiser")
    return takes, gives


def _choose_format(package: Package, trust: bool) -> Format:
    there = [name for name in _FORMATS if name in package.description.weights]
    if there and (trust or there[0] != "pytorch_state_dict"):
        return there[0]
    if there:
        raise PackageError(
            f"{package.path}: holds a state dict alone, and running it runs Python code of the package; if you trust "
            "whoever made it, add `trust`"
        )
    held = ", ".join(package.description.weights) or "none"
    raise PackageError(f"{package.path}: its weights ({held}) do not run here; TorchScript or ONNX is needed")


def _safe_file(package: Package, format: Format, *, processing: bool, trust: bool) -> Path:
    """The weights file, judged before anything loads it: it lies in the package and does nothing but compute."""
    source = package.description.weights[format].source
    file = package.file(source)
    if file is None:
        raise PackageError(f"{package.path}: the weights file {source!r} is not in the package; get it whole")
    reason = unsafe(Inspection(package), format, processing=processing, trust=trust)
    if reason:
        raise PackageError(f"{package.path}: {source} is not loaded: {reason}; bmz-fmd check {package.path} says more")
    return file


def _through_core(package: Package, takes: Tensor, gives: Tensor, format: Format, device: str) -> Predict:
    """bioimageio.core runs what has operations of its own, as the reference of what they mean, and state dicts."""
    try:
        run = pipeline(package.description.path, format, device)
    except Exception as error:  # noqa: BLE001 a stranger's package may fail in any way
        raise PackageError(f"{package.path}: bioimageio.core cannot open it ({one_line(str(error))})") from None

    return _in_order(run, takes, gives, together=False)  # each image has statistics of its own


def _in_order(run: Forward, takes: Tensor, gives: Tensor, *, together: bool = True) -> Predict:
    """Give the model its own order of axes, one image at a time where it takes no batch."""
    batch = takes.axis("b")
    together = together and batch is not None and batch.size is None

    def ordered(images: NDArray[np.float32]) -> NDArray[np.float32]:
        results = []
        for part in [images] if together else np.split(images, len(images)):
            outputs = run(_shape(part, takes))
            if len(outputs) != 1:
                raise ValueError(f"it returns {len(outputs)} tensors")
            results.append(_unshape(np.asarray(outputs[0], np.float32), gives))
        return np.concatenate(results)

    return ordered


def _shape(images: NDArray[np.float32], tensor: Tensor) -> NDArray[np.float32]:
    """From (B, 1, H, W) to the tensor's axes."""
    dropped = tuple("bcyx".index(letter) for letter in "bc" if letter not in tensor.order)
    kept = [letter for letter in "bcyx" if letter in tensor.order]
    squeezed = images.squeeze(dropped) if dropped else images
    return np.ascontiguousarray(squeezed.transpose([kept.index(letter) for letter in tensor.order]))


def _unshape(result: NDArray[np.float32], tensor: Tensor) -> NDArray[np.float32]:
    """From the tensor's axes to (B, 1, H, W)."""
    kept = [letter for letter in "bcyx" if letter in tensor.order]
    result = result.transpose([tensor.order.index(letter) for letter in kept])
    return np.expand_dims(result, tuple("bcyx".index(letter) for letter in "bc" if letter not in tensor.order))


def _checked(run: Predict, path: Path) -> Predict:
    """Say in a line what a model does wrong: a stranger's may fail, or return another size, in any way."""

    def checked(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            result = run(images)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise PackageError(
                f"{path}: its model fails on an image of {_size(images)} ({one_line(str(error))}); "
                f"bmz-fmd check {path} says more"
            ) from None
        if result.shape != images.shape:
            raise PackageError(
                f"{path}: its model makes {_size(result)} of {_size(images)}, so this is no denoiser; "
                f"bmz-fmd check {path} says more"
            )
        return result

    return checked


def _any_size(run: Predict, takes: Tensor, halo: tuple[int, ...], stride: tuple[int, ...], local: bool) -> Predict:
    """Mirror images up to a size that the model takes; along an axis of one size alone, cut them into tiles of it."""
    axes = _space(takes)

    def mirrored(images: NDArray[np.float32]) -> NDArray[np.float32]:
        space = images.shape[2:]
        lacking = [(0, _allowed(*each) - each[1]) for each in zip(axes, space, strict=True)]
        result = run(np.ascontiguousarray(np.pad(images, [(0, 0), (0, 0), *lacking], mode="symmetric")))
        return result[(slice(None), slice(None), *map(slice, space))]

    if all(axis.size is None for axis in axes):
        return mirrored
    cuts = [_within(*each) for each in zip(axes, halo, stride, strict=True)]

    def tiled(images: NDArray[np.float32]) -> NDArray[np.float32]:
        sides = [axis.size or length for axis, length in zip(axes, images.shape[2:], strict=True)]
        tiles = plan(images.shape[2:], sides, *zip(*cuts, strict=True))
        if len(tiles) > 1 and not local:
            warnings.warn(
                f"the model takes {' x '.join(map(str, sides))} pixels alone and measures each image, so tiles change "
                "the result",
                TilesChangeTheResult,
                stacklevel=2,
            )
        return in_tiles(mirrored, images, tiles)

    return tiled


def _within(axis: Axis, halo: int, stride: int) -> tuple[int, int]:
    """Return the halo and stride that a tile of the axis's one size has room for."""
    if axis.size is None:
        return halo, stride
    halo = max(min(halo, (axis.size - stride) // 2 // stride * stride), 0)
    return (halo, stride) if axis.size >= smallest_tile(halo, stride) else (0, 1)


def _allowed(axis: Axis, size: int) -> int:
    """Return the one size of an axis, or the least ``min + n * step`` that holds ``size``."""
    least, step = axis.size or axis.min or 1, axis.step or 1
    return least if axis.size else least + max(0, -(-(size - least) // step)) * step


def _space(tensor: Tensor) -> tuple[Axis, ...]:
    """Return the axes y and x, in this order."""
    return tuple(axis for letter in "yx" for axis in tensor.axes if axis.letter == letter)


def stated_provenance(package: Package) -> Provenance | None:
    """What our own packages say of their making; a file of that name in a stranger's says nothing."""
    file = package.file(PROVENANCE)
    if file is None or not is_ours(package.folder):
        return None
    try:
        with file.open("rb") as stream:
            stated = Provenance.model_validate_json(stream.read(_LARGEST_PROVENANCE))
    except (OSError, ValueError):
        return None
    entry = package.description.weights.get("pytorch_state_dict")
    return stated if entry is None or entry.kwargs.get("network") == stated.network.settings else None


def _radius(provenance: Provenance) -> tuple[int, ...] | None:
    """Receptive radius in pixels along each axis; None where the whole image matters."""
    try:
        radius = NETWORKS[provenance.network.name].radius(provenance.network.settings)
    except (TypeError, ValueError):  # settings that are none: whoever wrote them
        return None
    return None if provenance.calibration["statistics"] == "instance" else radius


def _size(images: NDArray[np.float32]) -> str:
    return " x ".join(map(str, images.shape))
