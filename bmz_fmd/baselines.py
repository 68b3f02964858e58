"""Other denoisers in the words of the command line: classical ones as a model, and any beside one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from bmz_fmd.paths import as_path
from training.errors import DataError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bmz_fmd.models import Model
    from bmz_fmd.pairs import Pairs
    from bmz_fmd.paths import StrPath
    from training.calibration.camera import CameraProfile
    from training.data import Sample
    from training.evaluation.baselines import Baseline
    from training.evaluation.comparison import Other
    from training.evaluation.metrics import Convention

ALL = "all"
_NAMED = 4  # test images that a message names
_ROWS = ("noisy", "mean", "sd")  # of the table


def baseline(name: str, *, camera: StrPath | CameraProfile | None = None) -> Model:
    """Return a classical denoiser, such as BM3D, as a function from image to image: no training, no weights.

    The noise is measured on each plane, and where there is something to set, what has the least expected error (Stein's
    risk) is taken.

    Parameters
    ----------
    name : str
        ``bm3d``, ``gaussian``, ``median``, ``non-local-means``, ``total-variation``, ``wavelets`` or
        ``sparse-variational``.
    camera : path or CameraProfile, optional
        What ``bmz-fmd camera measure`` wrote: its noise counts, where it fits an image or that is too small to measure.

    Returns
    -------
    Model
        Call it with an image; ``denoise`` and ``trust`` take it too.

    Raises
    ------
    UserError
        If there is no such baseline, or the camera's profile cannot be read.

    Examples
    --------
    >>> denoised = bmz_fmd.baseline("bm3d")(image)  # doctest: +SKIP
    """
    import hashlib

    from bmz_fmd.models import Model
    from training.calibration.camera import read_camera
    from training.evaluation.baselines import denoised
    from training.inference.denoiser import of_planes
    from training.runs.provenance import versions

    chosen = _known(name)
    profile = read_camera(as_path("camera", camera)) if isinstance(camera, str | os.PathLike) else camera
    denoiser = of_planes(lambda plane: denoised(chosen, plane, profile)[0])
    made_by = [name, str(sorted(versions().items())), "" if profile is None else profile.model_dump_json()]
    digest = hashlib.sha256("\n".join(made_by).encode()).hexdigest()
    return Model(Path(name), "baseline", denoiser, "name, versions and camera", digest)


def open_others(
    words: Sequence[str],
    model: Model,
    pairs: Pairs,
    *,
    convention: Convention,
    data_range: float,
    note: Callable[[str], object],
) -> list[Other]:
    """Return what is to be scored beside a model.

    Classical baselines by name or ``all``; ``careamics-n2v`` and ``careamics-care``, with ``:EPOCHS`` behind them or
    not; ``NAME=PATH``, another run or package, or else outputs of others. Settings of classical ones are searched on
    the validation images of the run whose test images the pairs are, where these have clean ones, else on each image.

    Raises
    ------
    UserError
        For a name that is not known or given twice, or outputs that do not fit the test images.
    """
    from training.evaluation.baselines import BASELINES
    from training.evaluation.careamics import TITLES

    if isinstance(words, str):
        raise SettingError(f"`baselines` {words}: give a list, such as [{words!r}]")
    every = [name for word in words for name in (BASELINES if word == ALL else [word])]
    found = []
    for word in dict.fromkeys(every):
        name, given, path = word.partition("=")
        if given:
            if not name or not path:
                raise SettingError(f"`baselines` {word}: give NAME=FILE, a name and where its outputs or its model lie")
            if name.lower() in _ROWS:
                raise SettingError(f"`baselines` {word}: {name} is another row of the table; choose another name")
            found.append((_model if _is_model(Path(path)) else _published)(name, Path(path), pairs))
        elif word.partition(":")[0] in TITLES:
            found.append(_careamics(word, model, pairs, note))
        else:
            found.append(_computed(_known(word), model, pairs, convention, data_range))
    names = [other.name for other in found]
    for name in names:
        if names.count(name) > 1:
            raise SettingError(f"`baselines` {name} is given twice: name them apart")
    return found


def _known(name: str) -> Baseline:
    from training.evaluation.baselines import BASELINES
    from training.util.text import unknown

    if name not in BASELINES:
        raise SettingError(f"`baseline` {name}: {unknown(name, [*BASELINES])}")
    return BASELINES[name]


def _computed(chosen: Baseline, model: Model, pairs: Pairs, convention: Convention, data_range: float) -> Other:
    from training.evaluation.baselines import best_of_pairs, denoised
    from training.evaluation.comparison import Other

    setting, how = None, "noise measured on each image"
    if chosen.grid:
        how += ", settings by Stein's risk"
        validation = _validation(model, pairs)
        if validation:
            setting = best_of_pairs(chosen, validation, model.camera, convention=convention, data_range=data_range)
            how = "settings by PSNR on validation images"

    def result(number: int, noisy: NDArray[np.float32]) -> tuple[NDArray[np.float32], Mapping[str, float]]:
        return denoised(chosen, noisy, model.camera, setting)

    return Other(chosen.name, chosen.title, how, result)


def _validation(model: Model, pairs: Pairs) -> list[Sample]:
    """Return the validation samples that have clean images, of the run whose test images are scored."""
    if not pairs.own or model.run is None:
        return []
    return [sample for sample in model.run.dataset().validation if sample.clean is not None]


def _is_model(path: Path) -> bool:
    """Return whether a path is a run or a package; a zip is nothing else."""
    from bmz_export.package.archive import DESCRIPTION_NAMES

    return path.suffix.lower() == ".zip" or any(
        (path / file).is_file() for file in ("settings.yaml", *DESCRIPTION_NAMES)
    )


def _model(name: str, path: Path, pairs: Pairs) -> Other:
    """Return another run or package; where it was made with images that are scored, its title says so."""
    from bmz_fmd.models import open_model
    from training.evaluation.comparison import Other
    from training.evaluation.overlap import overlap

    other = open_model(path)
    denoise = other.denoiser.tiled()
    title = name
    if other.provenance is not None:
        data = other.provenance.data
        seen = overlap(pairs.samples, data.hashes, data.splits)
        known = seen.train + seen.validation + seen.unknown
        title += f" (made with {known} of these images)" * bool(known)

    def result(number: int, noisy: NDArray[np.float32]) -> tuple[NDArray[np.float32], Mapping[str, float]]:
        return denoise(noisy), {}

    return Other(name, title, f"the {other.kind} {path}", result)


def _careamics(word: str, model: Model, pairs: Pairs, note: Callable[[str], object]) -> Other:
    """Return CAREamics' result, trained on the training images of the model's run, or else on those that are scored."""
    import numpy as np

    from training.evaluation.careamics import EPOCHS, TITLES, denoise_with_careamics
    from training.evaluation.comparison import Other

    name, _, said = word.partition(":")
    if said and not (said.isascii() and said.isdecimal() and int(said)):
        raise SettingError(f"`baselines` {word}: {said} is no number of epochs, such as {name}:{EPOCHS}")
    epochs = int(said or EPOCHS)
    taught = name == "careamics-care"
    if taught and model.run is None:
        raise SettingError(f"`baselines` {word} learns from the training pairs of a run: `model` {model.path} is none")
    samples = pairs.samples if model.run is None else model.run.dataset().train
    if taught and any(sample.clean is None for sample in samples):
        raise SettingError(f"`baselines` {word} learns from clean images: the run {model.path} has none for training")

    def planes(image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return list(image.reshape(-1, *image.shape[-2:]))

    several = [planes(sample.frame()) for sample in pairs.samples]
    results = iter(
        denoise_with_careamics(
            name,
            [plane for image in several for plane in image],
            [plane for sample in samples for plane in planes(sample.frame())],
            [plane for sample in samples for plane in planes(sample.pair()[1])] if taught else None,
            epochs=epochs,
            note=note,
        )
    )
    whole = [np.stack([next(results) for _ in image]) for image in several]

    def result(number: int, noisy: NDArray[np.float32]) -> tuple[NDArray[np.float32], Mapping[str, float]]:
        return whole[number].reshape(noisy.shape), {"epochs": epochs}

    where = "the images that are scored" if model.run is None else "the run's training images"
    return Other(name, TITLES[name], f"trained on {where}, epochs: {epochs}", result)


def _published(name: str, path: Path, pairs: Pairs) -> Other:
    """Return outputs of others: the planes of a stack, or of the files of a folder, in the samples' order."""
    import numpy as np

    from training.data.matching import images_in
    from training.evaluation.comparison import Other
    from training.images import PlaneReader, open_image
    from training.inference.denoising import plane_count
    from training.util.text import counted

    given = f"`baselines` {name}={path}"
    if not path.exists():
        raise DataError(f"{given} does not exist: give NAME=FILE, outputs for the test images as a stack or a folder")
    images = [open_image(file) for file in (images_in(path) if path.is_dir() else [path])]
    planes = [(PlaneReader(image), index) for image in images for index in np.ndindex(image.shape[:-2])]
    shapes = [shape for image in images for shape in [image.shape[-2:]] * plane_count(image)]
    wanted = [(sample.name, sample.shape[-2:]) for sample in pairs.samples for _ in range(prod(sample.shape[:-2]))]
    if len(planes) != len(wanted):
        names = ", ".join([sample.name for sample in pairs.samples[:_NAMED]] + ["..."] * (len(pairs.samples) > _NAMED))
        raise DataError(
            f"{given}: {counted(len(planes), 'plane')}, and the test images have {len(wanted)}: give one for each, in "
            f"their order ({names})"
        )
    for (sample, shape), found in zip(wanted, shapes, strict=True):
        if shape != found:
            sizes = " and ".join(" x ".join(map(str, each)) for each in (found, shape))
            raise DataError(f"{given}: the output for {sample} and that image differ in size ({sizes})")
    starts = np.cumsum([0, *(prod(sample.shape[:-2]) for sample in pairs.samples)])

    def result(number: int, noisy: NDArray[np.float32]) -> tuple[NDArray[np.float32], Mapping[str, float]]:
        own = planes[starts[number] : starts[number + 1]]
        return np.stack([read(index) for read, index in own]).astype(np.float32).reshape(noisy.shape), {}

    return Other(name, name, f"results from {path}", result)
