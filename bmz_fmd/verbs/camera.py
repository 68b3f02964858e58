"""``bmz-fmd camera``: the noise of a camera, from noisy images alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.calibration.camera import CameraProfile

app = typer.Typer(help="Measure the noise of a camera.", no_args_is_help=True)

_APART = 1.3  # times: by so much the gain with dark frames may differ from that without
_PLANES = 32  # that are looked at in all, at least one of each file


@app.callback()
def command() -> None:
    """Measure the noise of a camera, for train --camera."""


@app.command()
def measure(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Noisy images as the camera took them, or folders of them.")
    ],
    *,
    dark: Annotated[
        list[Path] | None, typer.Option(help="An image without light, or a folder of them; may be given again.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="The channel to measure: its name, or number from 0.")] = None,
    offset: Annotated[float | None, typer.Option(help="Mean without light, as its maker states it.")] = None,
    read_noise: Annotated[float | None, typer.Option(help="Its standard deviation, in the units of the files.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The profile; its picture lies beside it.")] = Path(
        "camera.json"
    ),
) -> None:
    """Measure gain, zero level and correlation of a camera's noise; one image can be enough.

    Images of one camera setting, bright and dark parts in them, not scaled or filtered. Writes the profile for
    train --camera, and draws the noise against the intensity.
    """
    from training.calibration.camera import measure_transfer, write_camera
    from training.errors import DataError, SettingError
    from training.evaluation.pictures import is_ours
    from training.evaluation.transfer_picture import transfer_picture
    from training.inference.files import check_replaceable, images_in
    from training.runs.provenance import now, versions
    from training.util.hashing import sha256

    if dark and (offset is not None or read_noise is not None):
        raise SettingError("`dark` tells `offset` and `read_noise`: give one or the other")
    picture = out.with_suffix(".png")
    check_replaceable(out, "--out", ".json", _is_profile)
    check_replaceable(picture, "the picture beside --out,", ".png", is_ours)
    files = [file.path for file in images_in(images)]
    dark_files = [file.path for file in images_in(dark or ())]
    planes = {file: _planes(file, channel, max(_PLANES // len(files), 1)) for file in files}
    frames = [plane for file in dark_files for plane in _planes(file, channel, _PLANES)]
    try:
        profile, transfer = measure_transfer(
            [*planes.values()], frames, axes="TYX", offset=offset, read_noise=read_noise, names=[*map(str, files)]
        )
        alone = None if profile.offset is None else measure_transfer([*planes.values()], axes="TYX")[0].gain
    except DataError as error:
        raise DataError(f"{', '.join(map(str, files[:3]))}{', ...' if files[3:] else ''}: {error}") from None
    hashes = {str(file): sha256(file) for file in (*files, *dark_files)}
    profile = profile.model_copy(update={"files": hashes, "versions": versions(), "created": now()})
    transfer_picture(profile, transfer, picture)
    write_camera(out, profile)
    _show(profile)
    if alone is not None and not 1 / _APART < alone.value / profile.gain.value < _APART:
        console.warn(
            f"without the dark frames the images show a gain of {alone}, with them {profile.gain}: were they taken "
            "with the same settings of the camera, and do the images hold nothing but photons and camera noise?"
        )
    console.say(f"{out} and {picture} are written; next: bmz-fmd train --noisy DIR --camera {out}")


def _planes(file: Path, channel: str | None, most: int) -> NDArray[np.generic]:
    """Return some planes of an image, (N, Y, X), evenly spread over all but its channels."""
    import numpy as np

    from training.errors import ImageError
    from training.images import PlaneReader, channel_names, channel_number, open_image

    stack = open_image(file)
    if channel is not None:
        stack = stack.isel(C=[channel_number(stack, channel)])
    elif stack.sizes.get("C", 1) > 1:
        named = ", ".join(channel_names(stack)) or f"0 to {stack.sizes['C'] - 1}"
        raise ImageError(f"{file} has the channels {named}: each has its own noise, measure one with `channel`")
    places = [*np.ndindex(stack.shape[:-2])]
    chosen = np.unique(np.linspace(0, len(places) - 1, most).astype(int))
    read = PlaneReader(stack)
    return np.stack([read(places[number]) for number in chosen])


def _show(profile: CameraProfile) -> None:
    from training.util.text import counted

    rows = [
        ["gain (units a photo-electron)", str(profile.gain)],
        ["zero level (variance 0)", str(profile.zero_level)],
        *(
            [name, f"{value:.5g}"]
            for name, value in (("offset", profile.offset), ("read noise", profile.read_noise))
            if value is not None
        ),
        *([f"correlation along {axis}", f"{value:.2f}"] for axis, value in profile.correlation.items()),
        ["saturation", "none seen" if profile.saturation is None else f"{profile.saturation:g}"],
    ]
    console.table(f"The camera, from {counted(profile.images, 'image')} (95 % interval)", ["", "measured"], rows)
    for sentence in profile.findings():
        console.say(sentence)
    if apart := profile.disagreement():
        console.warn(apart)


def _is_profile(path: Path) -> bool:
    from training.calibration.camera import read_camera
    from training.errors import UserError

    try:
        read_camera(path)
    except UserError:
        return False
    return True
