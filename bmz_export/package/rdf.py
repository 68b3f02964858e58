"""The description of a package: RDF 0.5.4, written by us and validated, never rewritten, by bioimageio.spec.

0.5.4 is the newest format whose descriptions deepImageJ and QuPath parse; saving through the library would turn it into
the newest. There is no ``config`` (deepImageJ then wants an ``id``, which the site assigns), no pre- or postprocessing
(tools disagree on every one of them: the network calibrates inside itself) and no unit of the pixels (QuPath would
resample to it).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import lcm
from pathlib import Path

from bmz_export.package.templates import fill
from bmz_export.package.weights import ARCHITECTURE, CALLABLE, ONNX, OPSET, STATE_DICT, TORCHSCRIPT
from training.errors import PackageError
from training.inference.tiles import GLOBAL_HALO, halo_for
from training.util.hashing import sha256

RDF, README, COVER, PROVENANCE = "rdf.yaml", "README.md", "cover.png", "provenance.json"
TEST_INPUT, TEST_OUTPUT = "test_input.npy", "test_output.npy"
_HASHED = {"state_dict": STATE_DICT, "architecture": ARCHITECTURE, "torchscript": TORCHSCRIPT, "onnx": ONNX}
_HASHED |= {"test_input": TEST_INPUT, "test_output": TEST_OUTPUT}
FILES = {**_HASHED, "readme": README, "cover": COVER, "provenance": PROVENANCE}
"""Files of a package by what templates call them."""

PYTORCH_VERSION = "2.5.1"
"""Stated for both torch formats: proven in QuPath 0.6, in conda-forge, and one that lets deepImageJ choose TorchScript
over ONNX (whose wrapper there ends the program). The version that exported stands in the README."""
MARK = "# Written by bmz-fmd"
"""How ``rdf.yaml`` begins: only a folder with such a description is ever replaced by an export."""
LARGEST_TILE = 512
"""QuPath's and ilastik's tiles."""


@dataclass(frozen=True)
class Tiling:
    """The sizes and the halo that a description declares.

    Attributes
    ----------
    minimum : int
        Least height and width in pixels: a power of two, so that QuPath's tile (its largest multiple up to 512) is 512,
        and more than twice the halo, so that something of a tile is left (deepImageJ, ilastik).
    step : int
        Sizes are ``minimum + n * step``. It is 1: the network pads inside itself to what its strides need, so
        deepImageJ takes an image of any size in one tile, where a larger step would make it take two with a shifted
        grid, and bioimageio.core takes any size at all.
    halo : tuple of int
        Pixels around a tile, along each space axis, that decide its result and are cut off: a multiple of the strides,
        so that cutting an image into tiles does not shift their grid, and of 8.
    """

    minimum: int
    step: int
    halo: tuple[int, ...]


def choose_tiling(
    radius: tuple[int, ...] | None, stride: tuple[int, ...], halo: tuple[int, ...] | None = None
) -> Tiling:
    """Return what to declare for a network.

    Parameters
    ----------
    radius : tuple of int or None
        Receptive radius in pixels along each space axis; None where a global operation sees the whole image.
    stride : tuple of int
        Total stride in pixels along each.
    halo : tuple of int, optional
        A measured halo, to take instead of the one that follows from the radius (of which 96 pixels are enough: beyond
        them DRUNet's seams are 1.4e-5).

    Raises
    ------
    UserError
        When nothing would be left of a 512 tile.

    Examples
    --------
    >>> choose_tiling(radius=(17, 17), stride=(1, 1))
    Tiling(minimum=64, step=1, halo=(24, 24))
    """
    if halo is None:
        halo = (GLOBAL_HALO,) * len(stride) if radius is None else tuple(min(each, GLOBAL_HALO) for each in radius)
    halo = halo_for(halo, [lcm(step, 8) for step in stride])
    minimum = 64
    while minimum <= 2 * max(halo):
        minimum *= 2
    if minimum > LARGEST_TILE:
        raise PackageError(
            f"halo {max(halo)}: nothing is left of a {LARGEST_TILE} pixel tile; QuPath and ilastik need a halo below "
            f"{LARGEST_TILE // 2}"
        )
    return Tiling(minimum, 1, halo)


def write_rdf(folder: Path, axes: str, tiling: Tiling, attachments: Sequence[str], **values: object) -> None:
    """Write ``rdf.yaml`` for the files that lie in ``folder``.

    Parameters
    ----------
    folder : Path
        Holds the weights, test tensors, README, cover and attachments.
    axes : str
        Space axes of its images, such as "YX".
    tiling : Tiling
        Sizes and halo.
    attachments : sequence of str
        Names of further files in ``folder`` that belong to the package.
    **values
        ``name``, ``description``, ``authors``, ``cite``, ``license``, ``tags``, ``version``, ``timestamp``,
        ``training_data`` and ``kwargs``, as the template names them.
    """
    text = fill(
        "rdf.yaml.j2",
        mark=f"{MARK} {version('bmz-fmd')}",
        space=list(zip(axes.lower(), tiling.halo, strict=True)),
        tiling=tiling,
        pytorch_version=PYTORCH_VERSION,
        opset_version=OPSET,
        callable=CALLABLE,
        files=FILES,
        sha256={name: sha256(folder / name) for name in (*_HASHED.values(), *attachments) if (folder / name).is_file()},
        attachments=attachments,
        **values,
    )
    (folder / RDF).write_text(text, encoding="utf-8")


def validate(folder: Path, addresses: Sequence[str] = ()) -> None:
    """Let bioimageio.spec validate the description and the files that it names, without touching them.

    Parameters
    ----------
    folder : Path
        The package.
    addresses : sequence of str
        Addresses in the description; they are taken to exist, since an export must not depend on the network.

    Raises
    ------
    UserError
        With the first thing that is wrong.
    """
    from bioimageio.spec import InvalidDescr, load_description

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves the files that it read to the collector
        found = load_description(folder / RDF, perform_io_checks=True, known_files=dict.fromkeys(addresses))
    if isinstance(found, InvalidDescr):
        errors = [error for detail in found.validation_summary.details for error in detail.errors]
        where = ".".join(str(part) for part in errors[0].loc) if errors else RDF
        what = errors[0].msg if errors else "not readable"
        raise PackageError(f"the description of the package is not valid: {where}: {what}; see `about` and its options")


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a package that this program wrote."""
    try:
        with (folder / RDF).open(encoding="utf-8") as stream:
            return stream.readline().startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False
