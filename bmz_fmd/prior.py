"""The deep image prior over an image: which configuration each plane gets, and the result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmz_fmd.paths import StrPath, as_path

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from training.prior.fitting import Options
    from training.prior.tables import CalibrationTable
    from training.prior.transfer import Choice
    from training.util.progress import Listener

MOST = 3000
"""Iterations after which a fit that stops by itself ends at the latest."""

SMALL = (
    "is small: numbers of iterations were chosen on images of 512 pixels a side, and a smaller one is fitted, its "
    "noise too, much sooner; try fewer with `iterations`"
)
"""What is said after the name of such an image."""

_FULL = 256  # pixels a side: below, published numbers of iterations are too many
_POSSIBLE = {
    "depth": "a whole number from 1 to 10",
    "width": "a number of channels, or asc_to512",
    "skip": "a number of channels, 0 or more",
    "iterations": "a whole number from 1 on",
}


def autodip(
    image: StrPath | NDArray[Any] | xr.DataArray,
    *,
    microscope: str | None = None,
    specimen: str | None = None,
    calibration: StrPath | None = None,
    metric: str | None = None,
    best_for: str = "lpips_psnr",
    depth: int | None = None,
    width: int | str | None = None,
    skip: int | None = None,
    iterations: int | None = None,
    original: bool = False,
    stop: bool = False,
    seed: int = 0,
    channel: str | int | None = None,
    device: str = "auto",
    listener: Listener | None = None,
) -> NDArray[Any] | xr.DataArray:
    """Denoise one image by networks that are fitted to it, a plane each: no training data, minutes to hours on a CPU.

    Parameters
    ----------
    image : path, ndarray (..., Y, X), or DataArray with the axes Y and X
        In any units.
    microscope, specimen : str, optional
        ``confocal``, ``two-photon`` or ``widefield``; ``actin``, ``mito`` or ``nucleus``: whose published configuration
        is taken, or that of a calibration.
    calibration : path, optional
        A table that ``bmz-fmd autodip calibrate`` wrote, instead of AUTO-DIP's.
    metric : str, optional
        With a calibration: by what the nearest image is found; ``mae``, ``mse``, ``psnr``, ``ssim``, ``lpips``,
        ``gradient`` or ``embedding``.
    best_for : str
        Which of AUTO-DIP's tables: ``lpips_psnr``, ``lpips``, ``psnr``, ``ssim``, ``mse`` or ``mae``.
    depth, width, skip, iterations : int, optional
        Set by hand; the width also as ``"asc_to512"``.
    original : bool
        Whether input noise and averaging are those of the paper of 2020.
    stop : bool
        Whether each fit stops where its results settle, at the latest after 3000 iterations.
    seed : int
        The same seed gives the same pixels.
    channel : str or int, optional
        Of an image with the axis ``C``: denoise this one alone, by name or number, and pass the others through.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    listener : Listener, optional
        Gets the configurations and why, warnings, and progress by iterations; by default the former go to the logger
        ``bmz_fmd``, warnings to ``warnings``.

    Returns
    -------
    ndarray or DataArray
        As given, float32, in the same units; of a file a DataArray with its named axes.

    Raises
    ------
    UserError
        If the image cannot be read or is too small for the depth, or a setting is none.

    Examples
    --------
    >>> denoised = bmz_fmd.autodip(image, microscope="widefield", specimen="actin")  # doctest: +SKIP
    """
    import numpy as np

    from bmz_fmd.arrays import denoise_array
    from training.images import open_image
    from training.inference.denoiser import of_planes
    from training.prior.denoising import TILE, denoise_plane
    from training.util.devices import choose_device
    from training.util.progress import logged

    device, listener = choose_device(device), listener or logged()
    by_hand = {"depth": depth, "width": width, "skip": skip, "iterations": iterations or (MOST if stop else None)}
    words = {"microscope": microscope, "specimen": specimen, "metric": metric, "best_for": best_for}
    chooser = Chooser(None if calibration is None else as_path("calibration", calibration), by_hand, words)
    options, said = options_for(original=original, stop=stop), set[str]()
    if isinstance(image, str | os.PathLike):
        image = open_image(Path(image))
    if not (iterations or stop or calibration) and is_small(np.shape(image)):
        listener.warn(f"the image {SMALL}")
    with listener.progress("Fitting", None) as advance:

        def plane(noisy: NDArray[np.float32]) -> NDArray[np.float32]:
            choice = chooser(noisy)
            choice.configuration.check_fits([min(side, TILE) for side in noisy.shape], "the image")
            if str(choice) not in said:
                said.add(str(choice))
                listener.note(str(choice))
            tell = lambda number, loss: advance(1, f"iteration {number}, loss {loss:.3g}")  # noqa: E731
            return denoise_plane(noisy, choice.configuration, seed=seed, options=options, device=device, tell=tell)

        denoiser = of_planes(plane, device)
        if isinstance(image, np.ndarray):
            return denoise_array(image, denoiser, tile=None, channel=channel)
        return denoise_array(image, denoiser, tile=None, channel=channel).compute()


def options_for(*, original: bool, stop: bool) -> Options:
    """Return the options of a fit: AUTO-DIP's, or those of the original paper; whether it stops by itself."""
    from dataclasses import replace

    from training.prior.fitting import ORIGINAL, Options

    return replace(ORIGINAL if original else Options(), stop=stop)


