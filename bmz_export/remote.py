"""A package that lies elsewhere (an address, a DOI of Zenodo, a name in the BioImage Model Zoo), in the user's cache.

What comes is a stranger's: its size and time are bounded, its hashes are recorded and checked again at each use, and
nothing of it runs here. A zip is kept as it is; around an ``rdf.yaml`` the files that it names are fetched one by one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urljoin, urlsplit

from pydantic import BaseModel, ValidationError

from bmz_export.package.archive import DESCRIPTION_NAMES, MAX_FILES
from bmz_export.package.reading import MAX_BYTES, read_description
from training.errors import PackageError
from training.util.cache import cache_folder
from training.util.hashing import sha256
from training.util.progress import Listener
from training.util.web import failure
from training.util.writing import clear_parts, new_folder, write_text

ZOO = "https://hypha.aicell.io/bioimage-io/artifacts/{name}/files/rdf.yaml"
ZENODO = "https://zenodo.org/api/records/{number}"
LIMITS = {"BMZ_FMD_FETCH_GB": 8.0, "BMZ_FMD_FETCH_MINUTES": 60.0}
"""How much is fetched of one package and for how long; environment variables of these names state others."""

_SITE = re.compile(
    r"(?:https?:/+)?(?:www\.)?bioimage\.io/(?:#/)?(?:artifacts/|r/|p/)?(?:bioimage-io(?:/|%2F))?"
    r"(?P<name>[\w-]+)(?:/v?(?P<version>[\w.]+))?/?",
    re.IGNORECASE,
)
_DOI = re.compile(r"(?:doi:\s*|(?:https?:/+)?(?:dx\.)?doi\.org/)?(?P<doi>10\.\d{4,9}/\S+)", re.IGNORECASE)
_ZENODO = re.compile(r"10\.5281/zenodo\.(\d+)", re.IGNORECASE)
_ZENODO_PAGE = re.compile(r"https?:/+zenodo\.org/records?/(\d+)/?", re.IGNORECASE)
_ADDRESS = re.compile(r"(https?):/+(.+)", re.IGNORECASE)
_RECORD, _CHUNK, _PATIENCE = "fetched.json", 2**18, (10, 30)  # patience: seconds for a connection, and between bytes


class _Fetched(BaseModel):
    """What lies in a folder of the cache, and how it came there."""

    address: str
    on: str
    package: str
    files: dict[str, str]


def fetch_package(source: str | os.PathLike[str], listener: Listener | None = None) -> Path:
    """Return the local path of a package; one that lies elsewhere is fetched into the user's cache first.

    Parameters
    ----------
    source : str or path
        A path, which is returned as it is, or ``bioimage.io/NAME`` (with ``/VERSION``), a DOI of Zenodo, or the
        address (http, https) of a zip or an ``rdf.yaml``.
    listener : Listener, optional
        Gets notes and the progress of the download.

    Raises
    ------
    UserError
        Where there is no connection, nothing at that address, more than the limit, or no package; nothing is left
        behind then.
    """
    words = os.fspath(source)
    here = not _ADDRESS.match(words) and Path(words).exists()
    address = None if here else _address(words)
    if address is None:
        return Path(words)
    listener = listener or Listener()
    folder = cache_folder() / "packages" / f"{_slug(words)}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    kept = _kept(folder)
    if kept is not None:
        listener.note(f"{words}: as fetched on {kept.on[:10]}; delete {folder} to fetch it anew")
        return folder / kept.package
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        clear_parts(folder.parent)
        shutil.rmtree(folder, ignore_errors=True)
        with new_folder(folder) as part:
            package = _fetch(_Download(words, listener), address, part)
            files = {path.relative_to(part).as_posix(): sha256(path) for path in part.rglob("*") if path.is_file()}
            record = _Fetched(
                address=address, on=datetime.now(UTC).isoformat(timespec="seconds"), package=package, files=files
            )
            write_text(part / _RECORD, record.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise PackageError(
            f"{folder.parent}: cannot be written ({error.strerror or error}); name another folder in BMZ_FMD_CACHE"
        ) from None
    return folder / package


def _slug(words: str) -> str:
    return re.sub(r"\W+", "-", words)[-60:].strip("-")


def _address(words: str) -> str | None:
    """Return what to ask for, None for a plain path."""
    doi = _DOI.fullmatch(words)
    if zenodo := _ZENODO.fullmatch(doi["doi"]) if doi else _ZENODO_PAGE.fullmatch(words):
        return ZENODO.format(number=zenodo[1])
    if site := _SITE.fullmatch(words):
        return ZOO.format(name=site["name"]) + (f"?version={site['version']}" if site["version"] else "")
    if doi:
        raise PackageError(f"{doi['doi']}: only DOIs of Zenodo are looked up; give the address of the zip or rdf.yaml")
    if address := _ADDRESS.fullmatch(words):
        return f"{address[1].lower()}://{address[2]}"  # a path object has lost one of the slashes
    return None


def _kept(folder: Path) -> _Fetched | None:
    """Return what was fetched before and is still whole."""
    try:
        kept = _Fetched.model_validate_json((folder / _RECORD).read_bytes())
        return kept if all(sha256(folder / name) == known for name, known in kept.files.items()) else None
    except (OSError, ValidationError):
        return None


def _fetch(download: _Download, address: str, folder: Path) -> str:
    """Fetch a package into a folder and return its name there."""
    first = folder / "package"
    beside: Callable[[str], str | None]
    if address.startswith(ZENODO.partition("{")[0]):
        links = _links(download, address, first)
        described = next((name for name in DESCRIPTION_NAMES if name in links), None)
        zips = [name for name in links if name.lower().endswith(".zip")]
        if described is None and len(zips) != 1:
            raise download.refused(f"the record holds {len(zips)} zips and no rdf.yaml; give the address of one file")
        name = described or zips[0]
        address, beside = links[name], links.get
    else:
        name, beside = PurePosixPath(unquote(urlsplit(address).path)).name, _beside(address)
    download.file(address, first)
    with first.open("rb") as stream:
        head = stream.read(4)
    if head == b"PK\3\4":
        stem = re.sub(r"[^\w.+-]", "_", name).removesuffix(".zip").strip(".") or "package"
        first.rename(folder / f"{stem}.zip")
        return f"{stem}.zip"
    inside = folder / _slug(download.words)
    inside.mkdir()
    rdf = first.rename(inside / (name if name in DESCRIPTION_NAMES else DESCRIPTION_NAMES[0]))
    _fetch_files(download, rdf, beside)
    return inside.name


def _links(download: _Download, address: str, answer: Path) -> dict[str, str]:
    """Return the files of a record of Zenodo, from name to address."""
    download.file(address, answer)
    try:
        record = json.loads(answer.read_bytes())
        return {str(file["key"]): str(file["links"]["self"]) for file in record["files"]}
    except (KeyError, TypeError, ValueError):
        raise download.refused("the answer is no record of Zenodo") from None


def _beside(address: str) -> Callable[[str], str]:
    """Return a function from the name of a file to its address beside another."""
    query = urlsplit(address).query
    return lambda name: urljoin(address, f"./{quote(name)}") + (f"?{query}" if query else "")


def _fetch_files(download: _Download, rdf: Path, address_of: Callable[[str], str | None]) -> None:
    """Fetch the files that a description names by relative paths; what it names in vain is left to the judgement."""
    try:
        if rdf.stat().st_size > MAX_BYTES:
            raise PackageError("too large")
        description = read_description(rdf)
    except PackageError:
        raise download.refused("what lies there is neither a zip nor an rdf.yaml, so it is no model package") from None
    if not description.weights:
        raise download.refused("the rdf.yaml there describes no model")
    stated: dict[str, str | None] = {}
    for _, file in description.files():
        parts = PurePosixPath(file.source)
        if not (parts.is_absolute() or ".." in parts.parts or re.search(r"[\\\0:?#]", file.source)):
            stated[str(parts)] = file.sha256 or stated.get(str(parts))
    if len(stated) > MAX_FILES:
        raise download.refused(f"it names {len(stated)} files; a model package has a few dozen")
    for source, known in stated.items():
        address, target = address_of(source), rdf.parent / source
        if address is None or target == rdf:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if download.file(address, target, wanted=False) and known and sha256(target) != known.lower():
            raise download.refused(f"{source} is not the file whose sha256 rdf.yaml states: altered, or damaged")


class _Download:
    """All requests for one package, within the limits of size and time."""

    def __init__(self, words: str, listener: Listener) -> None:
        self.words, self.listener = words, listener
        self.gigabytes, self.minutes = map(_limit, LIMITS)
        self.began, self.left = time.monotonic(), self.gigabytes * 1e9

    def refused(self, why: str) -> PackageError:
        """Return the error that names what was asked for."""
        return PackageError(f"{self.words}: {why}")

    def file(self, address: str, target: Path, *, wanted: bool = True) -> bool:
        """Write what lies at an address; False where nothing does and that is no error."""
        import requests
        from urllib3.exceptions import HTTPError

        try:
            headers = {"Accept-Encoding": "identity"}
            with requests.get(address, stream=True, timeout=_PATIENCE, headers=headers) as response:
                if response.status_code == 404 and not wanted:
                    return False
                response.raise_for_status()
                stated = response.headers.get("Content-Length", "")
                size = int(stated) if stated.isdecimal() else 0
                self._check(size)
                with (
                    target.open("wb") as stream,
                    self.listener.progress(f"Fetching {target.name}, MB", size / 1e6 or None) as advance,
                ):
                    while chunk := response.raw.read1(_CHUNK):  # what is there, so that a slow server is noticed
                        self._check(len(chunk))
                        self.left -= len(chunk)
                        stream.write(chunk)
                        advance(len(chunk) / 1e6, "")
        except requests.RequestException as error:
            raise self.refused(f"could not be fetched ({failure(error)}: {address})") from None
        except HTTPError:
            raise self.refused(f"could not be fetched (the connection broke off: {address})") from None
        return True

    def _check(self, more: int) -> None:
        if more > self.left:
            raise self.refused(f"larger than {self.gigabytes:g} GB; BMZ_FMD_FETCH_GB states another limit")
        if time.monotonic() - self.began > self.minutes * 60:
            raise self.refused(f"took longer than {self.minutes:g} minutes; BMZ_FMD_FETCH_MINUTES states another limit")


def _limit(name: str) -> float:
    given = os.environ.get(name)
    try:
        limit = LIMITS[name] if given is None else float(given)
    except ValueError:
        limit = 0
    if not limit > 0:
        raise PackageError(f"{name}={given}: write a number above 0")
    return limit
