"""A camera's profile: gain, offset, read noise and correlation of its noise, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from training.calibration.noise import NoiseModel, clipped, straight
from training.calibration.transfer import (
    Transfer,
    correlations,
    ends_of_range,
    photon_transfer,
    variance_of_difference,
)
from training.data.options import plain_message
from training.errors import DataError, SettingError
from training.util.writing import write_text

CORRELATED = 0.15
"""Correlation of neighbours from which methods that assume independent pixels do not fit.

A pixel's neighbours then foretell about a twentieth of its noise.
"""

_SURE = 1.96  # standard errors on either side of a 95 % interval
_CERTAIN = 4.0  # standard errors: a correlation below may be none
_DARKER = 0.05  # part of an image that may be darker than without light
_SINGLES = 16  # images that are measured one by one
_TOLD = 0.2  # part of the gain, or of the intensity, by which two must differ: drift and structure make less
_SCALE = 0.2  # of the correction for correlated noise: how wrong it may be
_PIXELS = 4_000_000  # that are looked at
_BAND = 64  # rows that are taken together of an image larger than that


def _unbounded(side: float) -> BeforeValidator:
    return BeforeValidator(lambda value: side if value is None else value)  # JSON has no infinity


class Estimate(BaseModel):
    """A figure and its 95 % interval; infinite, null in the file, where the images set no bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Annotated[float, _unbounded(-math.inf)]
    low: Annotated[float, _unbounded(-math.inf)]
    high: Annotated[float, _unbounded(math.inf)]

    def __str__(self) -> str:
        if math.isinf(self.low) or math.isinf(self.high):
            return f"{self.value:.4g} (not bounded)" if math.isfinite(self.value) else "not known"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


class CameraProfile(BaseModel):
    """The noise of one camera setting, in image units: its variance is ``gain * (x - zero_level)`` at intensity x.

    Attributes
    ----------
    gain : Estimate
        Image units a photo-electron; its low end is 0 where noise that grows with the intensity is not certain.
    zero_level : Estimate
        Intensity at which the variance would be zero; -infinity where it does not grow.
    intensity : float
        Mean of the blocks that were measured.
    variance : Estimate
        Of the noise at this intensity.
    offset, read_noise : float or None
        Mean and standard deviation without light; None where there were no dark frames and none were given.
    correlation : dict
        Of the noise of neighbouring pixels, by axis.
    saturation : float or None
        Intensity at which many pixels are cut off; None where none are.
    gains, zero_levels : dict
        Of single images by their names, where several were measured and each tells it well.
    images, dark : int
        How many were measured.
    files, versions, created
        Names and sha256 of the files, versions of the software, and when (ISO 8601), where they are known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain: Estimate
    zero_level: Estimate
    intensity: float
    variance: Estimate
    offset: float | None = None
    read_noise: float | None = None
    correlation: dict[str, float]
    saturation: float | None = None
    gains: dict[str, Estimate] = Field(default_factory=dict)
    zero_levels: dict[str, Estimate] = Field(default_factory=dict)
    images: int
    dark: int = 0
    files: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    created: str | None = None

    @property
    def model(self) -> NoiseModel:
        """The noise variance by intensity."""
        if self.offset is not None and self.read_noise is not None:
            return NoiseModel(self.gain.value, self.offset, self.read_noise)
        return straight(self.gain.value, self.variance.value - self.gain.value * self.intensity)

    def correlated(self) -> tuple[str, ...]:
        """Return the axes along which noise of neighbouring pixels is not independent."""
        return tuple(axis for axis, value in self.correlation.items() if abs(value) >= CORRELATED)

    def findings(self) -> list[str]:
        """Return in plain words what the figures mean for who trains with such images."""
        found = []
        if math.isinf(self.zero_level.low) or self.gain.low <= 0:
            found.append(
                "The noise does not clearly grow with the intensity here, so that gain and zero level are not known: "
                "give images with brighter and darker parts."
            )
        correlated = self.correlated()
        if correlated:
            which = " and ".join(f"along {axis} ({self.correlation[axis]:.2f})" for axis in correlated)
            found.append(
                f"Noise of neighbouring pixels is correlated {which}: methods that assume independent pixels do not "
                "fit."
            )
        else:
            found.append("Noise is independent from pixel to pixel: every method fits.")
        return found

    def disagreement(self) -> str | None:
        """Return in one sentence which two images differ most in gain, where they are not of one camera setting."""
        if not self.gains:
            return None
        low = min(self.gains, key=lambda name: self.gains[name].high)
        high = max(self.gains, key=lambda name: self.gains[name].low)
        if self.gains[high].low <= self.gains[low].high * (1 + _TOLD):
            return None
        return (
            f"the images differ in gain, {self.gains[low]} in {low} and {self.gains[high]} in {high}: they are of two "
            "cameras or settings, or each file was scaled by itself; the profile is a mean over them"
        )

    def differences(self, image: ArrayLike) -> list[str]:
        """Return in plain words, with the figures, why an image is not of this camera; empty if it may be.

        Where the measured images were not of one camera themselves, gain and zero level are not compared.

        Parameters
        ----------
        image : array_like, (..., Y, X)
            In its own units.
        """
        axes = "".join(self.correlation)[-np.ndim(image) :]
        try:
            own = measure_camera([image], axes=axes.rjust(np.ndim(image), "T"))
        except DataError:
            return []
        return self.compared(own)

    def compared(self, own: CameraProfile) -> list[str]:
        """Return the same of an image's own profile, once that was measured."""
        found = []
        bright = _TOLD * max(own.intensity - self.zero_level.value, 0.0)
        for what, least in () if self.disagreement() else (("gain", _TOLD * self.gain.value), ("zero_level", bright)):
            seen, known = getattr(own, what), getattr(self, what)
            usual = [known.low, known.high, *(single.value for single in getattr(self, f"{what}s").values())]
            apart = max(seen.low - max(usual), min(usual) - seen.high)
            if apart > 0 and abs(seen.value - known.value) > least:
                found.append(f"{what.replace('_', ' ')} {seen}, of the camera {known}")
        for axis, value in own.correlation.items():
            before = self.correlation.get(axis, value)
            if abs(value - before) >= CORRELATED:
                found.append(f"noise correlated along {axis} by {value:.2f}, of the camera {before:.2f}")
        return found


