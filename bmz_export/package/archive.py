"""The only place that reads the files of a package and writes its zip.

Reading trusts nothing: an archive is unpacked into a temporary folder after every path, kind and size in it was looked
at; a folder is read where it stands. Nothing is ever written beside the package.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bmz_export.package.description import Description, Problem
from bmz_export.package.reading import read_description
from training.errors import PackageError
from training.util.writing import replacing

DESCRIPTION_NAMES = ("rdf.yaml", "bioimageio.yaml", "model.yaml", "rdf.yml", "model.yml")
"""What tools have called the description, the name that all of them read first."""

MAX_FILES = 10_000
MAX_TOTAL = 32 * 2**30
"""Bytes that a package may hold unpacked; the largest of ours has 1.7 GB."""
MAX_RATIO = 1100
"""Deflate cannot shrink more than 1032-fold: whatever claims more is no honest archive."""
BOMB_RATIO, BOMB_SIZE = 50, 4 * 2**30
"""An archive that unpacks to more than ``BOMB_SIZE`` and to more than ``BOMB_RATIO`` times its own size is refused."""

_METHODS = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstandard", 95: "xz", 96: "jpeg", 97: "wavpack", 98: "ppmd"}
_WINDOWS_NAMES = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """A package, opened.

    Attributes
    ----------
    path : Path
        What the user named: a folder or a zip.
    folder : Path
        Where its files can be read; temporary for a zip.
    description : Description
        What its RDF says.
    problems : tuple of Problem
        What a tool would stumble over in the archive itself.
    """

    path: Path
    folder: Path
    description: Description
    problems: tuple[Problem, ...] = field(default=())

    def file(self, source: str | None) -> Path | None:
        """Return the file that the description calls ``source``, or None where the package does not hold it."""
        if not source or "\0" in source or "\\" in source or "://" in source:
            return None
        parts = PurePosixPath(source)
        if parts.is_absolute() or ".." in parts.parts:
            return None
        path = self.folder / parts
        try:
            inside = path.resolve().is_relative_to(self.folder.resolve())
            return path if inside and path.is_file() else None
        except (OSError, RuntimeError):
            return None


@contextmanager
def open_package(path: str | os.PathLike[str]) -> Iterator[Package]:
    """Open a model package, a folder or a zip, of any origin.

    Parameters
    ----------
    path : path
        The folder, its ``rdf.yaml``, or the zip.

    Yields
    ------
    Package
        Valid within the ``with`` block; the temporary folder of a zip is removed after it.

    Raises
    ------
    UserError
        Where there is nothing that can be read safely: no such path, no zip, no description, paths that leave the
        package, links, sizes that no package has, encrypted or damaged entries.
    """
    path = Path(path)
    if path.name in DESCRIPTION_NAMES and path.is_file():
        path = path.parent
    if path.is_dir():
        yield _read_folder(path)
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="bmz-fmd-") as temporary:
            yield _read_zip(path, Path(temporary))
    else:
        raise PackageError(f"{path}: no such package; name a folder with an rdf.yaml in it, or its zip")


def write_zip(folder: Path, target: Path) -> Path:
    """Write the files of a folder as a zip that is byte for byte the same each time.

    Entries are stored, not deflated (weights hardly shrink, and Java reads no third method), carry one fixed date, and
    stand in the order of their names after ``rdf.yaml``.

    Parameters
    ----------
    folder : Path
        What becomes the root of the zip.
    target : Path
        The zip; replaced only when the new one is whole.

    Returns
    -------
    Path
        ``target``.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files, key=lambda name: (name != "rdf.yaml", name)):
            path, entry = files[name], zipfile.ZipInfo(name, _ZIP_DATE)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3
            entry.file_size = path.stat().st_size  # so that Zip64 is chosen only where it is needed
            with path.open("rb") as source, archive.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 2**20)
    return target


def _read_folder(folder: Path) -> Package:
    names = _descriptions(folder)
    if not names:
        below = sorted(path.parent for name in DESCRIPTION_NAMES for path in folder.glob(f"*/{name}"))
        hint = f"; {below[0]} has one, check that" if below else ""
        raise PackageError(f"{folder}: there is no rdf.yaml in this folder, so it is no model package{hint}")
    root, total = folder.resolve(), 0
    for count, path in enumerate(folder.rglob("*")):
        if count >= MAX_FILES:
            raise PackageError(f"{folder}: more than {MAX_FILES} files; name the folder of one package")
        if path.is_symlink() and not _stays_inside(path, root):
            raise PackageError(f"{path}: a link that leaves the package; put the file itself there")
        if not path.is_symlink() and path.is_file():
            total += path.stat().st_size
    if total > MAX_TOTAL:
        raise PackageError(f"{folder}: holds {total / 2**30:.0f} GiB; name the folder of one package")
    return Package(folder, folder, read_description(folder / names[0]), tuple(_name_problems(names)))


