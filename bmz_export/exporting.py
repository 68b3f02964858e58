"""From a run to ``packages/NAME/`` and ``packages/NAME.zip``: whole or not at all."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bmz_export.package.about import About, plain_name
from bmz_export.package.archive import write_zip
from bmz_export.package.builder import Addition, build
from bmz_export.package.halo import halo_of
from bmz_export.package.rdf import MARK, RDF, is_ours
from bmz_export.package.reading import read_description
from bmz_export.tools import scripts
from training.errors import PackageError, UserError
from training.networks import NETWORKS
from training.runs.settings import check_name
from training.util.writing import abandoned_parts, disk_full_at, part_of

if TYPE_CHECKING:
    from training.runs.run import Run

PACKAGES = Path("packages")
"""Where packages are written, below the working directory."""


@dataclass(frozen=True)
class Exported:
    """A finished package.

    Attributes
    ----------
    folder, archive : Path
        The unpacked package and its zip.
    example : str
        Which image is public now.
    missing : tuple of str
        What must be filled in before publishing.
    """

    folder: Path
    archive: Path
    example: str
    missing: tuple[str, ...]


def export(
    run: Run,
    *,
    name: str | None = None,
    out: Path = PACKAGES,
    about: About | None = None,
    example: Path | None = None,
    certify: Callable[[Path], Addition] | None = None,
    log: Callable[[str], object] | None = None,
) -> Exported:
    """Build the package of a run and put it in place when it is whole.

    Parameters
    ----------
    run : Run
        A trained run; its best checkpoint is exported.
    name : str, optional
        Of the folder and the zip; the run's name by default.
    out : Path
        The folder that both go to.
    about : About, optional
        Authors, citation, licence, words.
    example : Path, optional
        The image whose part becomes the public example; a test image of the run by default.
    certify : callable, optional
        Given the folder of the complete package before it is put in place; what it returns is added to the package.
    log : callable, optional
        Called, before anything is written, with which image becomes public.

    Returns
    -------
    Exported

    Raises
    ------
    UserError
        When the run is not finished, something that is no package of ours stands where the package would go, or the
        package cannot be built; nothing is changed then.
    """
    if run.checkpoint().is_file() and not run.finished():
        raise PackageError(
            f"{run.folder}: training was cut off before its best weights were scored; "
            f"go on with bmz-fmd train `resume` `name` {run.name}"
        )
    name = check_name(name or run.name)
    target, archive = out / name, out / f"{name}.zip"
    _recover(out, name)
    _refuse_foreign(target, archive)
    provenance = run.provenance
    image, public = _example(run, example)
    if log is not None:
        log(f"Public from now on, as its example: a part of {public} (`example` FILE chooses another)")
    model = run.model()
    network = NETWORKS[provenance.network.name]
    halo = halo_of(model, image, network, provenance.network.settings)
    about = about or About()
    if about.title is None and run.settings.data.dataset is None:  # a folder's name, such as "low", says nothing
        about = replace(about, title=plain_name(f"{network.title} denoiser {name}"))
    with _workspace(out, name) as work:
        with _writing(target):
            built = build(
                work / name,
                model,
                network=network.name,
                settings=provenance.network.settings,
                example=image,
                example_name=public,
                about=about,
                provenance=provenance,
                halo=halo,
                scripts=scripts(),
            )
        addition = Addition() if certify is None else certify(built.folder)
        with _writing(target):
            if addition != Addition():
                built.attach(addition)
            whole = write_zip(built.folder, work / archive.name)
            _put_in_place(built.folder, target, whole, archive, work / _PREVIOUS)
    return Exported(target, archive, public, built.missing)


_PREVIOUS = "previous"  # where a replaced package waits inside the workspace until the new one stands


def _example(run: Run, file: Path | None) -> tuple[NDArray[Any], str]:
    """The plane that becomes public, in the type of its file, and what to call it."""
    if file is None:
        try:
            samples = run.dataset().test
        except UserError as error:
            raise PackageError(f"the run's own images cannot be read ({error}); name another with `example`") from None
        if not samples:
            raise PackageError("the run has no test image to show; name one with `example` FILE")
        return samples[0].noisy[0].read(), f"test image {samples[0].name}"
    from training.images import channel_number, open_image, planes

    image = open_image(file)
    channel = run.settings.data.options.get("channel")
    if channel is not None and image.sizes.get("C", 1) > 1:
        image = image.isel(C=[channel_number(image, channel)])
    _, plane = next(planes(image))
    return plane, file.name


def _refuse_foreign(target: Path, archive: Path) -> None:
    """Only what an export wrote is replaced by an export."""
    elsewhere = "choose another `name` or `out`"
    if target.exists() or target.is_symlink():
        if target.is_symlink() or not target.is_dir() or not is_ours(target):
            raise PackageError(f"{target}: exists and is no package that bmz-fmd wrote, so it stays; {elsewhere}")
        known = {RDF, *(file.source for _, file in read_description(target / RDF).files())}
        for path in sorted(target.rglob("*")):
            if path.is_dir() or path.relative_to(target).as_posix() not in known:
                raise PackageError(
                    f"{path}: not part of the package that would be replaced; move it away, or {elsewhere}"
                )
    if archive.exists() and not _is_our_zip(archive):
        raise PackageError(f"{archive}: exists and is no package that bmz-fmd wrote, so it stays; {elsewhere}")
    edited = _edited(target, archive)
    if edited is not None:
        raise PackageError(f"{edited}: edited since it was exported, so it stays; move {target} away, or {elsewhere}")


def _edited(target: Path, archive: Path) -> Path | None:
    """A file of a package that is not as its zip holds it; None where there is none, or no zip to tell."""
    if not archive.exists():
        return None
    with zipfile.ZipFile(archive) as entries:
        for entry in entries.infolist():
            path = target / entry.filename
            if path.is_file() and (path.stat().st_size != entry.file_size or _checksum(path) != entry.CRC):
                return path
    return None


def _checksum(path: Path) -> int:
    found = 0
    with path.open("rb") as stream:
        while part := stream.read(2**20):
            found = zlib.crc32(part, found)
    return found


def _is_our_zip(archive: Path) -> bool:
    try:
        with zipfile.ZipFile(archive) as entries, entries.open(RDF) as stream:
            return stream.readline().decode("utf-8", "replace").startswith(MARK)
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError):
        return False


@contextmanager
def _workspace(out: Path, name: str) -> Iterator[Path]:
    """A hidden folder beside the target, on the same disk, gone afterwards whatever happens."""
    work = part_of(out / name)
    try:
        with _writing(out / name):
            work.mkdir(parents=True)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Say what a disk that is full, or may not be written to, means for the package."""
    try:
        with disk_full_at(target):
            yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PackageError(
            f"{target}: cannot be written ({reason}); make room there, or choose another `out`"
        ) from None


def _put_in_place(folder: Path, target: Path, whole: Path, archive: Path, previous: Path) -> None:
    """Rename the new folder and zip to their places; where one of them fails, the folder before comes back."""
    try:
        if target.exists():
            target.rename(previous)
        folder.rename(target)
        whole.replace(archive)
    except BaseException:
        if whole.exists():  # an interruption may also come when all is done
            if not folder.exists():
                target.rename(folder)
            if previous.exists():
                previous.rename(target)
        raise


def _recover(out: Path, name: str) -> None:
    """Clear up after an export that was killed: its folder and zip go together, both the old ones or both the new."""
    for work in abandoned_parts(out, name):
        if (work / _PREVIOUS).is_dir() and not (out / name).exists():
            (work / _PREVIOUS).rename(out / name)
        elif (work / f"{name}.zip").is_file() and not (work / name).exists():  # killed between the two
            (work / f"{name}.zip").replace(out / f"{name}.zip")
        shutil.rmtree(work, ignore_errors=True)