def measure_camera(
    images: Sequence[ArrayLike],
    dark: Sequence[ArrayLike] = (),
    *,
    axes: str = "YX",
    offset: float | None = None,
    read_noise: float | None = None,
    names: Sequence[str] = (),
) -> CameraProfile:
    """Measure gain, zero level and correlation of a camera's noise from noisy images alone.

    Parameters
    ----------
    images : sequence of array_like, of the axes ``axes``
        Noisy images of one camera setting, of any sizes, with at least a few hundred blocks of 8 x 8 pixels in all.
    dark : sequence of array_like
        Images taken without light, which tell offset and read noise.
    axes : str
        Of the images, ``YX``, ``ZYX``, or with others before, such as ``TYX``.
    offset, read_noise : float, optional
        As the camera's maker states them, in image units, instead of dark frames: both.
    names : sequence of str
        Of the images, for what is said of single ones.

    Raises
    ------
    UserError
        Where there is no image, one has other axes or values that are no numbers, or there are too few pixels.
    """
    return measure_transfer(images, dark, axes=axes, offset=offset, read_noise=read_noise, names=names)[0]


def measure_transfer(
    images: Sequence[ArrayLike],
    dark: Sequence[ArrayLike] = (),
    *,
    axes: str = "YX",
    offset: float | None = None,
    read_noise: float | None = None,
    names: Sequence[str] = (),
) -> tuple[CameraProfile, Transfer]:
    """Return what ``measure_camera`` does, and the photon transfer curve that it is read from."""
    arrays = [np.asarray(image) for image in images]
    if not arrays or any(image.ndim != len(axes) for image in arrays):
        found = ", ".join(sorted({str(image.ndim) for image in arrays})) or "no"
        raise DataError(f"noise is measured on images of the axes {axes}, here are images of {found} axes")
    if (offset is None) != (read_noise is None):
        raise SettingError("`offset` and `read_noise` belong together: give both, or neither")
    if offset is not None and read_noise is not None and not (math.isfinite(offset) and 0 <= read_noise < math.inf):
        raise SettingError("`offset` must be a number, and `read_noise` 0 or more")
    if dark:
        offset, read_noise = _without_light(dark)
    spatial = "".join(axis for axis in axes if axis in "ZYX")
    fields = [part for image in arrays for part in image.reshape(-1, *image.shape[-len(spatial) :])]
    parts = [part for field in fields for part in _looked_at(field, _PIXELS // len(fields))]
    if not all(np.isfinite(part).all() for part in parts):
        raise DataError("an image holds values that are no numbers: a camera's noise cannot be measured on it")
    tops = [top for _, top in map(ends_of_range, parts) if top is not None]
    planes = [plane for part in parts for plane in part.reshape(-1, *part.shape[-2:])]
    neighbours = correlations(parts, 4)
    scale, error = _scale(neighbours[-2:], sum(part.size for part in parts))
    known = None if offset is None or read_noise is None else (offset, read_noise**2 * scale)
    transfer = photon_transfer(planes, known=known).scaled(1 / scale, error / scale**2)
    if offset is not None and read_noise is not None and (transfer.means < offset - read_noise).mean() > _DARKER:
        raise SettingError(
            f"`dark`, `offset`: {offset:.5g} without light, and dark parts of the images are "
            f"{transfer.means.min():.5g}: these are not of one camera setting"
        )
    gain, zero = _estimates(transfer)
    spread = _SURE * math.sqrt(transfer.covariance[0, 0])
    singles = _singles(arrays, axes, names) if len(arrays) > 1 else {}
    profile = CameraProfile(
        gain=gain,
        zero_level=zero,
        intensity=transfer.centre,
        variance=Estimate(value=transfer.height, low=max(transfer.height - spread, 0.0), high=transfer.height + spread),
        offset=offset,
        read_noise=read_noise,
        correlation={axis: round(float(along[0]), 4) for axis, along in zip(spatial, neighbours, strict=True)},
        saturation=max(tops, default=None),
        gains={name: single.gain for name, single in singles.items()},
        zero_levels={name: single.zero_level for name, single in singles.items()},
        images=len(arrays),
        dark=len(dark),
    )
    return profile, transfer


def camera_of(image: ArrayLike, camera: CameraProfile | None) -> CameraProfile:
    """Return the profile that an image's noise is counted by: that of the camera, if there is one and it fits.

    Where each file was scaled on its own, a photo-electron is worth something else in each: then it is the image's.

    Parameters
    ----------
    image : array_like, (Y, X) or (Z, Y, X)
        In its own units; one too small to measure is taken to be of the camera.
    camera : CameraProfile or None
        Of all images, as it was given or measured.

    Raises
    ------
    UserError
        Where there is no camera, and the image is too small to measure.
    """
    try:
        own = measure_camera([image], axes="ZYX"[-np.ndim(image) :])
    except DataError:
        if camera is None:
            raise
        return camera
    return own if camera is None or camera.disagreement() or camera.compared(own) else camera


def read_camera(path: Path) -> CameraProfile:
    """Return the profile of a file that ``write_camera`` wrote; ``UserError`` where it is none."""
    try:
        return CameraProfile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingError(f"`camera` {path}: {error.strerror or 'cannot be read'}") from None
    except ValidationError as errors:
        first = errors.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingError(
            f"`camera` {path}: not a camera's profile ({where + ': ' if where else ''}{plain_message(first)}); "
            "bmz-fmd camera measure writes one"
        ) from None


def write_camera(path: Path, profile: CameraProfile) -> None:
    """Write a profile as JSON, whole or not at all."""
    write_text(path, profile.model_dump_json(indent=2) + "\n")


def _singles(arrays: Sequence[NDArray[np.generic]], axes: str, names: Sequence[str]) -> dict[str, CameraProfile]:
    """Return the profiles of single images, evenly spread, that tell their gain well."""
    found = {}
    for number in np.unique(np.linspace(0, len(arrays) - 1, _SINGLES).astype(int)).tolist():
        try:
            single = measure_camera([arrays[number]], axes=axes)
        except DataError:
            continue
        if single.gain.low > 0 and single.gain.high - single.gain.low < single.gain.value:
            found[names[number] if names else f"image {number + 1}"] = single
    return found


def _scale(neighbours: NDArray[np.float64], pixels: int) -> tuple[float, float]:
    """Return what correlations along Y and X make of the variance of differences, and its standard error.

    Small ones may as well be structure: they are not corrected for, and count as an error.
    """
    scale, error = 1.0, 0.0
    for along in neighbours:
        found = variance_of_difference(along)
        if abs(along[0]) >= CORRELATED:
            scale, error = scale * found, error + _SCALE * abs(1 - found)
        elif abs(along[0]) > _CERTAIN / math.sqrt(pixels):
            error += abs(1 - found) / 2
    return scale, error * scale


def _looked_at(image: NDArray[np.generic], pixels: int) -> list[NDArray[np.generic]]:
    """Return an image (..., H, W), or of one with more pixels evenly spread bands of rows."""
    if image.size <= pixels:
        return [image]
    rows = image.shape[-2]
    number = max(pixels * rows // (image.size * _BAND), 1)
    starts = np.unique(np.linspace(0, max(rows - _BAND, 0), number).astype(int))
    return [image[..., start : start + _BAND, :] for start in starts]


def _estimates(transfer: Transfer) -> tuple[Estimate, Estimate]:
    """Return gain and zero level of a line."""
    slope, height = transfer.slope, transfer.height
    (of_height, both), (_, of_slope) = transfer.covariance * _SURE**2
    reach = math.sqrt(of_slope)
    gain = Estimate(value=slope, low=max(slope - reach, 0.0), high=slope + reach)
    zero = transfer.centre - height / slope if slope > 0 else -math.inf
    # Fieller's interval: where the line's own interval holds zero
    squared, linear, constant = slope**2 - of_slope, height * slope - both, height**2 - of_height
    root = math.sqrt(max(linear**2 - squared * constant, 0.0))
    if squared > 0:
        ends = (-linear - root) / squared, (-linear + root) / squared
    else:
        ends = -math.inf, (-linear + root) / squared if squared < 0 else 0.0
    low, high = (transfer.centre + end for end in ends)
    return gain, Estimate(value=zero, low=min(low, zero), high=max(high, zero))


def _without_light(dark: Sequence[ArrayLike]) -> tuple[float, float]:
    """Return mean and standard deviation of dark frames, without hot pixels."""
    frames = [clipped(np.asarray(each, dtype=np.float64).ravel()) for each in dark]
    offset, read = (float(np.mean([getattr(frame, what)() for frame in frames])) for what in ("mean", "var"))
    return offset, math.sqrt(read)
