"""The Python interface: what ``import bmz_fmd`` gives. What is heavy is imported when a function runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from bmz_fmd.judging import SHARE
from bmz_fmd.paths import StrPath, as_package, as_path

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bmz_fmd.judging import Images
    from bmz_fmd.models import Model
    from bmz_fmd.pairs import Images as Pairs
    from training.calibration.camera import CameraProfile
    from training.checkpoints import Checkpoint
    from training.evaluation.scoring import Evaluation
    from training.evaluation.trust import Trust
    from training.runs.run import Run
    from training.util.progress import Listener


def load(path: StrPath | Run, *, device: str = "auto", trust: bool = False) -> Model:
    """Open a run folder, or a model package (folder or zip) of any origin, as a function from image to image.

    Parameters
    ----------
    path : path or Run
        Such as ``runs/my-cells`` or ``packages/my-cells.zip``, or what ``train`` returned; or ``bioimage.io/NAME``, a
        DOI of Zenodo or an address, which is fetched once.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    trust : bool
        Whether Python that lies in a package may run: a package with a state dict alone needs it.

    Returns
    -------
    Model
        Call it with an image; ``name``, ``trained_on``, ``camera`` and ``provenance`` say what it is.

    Raises
    ------
    UserError
        If there is no model, it is damaged, or it may not be loaded.

    Examples
    --------
    >>> denoise = bmz_fmd.load("packages/my-cells.zip")  # doctest: +SKIP
    >>> denoised = denoise(image)  # doctest: +SKIP
    """
    from bmz_fmd.models import open_model
    from training.runs.run import Run

    return open_model(path.folder if isinstance(path, Run) else as_package("model", path), device, trust=trust)


@overload
def denoise(
    image: NDArray[Any],
    model: StrPath | Run | Model,
    *,
    channel: str | int | None = None,
    tile: int | None = None,
    device: str = "auto",
    trust: bool = False,
) -> NDArray[Any]: ...
@overload
def denoise(
    image: StrPath | xr.DataArray,
    model: StrPath | Run | Model,
    *,
    channel: str | int | None = None,
    tile: int | None = None,
    device: str = "auto",
    trust: bool = False,
) -> xr.DataArray: ...
def denoise(
    image: StrPath | NDArray[Any] | xr.DataArray,
    model: StrPath | Run | Model,
    *,
    channel: str | int | None = None,
    tile: int | None = None,
    device: str = "auto",
    trust: bool = False,
) -> NDArray[Any] | xr.DataArray:
    """Denoise one image with a run or a package.

    Parameters
    ----------
    image : path, ndarray (..., Y, X), or DataArray with the axes Y and X
        In the units of the training images.
    model : path, Run or Model
        Load it once (``load``) where there are several images.
    channel, tile, device, trust
        As in a call of the model, and as for ``load``.

    Returns
    -------
    ndarray or DataArray
        As a call of the model returns it; of a file a DataArray with its named axes.

    Raises
    ------
    UserError
        If the image or the model cannot be read, or they do not fit.
    """
    import numpy as np

    opened = _opened(model, device=device, trust=trust)
    if isinstance(image, str | os.PathLike):
        from training.images import open_image

        return opened(open_image(Path(image)), tile=tile, channel=channel).compute()
    if isinstance(image, np.ndarray):
        return opened(image, tile=tile, channel=channel)
    return opened(image, tile=tile, channel=channel)


def train(
    noisy: StrPath | None = None,
    clean: StrPath | None = None,
    *,
    name: str | None = None,
    network: str | None = None,
    network_settings: dict[str, Any] | None = None,
    checkpoint: StrPath | None = None,
    recipe: StrPath | None = None,
    method: str | None = None,
    camera: StrPath | CameraProfile | None = None,
    dataset: str | None = None,
    data: StrPath | None = None,
    pattern: str | None = None,
    channel: str | None = None,
    preparation: str | None = None,
    options: dict[str, Any] | None = None,
    device: str = "auto",
    devices: int | None = None,
    resume: bool = False,
    fetch: bool | Callable[[Checkpoint], bool] = False,
    listener: Listener | None = None,
    **settings: object,
) -> Run:
    """Fine-tune a denoiser on noisy images, with clean ones or without, and return its run folder below ``runs/``.

    Parameters
    ----------
    noisy, clean : path, optional
        A folder or a stack each, of the same names. Without ``clean``, the network learns from noisy images alone.
    name : str, optional
        Of the run; by default data set, network and date.
    network : str, optional
        ``drunet`` (the default), ``restormer``, ``kbnet`` or ``dncnn``.
    network_settings : dict, optional
        Where they differ from the published ones.
    checkpoint : str or path, optional
        Weights to start from: a published name, a file, or ``"none"``; by default the published ones.
    recipe : str or path, optional
        Name or file; by default that of the network.
    method : str, optional
        How it learns, by a name of ``training.methods.METHODS``: by default ``supervised`` where there are clean
        images, else what fits the frames of each field and the noise; a note says why.
    camera : path or CameraProfile, optional
        What ``bmz-fmd camera measure`` wrote; by default the noise is measured on the training images.
    dataset, data : optional
        A data set by name, and the folder with its files, instead of ``noisy`` and ``clean``.
    pattern, channel, preparation, options : optional
        How names of a pair differ, the channel that trains, what is cut, and what a data set takes besides.
    device, devices
        ``auto``, ``cpu``, ``cuda``, ``mps``, and how many GPUs.
    resume : bool
        Go on with the run of this name.
    fetch : bool or callable
        Whether to fetch the published weights, where they are needed and were not fetched before; a function is asked.
    listener : Listener, optional
        Gets notes, warnings and progress; by default notes go to the logger ``bmz_fmd``, warnings to ``warnings``.
    **settings
        Over the recipe, such as ``epochs=50`` or ``lr=1e-4``; see ``training.runs.settings.Recipe``.

    Returns
    -------
    Run
        Its ``folder`` holds weights, curves, scores and pictures; ``export`` and ``load`` take it.

    Raises
    ------
    UserError
        If the images, the settings or the weights do not fit; nothing is left half made.
    """
    from training.calibration.camera import read_camera
    from training.data import DataSettings
    from training.fitting import start, trainer
    from training.runs.settings import checked
    from training.util.devices import choose_devices
    from training.util.progress import logged

    for what, path in (("noisy", noisy), ("clean", clean), ("data", data)):
        if path is not None:
            as_path(what, path)
    given = {
        "dataset": dataset, "data": data, "noisy": noisy, "clean": clean, "pattern": pattern, "channel": channel,
        "preparation": preparation, "options": options,
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    request = start.Request(
        data=checked(DataSettings, given, "the data") if given else None,
        network=network,
        network_settings=network_settings or {},
        checkpoint=None if checkpoint is None else str(as_path("checkpoint", checkpoint)),
        recipe=None if recipe is None else str(as_path("recipe", recipe)),
        changes=settings,
        method=method,
        camera=read_camera(as_path("camera", camera)) if isinstance(camera, str | os.PathLike) else camera,
        name=name,
    )
    listener = listener or logged()
    choose_devices(device, devices)  # what is not here is said before a run folder is made
    if resume:
        run, opened = start.resumed_run(request), None
    else:
        run, opened, note = start.new_run(request, confirm=fetch if callable(fetch) else lambda checkpoint: fetch)
        if note:
            listener.note(note)
    try:
        trainer.train(run, dataset=opened, resume=resume, device=device, devices=devices, listener=listener)
    except KeyboardInterrupt:
        held = "the best weights so far" if run.checkpoint().is_file() else "its settings alone"
        listener.note(f"{run.folder} holds {held}; go on with bmz-fmd train `resume` `name` {run.name}")
        raise
    return run


def evaluate(
    model: StrPath | Run | Model,
    noisy: Pairs | None = None,
    clean: Pairs | None = None,
    *,
    pattern: str | None = None,
    channel: str | None = None,
    convention: Literal["raw", "affine", "percentile", "minmax"] = "affine",
    data_range: float | None = None,
    baselines: Sequence[str] = (),
    tile: int | None = None,
    device: str = "auto",
    trust: bool = False,
) -> Evaluation:
    """Score a run or a package on pairs of noisy and clean images.

    Parameters
    ----------
    model : path, Run or Model
        What denoises.
    noisy, clean : path, ndarray, DataArray or sequence of these, optional
        Folders or files, or images (..., Y, X) of which every plane counts; by default the run's own test images.
    pattern, channel : str, optional
        How names of a pair differ, and the channel to score; of files.
    convention : {"affine", "raw", "percentile", "minmax"}
        Noisy and denoised images are first fitted to the clean one; compared as they are; scaled and fitted as CARE
        does; or scaled by the noisy image's range as AUTO-DIP does. The last two have a peak of their own.
    data_range : float, optional
        Peak of PSNR and SSIM in units of the clean images; by default 255 for 8 bits, or as the run counted.
    baselines : sequence of str
        What is scored beside it on the same images: ``"bm3d"`` or another name as of ``baseline``, ``"all"`` of them,
        another run or package, ``"N2V=runs/other"``, outputs of others, ``"CARE=stack.tif"``, in the order of the test
        images, and ``"careamics-n2v"`` or ``"careamics-care:30"`` (epochs), where CAREamics is installed.
    tile, device, trust
        As for ``load`` and a call of the model.

    Returns
    -------
    Evaluation
        Figures of each image, their mean and deviation, what they say in words (``findings()``), those of the baselines
        with what the model gains over each, and how many of the images the model was made with (``overlap``).

    Raises
    ------
    UserError
        If images or model cannot be read, or do not fit.
    """
    import warnings

    from bmz_fmd.evaluation import score
    from bmz_fmd.pairs import open_pairs
    from training.errors import SettingError
    from training.evaluation.metrics import Convention

    if convention not in get_args(Convention):
        raise SettingError(f"`convention` {convention}: choose from {', '.join(get_args(Convention))}")
    opened = _opened(model, device=device, trust=trust)
    pairs = open_pairs(opened, noisy, clean, pattern=pattern, channel=channel, warn=warnings.warn)
    return score(opened, pairs, convention=convention, data_range=data_range, tile=tile, baselines=baselines)


def trust(
    model: StrPath | Run | Model,
    images: Images | Sequence[Images],
    clean: Images | None = None,
    *,
    pattern: str | None = None,
    channel: str | None = None,
    repeats: bool = False,
    share: float = SHARE,
    limit: int = 20,
    tile: int | None = None,
    turned: bool = True,
    device: str = "auto",
    trust: bool = False,
) -> Trust:
    """Judge a model's results of noisy images without clean ones: green, amber or red, and why.

    Parameters
    ----------
    model : path, Run or Model
        What denoises.
    images : path, ndarray, DataArray or sequence of these
        Noisy folders or files, or images (..., Y, X), in the units of the training images; every plane is judged.
    clean : path, ndarray or DataArray, optional
        Clean images of the same place: an error bar is fixed on half of them and checked on the others.
    pattern, channel : str, optional
        How names of a pair differ, and the channel to judge; of files.
    repeats : bool
        Whether time points and repeats of a field, in files by their names, subfolders or the axis T, in an array its
        planes, are noisy frames of one field: the first is judged, and the second tells which contrast it keeps.
    share : float
        Part of the clean pixels of an image that the error bar is to hold, above 0 and below 1.
    limit : int
        Judge at most so many planes, evenly spread; 0: every one.
    turned : bool
        Whether turned and mirrored inputs are denoised too, which takes four times as long; an error bar needs it.
    tile, device, trust
        As for ``load`` and a call of the model.

    Returns
    -------
    Trust
        ``verdict``, ``images`` with a verdict, findings in words and measures each, ``interval`` and ``summary()``.

    Raises
    ------
    UserError
        If images or model cannot be read, or do not fit.
    """
    from bmz_fmd.judging import judge, open_images

    several: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
    opened = _opened(model, device=device, trust=trust)
    samples = open_images(several, clean, pattern=pattern, channel=channel, repeats=repeats, limit=limit)
    return judge(opened, samples, share=None if clean is None else share, tile=tile, turned=turned)


def _opened(model: StrPath | Run | Model, *, device: str, trust: bool) -> Model:
    from bmz_fmd.models import Model

    return model if isinstance(model, Model) else load(model, device=device, trust=trust)
