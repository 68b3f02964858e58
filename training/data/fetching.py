"""A published data set fetched into a folder: a download that goes on where it broke off, and its zip unpacked."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from training.data.published import Published
from training.errors import DataError
from training.util.hashing import sha256
from training.util.progress import Listener
from training.util.text import data_size
from training.util.web import failure
from training.util.writing import disk_full_at, replacing, write_text

_CHUNK, _PATIENCE = 2**20, (10, 60)  # patience: seconds for a connection, and between bytes


def fetch(name: str, published: Published, folder: Path, listener: Listener | None = None) -> None:
    """Download a data set into a folder and unpack it there; one that was fetched before is not fetched again.

    Parameters
    ----------
    name : str
        Of the data set, for messages.
    published : Published
        Says where it lies.
    folder : Path
        It is made. A download that breaks off leaves a ``.part`` there, and goes on from it when called again.
    listener : Listener, optional
        Gets notes and the progress.

    Raises
    ------
    UserError
        Where no program may fetch it (the message says what to put where), the server does not answer, the disk has
        too little room, or what came is not what was published.
    """
    if published.download is None:
        raise DataError(
            f"{name}: no program may fetch it; open {published.address} in a browser, and put into {folder} what it "
            f"gives: {published.layout}"
        )
    listener = listener or Listener()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / PurePosixPath(published.download).name
    done = archive.with_name(f"{archive.name}.unpacked")
    if done.exists():
        listener.note(f"{name}: fetched before; delete {done} to fetch it anew")
        return
    if not archive.exists():
        _download(published.download, archive, listener)
    if published.sha256 is not None and sha256(archive) != published.sha256:
        raise DataError(f"{archive} is not the published file, its sha256 differs: delete it and fetch it anew")
    _unpack(archive, folder, listener)
    write_text(done, f"{published.download}\n")
    archive.unlink()


def _download(address: str, archive: Path, listener: Listener) -> None:
    import requests
    from urllib3.exceptions import HTTPError

    part = archive.with_name(f"{archive.name}.part")
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    again = "run the same command again: it goes on from there"
    try:
        with requests.get(address, stream=True, timeout=_PATIENCE, headers=headers) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                part.unlink()
                raise DataError(f"{part} does not fit what is at {address}: it is deleted; run the same command again")
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                have = 0
            left = int(response.headers.get("Content-Length") or 0)
            if left > shutil.disk_usage(archive.parent).free:
                raise DataError(f"{archive.parent} has too little room for {data_size(left)} more: name another folder")
            title, megabytes = f"Fetching {archive.name}, MB", (have + left) / 1e6
            with (
                disk_full_at(part),
                part.open("ab" if have else "wb") as stream,
                listener.progress(title, megabytes if left else None) as advance,
            ):
                advance(have / 1e6, "")
                while chunk := response.raw.read(_CHUNK):
                    stream.write(chunk)
                    advance(len(chunk) / 1e6, "")
    except requests.RequestException as error:
        raise DataError(f"{address} could not be fetched ({failure(error)}); {again}") from None
    except HTTPError:
        raise DataError(f"{address}: the connection broke off; {again}") from None
    if left and part.stat().st_size != have + left:
        raise DataError(f"{address}: the connection broke off; {again}")
    part.replace(archive)


def _unpack(archive: Path, folder: Path, listener: Listener) -> None:
    """Write the files of a zip below a folder; none leads out of it."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            for member in members:
                _check_inside(member, archive)
            wanted = [one for one in members if not _there(one, folder)]
            size = sum(member.file_size for member in wanted)
            if size > shutil.disk_usage(folder).free:
                raise DataError(f"{folder} has too little room for {data_size(size)} that are in {archive.name}")
            with listener.progress(f"Unpacking {archive.name}, MB", size / 1e6) as advance:
                for member in wanted:
                    target = folder / member.filename
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with replacing(target) as part, opened.open(member) as source, part.open("wb") as stream:
                        shutil.copyfileobj(source, stream, _CHUNK)
                    advance(member.file_size / 1e6, "")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive} is damaged or no zip: delete it and fetch it anew ({error})") from None


def _check_inside(member: zipfile.ZipInfo, archive: Path) -> None:
    path = PureWindowsPath(member.filename)  # knows both kinds of slashes, and drives
    if path.anchor or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(f"{archive} holds {member.filename!r}, which leads out of its folder: nothing is unpacked")


def _there(member: zipfile.ZipInfo, folder: Path) -> bool:
    path = folder / member.filename
    return path.is_file() and path.stat().st_size == member.file_size
