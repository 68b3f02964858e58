"""A zip that torch wrote, seen as torch's own reader sees it, or why no reader can be sure to see the same.

Readers look from the end of a file, torch's own at its first bytes too, and by names in any case. An archive is read
only where all of them must find the same entries: it fills the file, and no name is there twice.
"""

from __future__ import annotations

import struct
import zipfile

_END = struct.Struct("<4s4xHHIIH")  # ends a zip: entries (twice), size and place of their list, length of a comment
_LOCATOR = struct.Struct("<4s4xQ4x")  # stands before it where there is a wide record: that one's place
_WIDE_END = struct.Struct("<4s20xQQQQ")  # the same four in more bytes
_SATURATED = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)  # where the wide record holds the value


class ZipError(Exception):
    """Why a zip is not read, without the file's name."""


def entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by their name in the archive's folder.

    Raises
    ------
    ZipError
        Where the archive is cut off or contradicts itself, or where readers would differ in what they find.
    """
    listed = archive.infolist()
    if not listed:
        raise ZipError("an empty zip")
    _refuse_damage(archive, listed)
    _refuse_surroundings(archive, listed)
    folder = listed[0].filename.partition("/")[0].lower() + "/"
    found: dict[str, zipfile.ZipInfo] = {}
    seen = set()
    for entry in listed:
        name = entry.filename
        if name.lower() in seen:
            raise ZipError(f"it holds {name} twice: readers differ in which they take")
        seen.add(name.lower())
        if name.lower().startswith(folder):
            found[name[len(folder) :]] = entry
    return found


def _refuse_damage(archive: zipfile.ZipFile, listed: list[zipfile.ZipInfo]) -> None:
    assert archive.fp is not None
    size = archive.fp.seek(0, 2)
    for entry in listed:
        if entry.header_offset + entry.compress_size > size:
            raise ZipError(f"{entry.filename} is cut off")
        if entry.compress_size != entry.file_size and entry.compress_type == zipfile.ZIP_STORED:
            raise ZipError(f"{entry.filename} has two sizes")


def _refuse_surroundings(archive: zipfile.ZipFile, listed: list[zipfile.ZipInfo]) -> None:
    """Refuse what stands before the zip or behind it, and ends that point elsewhere than the library looked."""
    assert archive.fp is not None
    if min(entry.header_offset for entry in listed):
        raise ZipError("something stands before the zip: torch may read that in its place")
    tail = _WIDE_END.size + _LOCATOR.size + _END.size
    size = archive.fp.seek(0, 2)
    archive.fp.seek(max(0, size - tail))
    data = archive.fp.read().rjust(tail, b"\0")
    wide_mark, *wide = _WIDE_END.unpack_from(data)
    locator, place = _LOCATOR.unpack_from(data, _WIDE_END.size)
    mark, *narrow, comment = _END.unpack_from(data, tail - _END.size)
    is_wide = locator == b"PK\6\7"
    end = size - (tail if is_wide else _END.size)
    true = [len(listed), len(listed), end - archive.start_dir, archive.start_dir]
    right = mark == b"PK\5\6" and not comment
    if is_wide:
        right &= wide_mark == b"PK\6\6" and place == end and wide == true
        right &= all(value in (most, stated) for value, most, stated in zip(narrow, _SATURATED, true, strict=True))
    else:
        right &= narrow == true
    if not right:
        raise ZipError("something stands behind the zip, or its end is odd: readers differ in what they see")
