"""The verdict on one image: green, amber or red, and why, in plain words.

The limits were fixed on one channel of W2S and one seed of the simulation; how they do on others stands in
``docs/trust.md``, which ``ci/trust_results.py`` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, computed_field

from training.calibration.camera import CORRELATED, CameraProfile
from training.evaluation.trust.frequency import Contrast
from training.evaluation.trust.measures import Measures

Verdict = Literal["green", "amber", "red"]

LIMITS: dict[str, tuple[float, float]] = {
    "structure": (5.8, 9.0),
    "spread": (1.35, 1.8),
    "bias": (0.25, 0.6),
    "little": (0.6, 0.3),
    "much": (1.4, 2.0),
    "contrast": (0.3, 0.6),
    "disagreement": (0.5, 1.0),
    "seam": (7.0, 14.0),
    "correlation": (CORRELATED, 0.3),
}
"""Where each measure turns amber and red: see the functions below for what it is."""

SEEN = 0.3
"""Fourier ring correlation below which contrast is not judged."""

_CHANCE = 3.0  # standard deviations by which contrast may be off by chance
_FAR = 3.0  # times: a gain so far from the camera's is that of another
_ORDER: tuple[Verdict, ...] = ("green", "amber", "red")


class Finding(BaseModel):
    """One thing that is wrong, or may be."""

    model_config = ConfigDict(frozen=True)

    measure: str
    """The measure that shows it."""

    verdict: Verdict
    text: str
    at: tuple[int, ...] | None = None
    """Where, as row and column (of a volume: depth, row, column), if it is at one place."""


class Judgement(BaseModel):
    """What there is to say of one image and its denoised version."""

    model_config = ConfigDict(frozen=True)

    name: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    """What else a user should know; it does not count."""

    measures: Measures | None = None
    """None where the image is too small to be judged."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> Verdict:
        """That of the worst finding; green without any."""
        return worst(finding.verdict for finding in self.findings)

    def sentence(self) -> str:
        """Return the verdict and the findings that decide it, in one line."""
        deciding = [finding.text for finding in self.findings if finding.verdict == self.verdict]
        if not deciding:
            return f"{self.name}: green: nothing was found against the result"
        return f"{self.name}: {self.verdict}: {'; '.join(deciding)}"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts; green of none."""
    return max(verdicts, key=_ORDER.index, default="green")


def judge(name: str, measures: Measures, camera: CameraProfile | None = None) -> Judgement:
    """Return the judgement on an image.

    Parameters
    ----------
    name : str
        Of the image.
    measures : Measures
        What was measured.
    camera : CameraProfile, optional
        That of the model's training images. Where the image's gain is a third of its or less, or three times as much,
        the network is one of another camera; smaller differences are noted, for the result itself was judged.
    """
    unlike = [] if camera is None else camera.compared(measures.camera)
    text = f"the network is one of another camera: the image has {'; '.join(unlike)}"
    found = [
        *_structure(measures),
        *_bias(measures),
        *_variance(measures),
        *_contrast(measures),
        *_disagreement(measures),
        *_seams(measures),
        *_correlation(measures),
        *_finding("camera", "amber" if unlike and _far(measures.camera, camera) else "green", text),
    ]
    found.sort(key=lambda finding: -_ORDER.index(finding.verdict))
    notes = (
        [] if any(finding.measure == "camera" for finding in found) else [f"the image has {each}" for each in unlike]
    )
    return Judgement(name=name, findings=tuple(found), notes=tuple(notes), measures=measures)


def _far(own: CameraProfile, camera: CameraProfile | None) -> bool:
    """Return whether two gains, both above 0, are far apart."""
    gains = (own.gain.value, camera.gain.value if camera is not None else 0.0)
    return min(gains) > 0 and max(gains) >= _FAR * min(gains)


def too_small(name: str, why: str) -> Judgement:
    """Return the judgement on an image whose noise cannot be measured: nobody knows, so amber."""
    return Judgement(name=name, findings=(Finding(measure="noise", verdict="amber", text=f"cannot be judged: {why}"),))


def _level(measure: str, value: float) -> Verdict:
    """Return the level of a value; the limits may rise or fall."""
    amber, red = LIMITS[measure]
    beyond = (value >= red, value >= amber) if red > amber else (value <= red, value <= amber)
    return "red" if beyond[0] else "amber" if beyond[1] else "green"


def _finding(measure: str, level: Verdict, text: str, at: tuple[int, ...] | None = None) -> Iterator[Finding]:
    if level != "green":
        yield Finding(measure=measure, verdict=level, text=text, at=at)


def _structure(measures: Measures) -> Iterator[Finding]:
    """By the largest value of the smoothed residual, and by how far all of it is from noise."""
    found = measures.structure
    size = f"about {found.width:.0f} pixels wide"
    what = (
        f"brightness {size} that the image holds is missing in the result"
        if found.largest > 0
        else f"the result shows brightness {size} that the image does not hold"
    )
    text = f"{what} at {place(found.at)} ({abs(found.largest):.1f} standard deviations of noise)"
    level = _level("structure", found.rarity())
    yield from _finding("structure", level, text, found.at)
    text = (
        f"what was removed holds structure all over: smoothed, it varies {found.spread:.2g} times as much as noise does"
    )
    yield from _finding("spread", _level("spread", found.spread), text)


def _bias(measures: Measures) -> Iterator[Finding]:
    """By the mean of the residual by intensity, in standard deviations of the noise."""
    table = measures.intensity
    bias, intensity = np.array(table.bias), np.array(table.intensity)
    at = int(np.abs(bias).argmax())
    units = bias * np.array(table.noise)
    shifted = len(units) > 1 and np.ptp(units) < 0.5 * abs(units.mean())
    if shifted:
        value = float(units.mean())
        side = "dark" if value > 0 else "bright"
        text = f"the result is {abs(value):.3g} too {side} at all intensities: a wrong offset"
    else:
        text = (
            f"the result is too {'dark' if bias[at] > 0 else 'bright'} by {abs(bias[at]):.2g} standard deviations of "
            f"noise where the image has {intensity[at]:.4g}: intensities are shifted or scaled"
        )
    yield from _finding("bias", _level("bias", float(abs(bias[at]))), text)


def _variance(measures: Measures) -> Iterator[Finding]:
    """By the variance of the residual by intensity, as a multiple of the camera's noise."""
    table = measures.intensity
    variance, intensity = np.array(table.variance), np.array(table.intensity)
    least, most = int(variance.argmin()), int(variance.argmax())
    middle = float(np.median(variance))
    text = (
        f"too little noise was taken: what was removed has {middle:.2g} of the variance of the camera's noise, "
        f"{variance[least]:.2g} where the image has {intensity[least]:.4g}"
    )
    yield from _finding("little", _level("little", middle), text)
    text = (
        f"more than noise was taken: what was removed has {variance[most]:.2g} times the variance of the camera's "
        f"noise where the image has {intensity[most]:.4g} (over-smoothing)"
    )
    yield from _finding("much", _level("much", float(variance[most])), text)


