"""A published denoiser for noisy images as they are: calibrated on them, nothing trained and nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmz_fmd.paths import StrPath, as_path

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bmz_fmd.models import Model
    from training.calibration.camera import CameraProfile
    from training.calibration.layer import Calibrated
    from training.checkpoints import Checkpoint
    from training.data.dataset import Undivided
    from training.runs.provenance import Provenance
    from training.util.progress import Listener

    Noisy = StrPath | NDArray[Any] | xr.DataArray


def zero_shot(
    noisy: Noisy | Sequence[Noisy],
    *,
    network: str | None = None,
    network_settings: dict[str, Any] | None = None,
    checkpoint: StrPath | None = None,
    camera: StrPath | CameraProfile | None = None,
    channel: str | None = None,
    device: str = "auto",
    fetch: bool | Callable[[Checkpoint], bool] = False,
    listener: Listener | None = None,
    **settings: object,
) -> Model:
    """Choose the calibration of a published denoiser on noisy images alone: one is enough.

    Parameters
    ----------
    noisy : path, ndarray (..., Y, X), DataArray, or a sequence of these
        The images, of one camera setting: one calibration is chosen for all their planes.
    network, network_settings, checkpoint, fetch
        As for ``train``; weights are needed.
    camera : path or CameraProfile, optional
        What ``bmz-fmd camera measure`` wrote; by default the noise is measured on the images.
    channel : str, optional
        The channel of files that have several, by name or number from 0.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    listener : Listener, optional
        Gets notes, warnings and progress; by default notes go to the logger ``bmz_fmd``, warnings to ``warnings``.
    **settings
        ``transform``, ``statistics``, ``sigma`` or ``seed``; see ``training.runs.settings.Recipe``.

    Returns
    -------
    Model
        Call it with an image; ``denoise`` takes it too. For a package, give ``export`` what
        ``train(noisy=DIR, method="zero_shot")`` returns.

    Raises
    ------
    UserError
        If an image cannot be read or is too small to measure its noise, or there are no weights.

    Examples
    --------
    >>> model = bmz_fmd.zero_shot(image)  # doctest: +SKIP
    >>> denoised = model(image)  # doctest: +SKIP
    """
    from bmz_fmd.models import Model
    from training.calibration.camera import read_camera
    from training.fitting import start
    from training.fitting.state import calibrated_start
    from training.runs.model import as_denoiser
    from training.util.devices import choose_device
    from training.util.progress import logged

    device = choose_device(device)
    images = _images(noisy, channel)
    request = start.Request(
        network=network,
        network_settings=network_settings or {},
        checkpoint=None if checkpoint is None else str(as_path("checkpoint", checkpoint)),
        changes=settings,
        camera=read_camera(as_path("camera", camera)) if isinstance(camera, str | os.PathLike) else camera,
    )
    listener = listener or logged()
    chosen, note = start.zero_shot_settings(request, confirm=fetch if callable(fetch) else lambda asked: fetch)
    if note:
        listener.note(note)
    model, provenance, _ = calibrated_start(chosen, images, device, listener)
    listener.note(summary(provenance, len(images.train)))
    digest = _digest(model)
    return Model(
        Path("zero-shot"), "calibration", as_denoiser(model, provenance, device), "weights", digest, provenance
    )


def summary(provenance: Provenance, planes: int) -> str:
    """Return in one line what was chosen: the camera, the transform, the level of noise, and what error is expected."""
    from training.util.text import counted

    chosen, camera, origin = provenance.calibration, provenance.camera, provenance.checkpoint
    affine = chosen["transform"] == "affine"
    level = 255 * (provenance.trained_on.noise if affine else 1) / chosen["scale"]
    shape = {"affine": "scaled", "anscombe": "behind an Anscombe transform", "spline": "behind a spline"}
    error = 100 * (provenance.expected_error or 0)
    expected = f"{error:.1f} %" if error >= 1 else "below 1 %"  # nearer it is not known
    told = f", told {255 * chosen['sigma']:.3g}/255" if chosen["noise_map"] else ""
    words = [
        f"{provenance.network.name}{f' ({origin.name})' if origin else ''} for {counted(planes, 'plane')}",
        f"camera gain {camera.gain}, zero level {camera.zero_level}" if camera else "",
        f"noise {shape[chosen['transform']]} to {level:.3g}/255{told}",
        f"expected square error {expected} of the noise's",
    ]
    return "zero-shot: " + "; ".join(filter(None, words))


def _images(noisy: Any, channel: str | None) -> Undivided:  # noqa: ANN401 see ``zero_shot``
    """Return all planes of the images."""
    from bmz_fmd.arrays import as_planes
    from training.data import Sample
    from training.data.dataset import Undivided
    from training.data.sample import DataSource
    from training.data.sets.folders import FolderOptions, read_folders
    from training.errors import ImageError

    samples: list[Sample] = []
    files: dict[str, Path] = {}
    sources: list[DataSource] = []
    for number, image in enumerate(noisy if isinstance(noisy, list | tuple) else [noisy]):
        if isinstance(image, str | os.PathLike):
            found = read_folders(FolderOptions(noisy=Path(image), channel=channel))
            samples += found.samples
            files |= {f"{number}/{name}": path for name, path in found.files.items()}
            sources.append(found.source)
        else:
            planes = as_planes(image)
            samples += [Sample.of_arrays(f"image_{number}_{at}", plane) for at, plane in enumerate(planes)]
            sources.append(DataSource(dtype=str(planes.dtype)))
    if not samples:
        raise ImageError("`noisy` holds no image: give one, or more")
    return Undivided("zero-shot", sources[0], samples, files)


def _digest(model: Calibrated) -> str:
    """Return the sha256 of a model's weights and constants, which tells one calibration from another."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
