"""What a tool is: its rules, the engines that it ships, its tilings, its script, the program that a user has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bmz_export.inspection import Inspection
from bmz_export.package.scripts import Script
from bmz_export.tools.rule import Rule
from bmz_export.tools.tiling import Tiling
from training.errors import PackageError


@dataclass(frozen=True)
class ToolTiling:
    """One of the ways in which a tool cuts images into tiles.

    Attributes
    ----------
    title : str
        For tables: size and overlap of the tiles, and what fills them beyond the image.
    cut : Callable
        From the inspection and (height, width) in pixels to the tiles, None where they would be too many.
    overlaps : bool
        Whether the tiles overlap by the halo that the package declares.
    recommended : bool
        Whether it is what a user sees who follows the package's README; another way is told apart.
    """

    title: str
    cut: Callable[[Inspection, tuple[int, int]], Tiling | None]
    overlaps: bool = True
    recommended: bool = True


@dataclass(frozen=True)
class Trial:
    """What a user's own program is given.

    Attributes
    ----------
    folder : Path
        Where it may write.
    description : Path
        The ``rdf.yaml`` of a copy of the package, in a folder of its own.
    image, array : Path
        The test image as TIFF (height x width, or channels first) and as ``.npy`` in the package's axis order.
    script : Path or None
        The tool's script, written anew; never the one that lies in the package.
    """

    folder: Path
    description: Path
    image: Path
    array: Path
    script: Path | None


@dataclass(frozen=True)
class Program:
    """A tool that a user has installed, run without a window.

    Attributes
    ----------
    place : str
        What a user names, such as ``Fiji's folder``.
    names : tuple of str
        Where the program may lie below that; an empty name stands for the place itself.
    call : Callable
        From the program and a trial to the command line and the file (``.npy`` or TIFF) in which the result will lie.
    """

    place: str
    names: tuple[str, ...]
    call: Callable[[Path, Trial], tuple[list[str], Path]]

    def find(self, place: Path) -> Path:
        """Return the program below a place, or raise a ``PackageError`` that says what is missing."""
        for name in self.names:
            if (place / name).is_file():
                return place / name
        wanted = " or ".join(filter(None, self.names[:3]))
        raise PackageError(f"{place}: there is no {wanted} here; name {self.place}")


@dataclass(frozen=True)
class Tool:
    """A tool that opens packages.

    Attributes
    ----------
    name : str
        Unique, for files and options.
    title : str
        For tables.
    rules : tuple of Rule
        What it demands of a package.
    engines : tuple of str
        Names of the engines that it ships.
    install : str
        How a user puts a package there, in a sentence.
    weights_choice : Callable
        From the inspection to the weights format that it would run, None where it can run none.
    tilings : tuple of ToolTiling
        How it cuts images; empty where it runs them whole.
    script : Script or None
        The script that packages bring for it.
    program : Program or None
        How a user's own installation is run.
    library : tuple of str
        What it does through bioimageio's library: ``read``, ``pack`` (with TorchScript alone), ``test``.
    """

    name: str
    title: str
    rules: tuple[Rule, ...]
    engines: tuple[str, ...]
    install: str
    weights_choice: Callable[[Inspection], str | None]
    tilings: tuple[ToolTiling, ...] = ()
    script: Script | None = None
    program: Program | None = None
    library: tuple[Literal["read", "pack", "test"], ...] = ()


def first_of(*formats: str) -> Callable[[Inspection], str | None]:
    """Return the choice of the first of these weights formats that a package holds."""
    return lambda inspection: next((name for name in formats if name in inspection.description.weights), None)
