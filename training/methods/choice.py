"""Which method learns from noisy images alone where none is named: by the frames of a field, and the noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.methods.repeats import moving
from training.util.text import counted

if TYPE_CHECKING:
    from training.calibration.camera import CameraProfile
    from training.data.sample import Sample

ONE_FRAME = "noise2void"
"""What learns from one frame a field, with masks along the axes on which noise is correlated; see docs/decisions.md."""


def choose(samples: Sequence[Sample], camera: CameraProfile | None) -> tuple[str, str]:
    """Return the name of a method, and in one line why.

    Parameters
    ----------
    samples : sequence of Sample
        Of noisy images, several frames of a place together.
    camera : CameraProfile or None
        Of the images; None where they are too few or too small to measure it.
    """
    fields = counted(len({sample.field for sample in samples}), "field")
    frames = sorted({len(sample.noisy) for sample in samples})
    several = f"{frames[0]} to {frames[-1]}" if len(frames) > 1 else f"{frames[0]}"
    said = f"{fields} with {'one frame' if frames == [1] else f'{several} frames'} each"
    if frames[0] > 1:
        moved = moving(samples, camera)
        if moved is None:
            return _named("noise2noise", f"{said}, which differ by noise alone")
        said += f", but {moved}"
    if camera is None:
        return _named(ONE_FRAME, f"{said}, too few pixels to measure the noise")
    figures = ", ".join(f"{value:.2f} along {axis}" for axis, value in camera.correlation.items())
    if camera.correlated():
        masks = f"with masks along {' and '.join(camera.correlated())}"
        return _named(ONE_FRAME, f"{said}, noise correlated between neighbours ({figures})", masks)
    return _named(ONE_FRAME, f"{said}, noise independent (correlation {figures})")


def _named(method: str, why: str, how: str = "") -> tuple[str, str]:
    return method, f"{why}: {' '.join(filter(None, (method, how)))}; `method` chooses another"