def _stays_inside(link: Path, root: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _name_problems(names: list[str]) -> Iterator[Problem]:
    if names[0] != "rdf.yaml":
        message = f"the description is called {names[0]}; Fiji and the site read rdf.yaml"
        yield Problem("archive.name", names[0], message)
    elif len(names) > 1:
        message = f"{names[1]} lies beside rdf.yaml: some tools read that one instead"
        yield Problem("archive.second-description", names[1], message)


def _read_zip(path: Path, temporary: Path) -> Package:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            problems = list(_check_entries(path, entries))
            _unpack(path, archive, entries, temporary)
    except (zipfile.BadZipFile, EOFError, zlib.error, UnicodeDecodeError, struct.error) as error:
        raise PackageError(f"{path}: not a zip, or a damaged one ({error}); export or download it again") from None
    except (NotImplementedError, RuntimeError, OSError) as error:
        raise PackageError(
            f"{path}: cannot be unpacked ({error}); zip the package's files again, stored or deflated"
        ) from None
    folder = _find_root(path, temporary, problems)
    names = _descriptions(folder)
    return Package(path, folder, read_description(folder / names[0]), (*problems, *_name_problems(names)))


def _descriptions(folder: Path) -> list[str]:
    return [name for name in DESCRIPTION_NAMES if (folder / name).is_file()]


def _find_root(path: Path, folder: Path, problems: list[Problem]) -> Path:
    if _descriptions(folder):
        return folder
    found = sorted(
        (path for name in DESCRIPTION_NAMES for path in folder.rglob(name)),
        key=lambda found: (len(found.parts), DESCRIPTION_NAMES.index(found.name), found.parts),
    )
    if not found:
        raise PackageError(f"{path}: there is no rdf.yaml in this zip, so it is no model package")
    where = found[0].relative_to(folder).as_posix()
    message = f"rdf.yaml is not at the root of the zip but at {where}: no tool finds it there"
    problems.append(Problem("archive.nested", where, message))
    return found[0].parent


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> Iterator[Problem]:
    if len(entries) > MAX_FILES:
        raise PackageError(f"{path}: {len(entries)} entries; a model package has a few dozen")
    seen: dict[str, str] = {}
    for entry in entries:
        name, folded = entry.filename, entry.filename.casefold().rstrip("/")
        twice = "is there twice, and tools differ in which they read; zip it again" if name in seen else None
        if refusal := twice or _refusal(entry):
            raise PackageError(f"{path}: the entry {name!r} {refusal}")
        if folded in seen.values():
            message = f"{name!r} differs from another entry in case only: one is lost on Windows"
            yield Problem("archive.case", name, message)
        seen[name] = folded
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            method = _METHODS.get(entry.compress_type, f"method {entry.compress_type}")
            yield Problem("archive.method", name, f"{name!r} is compressed with {method}, which Java cannot read")
        elif entry.compress_type == zipfile.ZIP_STORED and entry.flag_bits & 0x8 and not entry.is_dir():
            message = f"{name!r} is stored with a data descriptor, which Java's stream refuses"
            yield Problem("archive.streamed", name, message)
        if any(_WINDOWS_NAMES.match(part) or set(part) & set('<>:"|?*') for part in PurePosixPath(name).parts):
            yield Problem("archive.windows", name, f"{name!r} is a name that Windows does not allow")
    total, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    size = f"{path}: unpacks to {total / 2**30:.1f} GiB"
    if total > MAX_TOTAL or (total > BOMB_SIZE and total > BOMB_RATIO * max(packed, 1)):
        raise PackageError(f"{size} from {packed / 2**20:.1f} MiB; refused as absurd")
    if total > shutil.disk_usage(tempfile.gettempdir()).free:
        raise PackageError(f"{size}, more than {tempfile.gettempdir()} has room for")


def _refusal(entry: zipfile.ZipInfo) -> str | None:
    """Say why an entry by itself is reason enough not to unpack the archive."""
    path, kind = PurePosixPath(entry.filename.replace("\\", "/")), stat.S_IFMT(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or re.match(r"$|[A-Za-z]:|.*\0", entry.filename, re.DOTALL):
        return "leaves the package's folder; refused"
    if "\\" in entry.filename:
        return "has a backslash in its name; zip the package with forward slashes"
    if entry.create_system == 3 and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device; put the file itself there"
    if entry.flag_bits & 0x1:
        return "is encrypted; zip the package without a password"
    if entry.file_size > max(entry.compress_size, 1) * MAX_RATIO:
        return f"claims to unpack {entry.file_size:,} bytes: no honest archive"
    return None


def _unpack(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], folder: Path) -> None:
    for entry in entries:
        target = folder / PurePosixPath(entry.filename)
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("xb") as sink:
            left = entry.file_size
            while chunk := source.read(min(2**20, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise PackageError(f"{path}: the entry {entry.filename!r} is larger than it claims; refused")
                sink.write(chunk)
