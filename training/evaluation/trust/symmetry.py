"""How far the results of turned and mirrored inputs disagree: where a network guesses, they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TURNED = ((1, False), (2, False), (3, True))
"""Quarter turns of the input, and whether it is mirrored first: beside the input as it is."""


def disagreement(
    noisy: NDArray[np.float32],
    denoised: NDArray[np.float32],
    denoise: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> NDArray[np.float64]:
    """Return the standard deviation of the results of turned and mirrored inputs, turned back, in image units.

    Parameters
    ----------
    noisy, denoised : ndarray, float32, (H, W) or (D, H, W)
        The image and what ``denoise`` made of it.
    denoise : callable
        It is called once for each of ``TURNED``; turns are within planes.
    """
    results = [np.asarray(denoised, np.float64)]
    for turns, mirrored in TURNED:
        view = noisy[..., ::-1] if mirrored else noisy
        turned = np.ascontiguousarray(np.rot90(view, turns, axes=(-2, -1)))
        back = np.rot90(denoise(turned), -turns, axes=(-2, -1))
        results.append(np.asarray(back[..., ::-1] if mirrored else back, np.float64))
    return np.asarray(np.std(results, axis=0))