def worst_ring(table: Contrast) -> tuple[float, float, float] | None:
    """Return of the spatial frequency whose contrast is certain to be off most: by how much, contrast, frequency.

    None where no structure stands above noise.
    """
    rings = zip(table.frequency, table.shared, table.kept, table.uncertainty, strict=True)
    return max(
        (
            (abs(kept - 1) - _CHANCE * uncertainty, kept, frequency)
            for frequency, shared, kept, uncertainty in rings
            if shared > SEEN
        ),
        default=None,
    )


def _contrast(measures: Measures) -> Iterator[Finding]:
    """By the contrast kept at spatial frequencies where structure stands above noise."""
    ring = None if measures.contrast is None else worst_ring(measures.contrast)
    if ring is not None:
        off, kept, frequency = ring
        text = (
            f"{100 * kept:.0f} % of the contrast is kept in details of {0.5 / frequency:.1f} pixels "
            f"({'over-smoothing' if kept < 1 else 'contrast that the data do not hold'})"
        )
        yield from _finding("contrast", _level("contrast", off), text)


def _disagreement(measures: Measures) -> Iterator[Finding]:
    """By how far the results of turned and mirrored inputs are apart."""
    found = measures.disagreement
    if found is not None:
        text = (
            f"the network guesses: turned or mirrored inputs give results {found.largest:.2g} standard deviations of "
            f"noise apart, most at {place(found.at)}"
        )
        yield from _finding("disagreement", _level("disagreement", found.largest), text, found.at)


def _seams(measures: Measures) -> Iterator[Finding]:
    """By how far steps along straight lines stand out."""
    seam = measures.seam
    axis = ("depth", "row", "column")[seam.axis - len(measures.structure.at)]
    lines = f"lines at {axis} {seam.first}" + (f" and every {seam.period} pixels on" if seam.period else "")
    yield from _finding("seam", _level("seam", seam.strength), f"tiles show as straight {lines}")


def _correlation(measures: Measures) -> Iterator[Finding]:
    """By the correlation of the noise of neighbouring pixels, which denoisers take to be independent."""
    axis, value = max(measures.camera.correlation.items(), key=lambda item: abs(item[1]))
    text = (
        f"the noise of neighbouring pixels is correlated by {value:.2f} along {axis}: a denoiser of independent "
        "noise takes part of it for structure"
    )
    yield from _finding("correlation", _level("correlation", abs(value)), text)


def place(at: tuple[int, ...]) -> str:
    """Return a position in words."""
    *depth, row, column = at
    return f"{f'depth {depth[0]}, ' if depth else ''}row {row}, column {column}"
