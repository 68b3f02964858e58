"""The picture of a camera's photon transfer curve: noise variance against intensity, and the line through it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.pictures import new_figure, save

if TYPE_CHECKING:
    from training.calibration.camera import CameraProfile
    from training.calibration.transfer import Transfer

_SHOWN = 8000  # blocks
_SURE = 1.96  # standard errors on either side of the line


def transfer_picture(profile: CameraProfile, transfer: Transfer, path: Path) -> None:
    """Draw the variance of blocks against their intensity, the fitted line with its 95 % interval, and write a PNG."""
    figure = new_figure(7, 5)
    axes = figure.subplots()
    every = max(len(transfer.means) // _SHOWN, 1)
    x, y, kept = transfer.means[::every], transfer.variances[::every], transfer.kept[::every]
    axes.plot(x[~kept], y[~kept], ".", markersize=3, color="#999999", label="left out: cut off, hot pixels, edges")
    axes.plot(x[kept], y[kept], ".", markersize=3, color="#0072b2", alpha=0.4, label="blocks of 8 x 8 pixels")
    (low, high), top = np.percentile(x[kept], [0, 99.8]), float(np.percentile(y[kept], 99.8))
    line = np.linspace(low, high, 200)
    away = line - transfer.centre
    fitted = transfer.height + transfer.slope * away
    (of_height, both), (_, of_slope) = transfer.covariance
    reach = _SURE * np.sqrt(np.maximum(of_height + 2 * away * both + away**2 * of_slope, 0.0))
    axes.fill_between(line, fitted - reach, fitted + reach, color="#d55e00", alpha=0.3, linewidth=0)
    axes.plot(line, fitted, color="#d55e00", label="variance = gain * (intensity - zero level)")
    margin = 0.03 * (high - low or 1.0)
    axes.set(xlim=(low - margin, high + margin), ylim=(0, 1.2 * top or 1.0))
    axes.set(xlabel="intensity (units of the file)", ylabel="variance of the noise")
    along = ", ".join(f"{value:.2f} along {axis}" for axis, value in profile.correlation.items())
    axes.set_title(
        f"gain {profile.gain}, zero level {profile.zero_level}\ncorrelation of neighbouring pixels: {along}",
        fontsize=10,
    )
    axes.legend(fontsize=8, loc="upper left")
    save(figure, path)