def is_small(shape: tuple[int, ...]) -> bool:
    """Return whether an image (..., Y, X) is so small that the published numbers of iterations are too many."""
    return min(shape[-2:]) < _FULL


class Chooser:
    """The configuration of each plane, from the tables, and what was set by hand."""

    def __init__(self, calibration: Path | None, by_hand: dict[str, Any], words: dict[str, Any]) -> None:
        from training.errors import SettingError
        from training.prior.similarity import METRICS
        from training.prior.tables import read_table
        from training.util.text import unknown

        metric = words["metric"]
        if metric is not None and metric not in METRICS:
            raise SettingError(f"`metric` {metric}: {unknown(metric, METRICS)}")
        width = by_hand["width"]
        self._given = {key: value for key, value in by_hand.items() if value is not None}
        if isinstance(width, str) and width.isdigit():
            self._given["width"] = int(width)
        self._calibration, self._words = calibration, words
        self._table: CalibrationTable | None = None if calibration is None else read_table(calibration)

    def settings(self) -> dict[str, Any]:
        """Return what decides the choice, the table by its hash."""
        from training.util.hashing import sha256

        digest = None if self._calibration is None else sha256(self._calibration)
        return {**self._words, "calibration_sha256": digest}

    def __call__(self, plane: Any) -> Choice:  # noqa: ANN401
        """Return the choice for a plane (Y, X)."""
        from pydantic import ValidationError

        from training.errors import SettingError
        from training.prior.configuration import Configuration
        from training.prior.transfer import Choice, choose

        if len(self._given) == len(Configuration.model_fields):
            choice = Choice(Configuration.model_construct(), "set by hand")
        else:
            choice = choose(plane, table=self._table, **self._words)
        try:
            configuration = Configuration.model_validate(choice.configuration.model_dump() | self._given)
        except ValidationError as errors:
            name = str(errors.errors()[0]["loc"][0])
            raise SettingError(f"`{name}` {self._given.get(name)}: give {_POSSIBLE[name]}") from None
        by_hand = f"; {', '.join(self._given)} set by hand" if self._given and choice.reason != "set by hand" else ""
        return Choice(configuration, choice.reason + by_hand)

    def every(self, stack: xr.DataArray, channel: str | None) -> list[Choice]:
        """Return the choices for the planes that are denoised, each of which its depth fits."""
        from training.images import channel_number, planes
        from training.prior.denoising import TILE

        if channel is not None:
            stack = stack.isel(C=[channel_number(stack, channel)])
        found = []
        for _, plane in planes(stack):
            choice = self(plane)
            choice.configuration.check_fits([min(side, TILE) for side in plane.shape], str(stack.attrs["path"]))
            found.append(choice)
        return found

    @staticmethod
    def tiles(stack: xr.DataArray, choice: Choice) -> int:
        """Return how many tiles a plane of a stack has."""
        from training.prior.denoising import windows

        return len(windows(stack.shape[-2:], choice.configuration.depth))
