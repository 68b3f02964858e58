"""What a deep image prior is set to: depth, width, skip channels and iterations, and the images that they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.errors import SettingError

ASCENDING = "asc_to512"
"""The width that doubles from scale to scale and ends at 512 channels, in the words of the published tables."""

_WIDEST = 512


class Configuration(BaseModel):
    """Depth, width, skip channels and iterations of one fit.

    Examples
    --------
    >>> Configuration(depth=4, width=32, skip=4, iterations=1200).largest_depth((128, 128))
    6
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth: int = Field(ge=1, le=10)
    """Scales: each halves the image once more."""

    width: Annotated[int, Field(ge=1)] | Literal["asc_to512"]
    """Channels of every scale, or ``ASCENDING``."""

    skip: int = Field(ge=0)
    """Channels that each scale hands on beside the deeper ones; 0: none."""

    iterations: int = Field(ge=1)

    @property
    def widths(self) -> list[int]:
        """Channels of each scale, the finest first."""
        if self.width == ASCENDING:
            return [_WIDEST >> (self.depth - 1 - scale) for scale in range(self.depth)]
        return [int(self.width)] * self.depth

    @staticmethod
    def largest_depth(shape: Sequence[int]) -> int:
        """Return the largest depth that leaves two pixels a side of an image (Y, X) at the coarsest scale; 0: none."""
        return max(min(shape) - 1, 1).bit_length() - 1

    def check_fits(self, shape: Sequence[int], what: str) -> None:
        """Raise a ``UserError`` where an image of this shape is too small for the depth; ``what`` names it."""
        largest = self.largest_depth(shape)
        if self.depth > largest:
            way = f"set `depth` {largest} or less" if largest else "it cannot be denoised in this way"
            raise SettingError(
                f"{what}: {shape[0]} x {shape[1]} pixels are too few for depth {self.depth}, which halves the image "
                f"{self.depth} times; the largest depth that fits is {largest}: {way}"
            )

    def __str__(self) -> str:
        return f"depth {self.depth}, width {self.width}, skip {self.skip}, {self.iterations} iterations"
