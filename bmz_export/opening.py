"""Open a model package, ours or a stranger's, as a denoiser."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bmz_export.inspection import Inspection
from bmz_export.inspection.safety import unsafe
from bmz_export.package.archive import Package, open_package
from bmz_export.package.description import Axis, Tensor
from bmz_export.package.rdf import PROVENANCE
from training.errors import PackageError
from training.inference.networks import GLOBAL_HALO
from training.inference.networks import halo as halo_for
from training.inference.tiles import BYTES_PER_PIXEL, TilesChangeTheResult, is_out_of_memory, plan, smallest_tile
from training.networks import NETWORKS
from training.runs.provenance import Provenance
from training.util.devices import choose_device

if TYPE_CHECKING:
    from training.inference.denoising import Denoiser

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_ASSUMED_STRIDE = 16  # of a stranger's network that declares none: five levels of a U-Net
Format = Literal["torchscript", "onnx", "pytorch_state_dict"]
_FORMATS: tuple[Format, ...] = ("torchscript", "onnx", "pytorch_state_dict")  # the last runs Python of the package


def open_denoiser(path: Path, *, device: str = "auto", trust: bool = False) -> Denoiser:
    """Return a package's model as a function over arrays, with what its tiling needs.

    Parameters
    ----------
    path : Path
        The folder or the zip.
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
    from training.inference.denoising import Denoiser

    with open_package(path) as package:
        takes, gives = _planes_only(package)
        format = _choose_format(package, trust)
        place = "cpu" if format == "onnx" else choose_device(device)
        whole = bool(takes.operations or gives.operations) or format == "pytorch_state_dict"
        file = _safe_file(package, format, processing=whole, trust=trust)
        if whole:
            run = _through_core(package, takes, gives, format, place)
        else:
            run = _in_order(_torchscript(file, place) if format == "torchscript" else _onnx(file), takes, gives)
        provenance = _provenance(package)
    halo = max((axis.halo for axis in gives.space), default=0) or GLOBAL_HALO
    steps = [axis.step for axis in takes.space if axis.step]
    stride, local = lcm(*steps, _ASSUMED_STRIDE), not any(each.measures for each in takes.operations + gives.operations)
    run = _told(run, path)
    memory = float(BYTES_PER_PIXEL)
    if provenance is None:
        run = _any_size(run, takes, halo, stride, local)
    else:  # ours take any size by themselves
        network = NETWORKS[provenance.network.name]
        stride, radius, memory = network.stride, _radius(provenance), network.bytes_per_pixel
        local = radius is not None
        halo = max(halo, halo_for(radius, stride))  # a package may declare less, where the seam is small
    return Denoiser(
        predict=run,
        halo=halo,
        stride=stride,
        trained_on=None if provenance is None else provenance.trained_on,
        local=local,
        bytes_per_pixel=memory,
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
        if sorted(tensor.order.replace("b", "").replace("c", "")) != ["x", "y"] or len(set(tensor.order)) < len(
            tensor.order
        ):
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
    for name in there:
        if name != "pytorch_state_dict" or trust:
            return name
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


def _torchscript(file: Path, device: str) -> Run:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*deprecated")
            module = torch.jit.load(str(file), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise PackageError(f"{file.name}: not TorchScript that this torch loads ({_first_line(error)})") from None

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            result: NDArray[np.float32] = module(torch.from_numpy(images).to(device)).float().cpu().numpy()
        return result

    return run


def _onnx(file: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        # from memory: a file that names others as its weights could read any file of this machine
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 its errors share no base of their own
        raise PackageError(f"{file.name}: not ONNX that this runtime loads ({_first_line(error)})") from None
    name = session.get_inputs()[0].name

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {name: images})[0], dtype=np.float32)

    return run


def _through_core(package: Package, takes: Tensor, gives: Tensor, format: Format, device: str) -> Run:
    """bioimageio.core runs what has operations of its own, as the reference of what they mean, and state dicts."""
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import create_sample_for_model
    from bioimageio.spec import load_model_description

    try:
        model = load_model_description(package.description.path, perform_io_checks=False)
        pipeline = create_prediction_pipeline(model, weights_format=format, devices=[device])
        pipeline.load()  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 a stranger's package may fail in any way
        raise PackageError(f"{package.path}: bioimageio.core cannot open it ({_first_line(error)})") from None

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        results = []
        for image in images:
            shaped = _shape(image[None], takes)
            sample = create_sample_for_model(model, inputs={takes.id: shaped})
            output = pipeline.predict_sample_without_blocking(
                sample, skip_input_padding=True, skip_output_cropping=True
            ).members
            (result,) = output.values()
            results.append(_unshape(np.asarray(result.data.values, dtype=np.float32), gives))
        return np.concatenate(results)

    return run


def _in_order(run: Run, takes: Tensor, gives: Tensor) -> Run:
    """Give the model its own order of axes, one image at a time where it takes no batch."""
    batch = takes.axis("b")
    together = batch is not None and batch.size is None

    def ordered(images: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = [images] if together else [image[None] for image in images]
        return np.concatenate([_unshape(run(_shape(part, takes)), gives) for part in parts])

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


def _told(run: Run, path: Path) -> Run:
    """Say in a line what a model does wrong: a stranger's may fail, or return another size, in any way."""

    def checked(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            result = run(images)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise PackageError(
                f"{path}: its model fails on an image of {_size(images)} ({_last_line(error)}); "
                f"bmz-fmd check {path} says more"
            ) from None
        if result.shape != images.shape:
            raise PackageError(
                f"{path}: its model makes {_size(result)} of {_size(images)}, so this is no denoiser; "
                f"bmz-fmd check {path} says more"
            )
        return result

    return checked


def _any_size(run: Run, takes: Tensor, halo: int, stride: int, local: bool) -> Run:
    y, x = takes.axis("y"), takes.axis("x")
    assert y is not None and x is not None
    if y.size is None and x.size is None:

        def padded(images: NDArray[np.float32]) -> NDArray[np.float32]:
            height, width = images.shape[-2:]
            return run(_mirror(images, _allowed(y, height), _allowed(x, width)))[..., :height, :width]

        return padded

    side = min(axis.size for axis in (y, x) if axis.size is not None)
    halo = min(halo, (side - stride) // 2 // stride * stride)
    if side < smallest_tile(max(halo, 0), stride):
        halo, stride = 0, 1

    def tiled(images: NDArray[np.float32]) -> NDArray[np.float32]:
        result = np.empty_like(images)
        tiles = plan(images.shape[-2:], side, halo, stride)
        if len(tiles) > 1 and not local:
            warnings.warn(
                f"the model takes {side} x {side} pixels alone and measures each image, so tiles change the result",
                TilesChangeTheResult,
                stacklevel=2,
            )
        for rows, columns in tiles:
            tile = images[..., rows.tile, columns.tile]
            found = run(_mirror(tile, y.size or _allowed(y, side), x.size or _allowed(x, side)))
            found = found[..., : tile.shape[-2], : tile.shape[-1]]
            result[..., rows.core, columns.core] = found[..., rows.core_in_tile, columns.core_in_tile]
        return result

    return tiled


def _allowed(axis: Axis, size: int) -> int:
    """The least size ``min + n * step`` that holds ``size``."""
    least, step = axis.min or 1, axis.step or 1
    return least + max(0, -(-(size - least) // step)) * step


def _mirror(images: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    lacking = (height - images.shape[-2], width - images.shape[-1])
    if not any(lacking):
        return np.ascontiguousarray(images)
    return np.pad(images, [(0, 0), (0, 0), (0, lacking[0]), (0, lacking[1])], mode="symmetric")


def _provenance(package: Package) -> Provenance | None:
    """What our own packages say of their making; a file of that name in a stranger's says nothing."""
    file = package.file(PROVENANCE)
    if file is None:
        return None
    try:
        return Provenance.model_validate_json(file.read_bytes())
    except ValueError:
        return None


def _radius(provenance: Provenance) -> int | None:
    """Receptive radius in pixels; None where the whole image matters."""
    try:
        radius = NETWORKS[provenance.network.name].radius(provenance.network.settings)
    except (TypeError, ValueError):  # settings that are none: whoever wrote them
        return None
    return None if provenance.calibration["statistics"] == "instance" else radius


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _size(images: NDArray[np.float32]) -> str:
    return " x ".join(map(str, images.shape))


def _last_line(error: Exception) -> str:
    """Where TorchScript says what went wrong, behind the lines of its code."""
    return next(iter(reversed(str(error).strip().splitlines())), type(error).__name__)[:200]
