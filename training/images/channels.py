"""Channels of an image, as a person names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.errors import ImageError

if TYPE_CHECKING:
    import xarray


def channel_number(image: xarray.DataArray, channel: str | int) -> int:
    """Return the number of a channel, given by its name or its number from 0; ``UserError`` if there is none such."""
    path = image.attrs.get("path", "the image")
    if "C" not in image.dims:
        axes = "".join(str(name) for name in image.dims)
        raise ImageError(f"`channel` {channel}: {path} has no channel axis (its axes are {axes}); leave it out")
    names, count = channel_names(image), image.sizes["C"]
    if str(channel) in names:
        return names.index(str(channel))
    if str(channel).isdecimal() and int(channel) < count:
        return int(channel)
    called = f" ({', '.join(names)})" if names else ""
    raise ImageError(f"`channel` {channel}: {path} has the channels 0 to {count - 1}{called}")


def channel_names(image: xarray.DataArray) -> list[str]:
    """Return what the file calls its channels; nothing where it names none."""
    return [str(name) for name in image.coords["C"].values] if "C" in image.coords else []
