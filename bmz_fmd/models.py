"""What ``model`` means: a run folder, a package folder or its zip, opened as a denoiser."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from training.errors import UserError
from training.util.hashing import sha256

if TYPE_CHECKING:
    from bmz_fmd.arrays import Image
    from training.calibration.camera import CameraProfile
    from training.inference.denoiser import Denoiser
    from training.inference.statistics import TrainedOn
    from training.runs.provenance import Provenance
    from training.runs.run import Run

_SHOWN = 3  # models that a message lists


@dataclass(frozen=True)
class Model:
    """A denoiser: call it with an image.

    Examples
    --------
    >>> model = bmz_fmd.load("packages/my-cells.zip")  # doctest: +SKIP
    >>> denoised = model(image)  # doctest: +SKIP

    Attributes
    ----------
    path : Path
        As given.
    kind : {"run", "package", "calibration", "baseline"}
        What it is.
    denoiser : Denoiser
        The function, and what one must know to run it in tiles.
    hashed : str
        The file that ``sha256`` is of: a run's best checkpoint, a package's zip, or its description, which holds the
        hashes of all its files.
    sha256 : str
        In hexadecimal digits.
    provenance : Provenance or None
        How it was made; None for a package that does not say so.
    run : Run or None
        The run, if it is one.
    """

    path: Path
    kind: Literal["run", "package", "calibration", "baseline"]
    denoiser: Denoiser
    hashed: str
    sha256: str
    provenance: Provenance | None = None
    run: Run | None = None

    @property
    def name(self) -> str:
        """Of the run or the package: that of its folder or zip."""
        path = self.path.absolute()
        return path.stem if path.suffix.lower() == ".zip" else path.name

    @property
    def trained_on(self) -> TrainedOn | None:
        """Intensities and noise of the training images, ``low``, ``high`` and ``noise``; None where unknown."""
        return self.denoiser.trained_on

    @property
    def camera(self) -> CameraProfile | None:
        """Gain, zero level and correlation of the noise that it was made for; None where unknown."""
        return None if self.provenance is None else self.provenance.camera

    def __call__(self, image: Image, *, tile: int | None = None, channel: str | int | None = None) -> Image:
        """Denoise an image of any size.

        Parameters
        ----------
        image : ndarray, (..., Y, X), or DataArray with the axes ``Y`` and ``X`` (or ``y`` and ``x``)
            In the units of the training images: what the camera gave, not normalised. Every plane is denoised by
            itself, with a model of volumes every stack (Z, Y, X).
        tile : int, optional
            Side of the tiles in pixels, halo included; by default what is fastest, as memory allows.
        channel : str or int, optional
            Of an image with the axis ``C``: denoise this one alone, by name or number, and pass the others through.

        Returns
        -------
        ndarray or DataArray
            As given: of the same shape, axes and coordinates, float32, in the same units. Of an image that is read
            lazily (dask) each plane is denoised when it is asked for.

        Raises
        ------
        UserError
            Where it is no image that the model takes, or memory does not suffice.
        """
        from bmz_fmd.arrays import denoise_array

        return denoise_array(image, self.denoiser, tile=tile, channel=channel)


def open_model(path: Path, device: str = "auto", *, trust: bool = False) -> Model:
    """Open a run folder, a package folder, or a package's zip.

    Parameters
    ----------
    path : Path
        As the user typed it.
    device : str
        ``auto``, or a device in torch's words.
    trust : bool
        Whether Python that lies in a package may run.

    Raises
    ------
    UserError
        If it is neither, or damaged; the line says what there is.
    """
    kind = model_kind(path)
    if kind == "run":
        from training.runs.run import open_run

        run = open_run(path)
        denoiser = run.denoiser(device=device)
        best = run.checkpoint()
        return Model(path, "run", denoiser, best.name, sha256(best), run.provenance, run)
    from bmz_export.opening import denoiser_of, stated_provenance
    from bmz_export.package.archive import open_package

    with open_package(path) as package:
        denoiser = denoiser_of(package, device=device, trust=trust)
        hashed = path if path.is_file() else package.description.path
        return Model(path, "package", denoiser, hashed.name, sha256(hashed), stated_provenance(package))


def model_kind(path: Path) -> Literal["run", "package"]:
    """Return what a path is, by a look at the names inside; raise ``UserError`` if it is no model."""
    from bmz_export.package.archive import DESCRIPTION_NAMES

    if path.is_dir():
        if (path / "settings.yaml").is_file():
            return "run"
        if any((path / name).is_file() for name in DESCRIPTION_NAMES):
            return "package"
        raise UserError(f"`model` {path}: neither a run (settings.yaml) nor a package (rdf.yaml); {_known(path)}")
    if path.is_file():
        if path.name in DESCRIPTION_NAMES or path.suffix.lower() == ".zip":
            return "package"
        raise UserError(f"`model` {path}: not a model; give a run folder, a package folder or its zip; {_known(path)}")
    raise UserError(f"`model` {path}: does not exist; {_known(path)}")


def _known(path: Path) -> str:
    """Return in words the model that is called almost so, or the newest below the working directory."""
    runs = [found.parent for found in Path("runs").glob("*/settings.yaml") if not found.parent.name.startswith(".")]
    packages = [found.parent for found in Path("packages").glob("*/rdf.yaml") if not found.parent.name.startswith(".")]
    newest = sorted(runs + packages, key=lambda found: found.stat().st_mtime, reverse=True)
    if not newest:
        return "there is none below this folder yet, bmz-fmd train makes one"
    for name in difflib.get_close_matches(path.name, [found.name for found in newest], n=1):
        return f"did you mean {next(found for found in newest if found.name == name)}?"
    return f"there is {', '.join(str(found) for found in newest[:_SHOWN])}"
