"""A package staged in the zoo: begun, gone on with after an interruption, looked at, withdrawn.

The record beside the package says which files were sent with which hash; the server says which are there with which
size. A file counts as there if both agree. Nothing is committed: publishing is the reviewers'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bmz_export.package.archive import Package, open_package
from bmz_export.package.rdf import RDF
from bmz_export.publishing.review import Review, review
from bmz_export.publishing.server import COLLECTION, SERVER, Server, as_json, read_token
from training.errors import PackageError
from training.util.hashing import sha256
from training.util.progress import Listener
from training.util.writing import write_text

_NAME = "{animal_adjective}-{animal}"
"""Filled in by the server, as the site has it."""
_REVIEWERS = ("rw", "rw+")
_SIGNED_FOR = 24 * 3600
"""Seconds that the addresses of the files hold."""


class _Record(BaseModel):
    """What was begun with a package, on which server; no token."""

    model_config = ConfigDict(extra="forbid")

    server: str
    artifact: str
    sent: dict[str, str] = {}


@dataclass(frozen=True)
class Plan:
    """What an upload would do.

    Attributes
    ----------
    files : Mapping
        From path in the package to bytes; ``rdf.yaml`` and what it names.
    left_out : tuple of str
        What lies in the package and is named nowhere.
    review : Review
        What stops it, and what reviewers will ask for.
    """

    files: Mapping[str, int]
    left_out: tuple[str, ...]
    review: Review


@dataclass(frozen=True)
class State:
    """A model on the server.

    Attributes
    ----------
    artifact : str
        Its name there, such as ``bioimage-io/kind-cat``.
    status : str
        ``draft``, ``in-review``, or what reviewers made of it; ``published``; ``withdrawn``.
    files : Mapping
        From path to bytes of what is staged.
    """

    artifact: str
    status: str
    files: Mapping[str, int]


def plan(path: Path, *, certificate: Path | None = None) -> Plan:
    """Return what ``upload`` would do with a package; nothing is asked of any server.

    Parameters
    ----------
    path : Path
        Folder or zip.
    certificate : Path, optional
        What ``check`` wrote of it; by default the one inside.

    Raises
    ------
    UserError
        Where there is no package to read.
    """
    with open_package(path) as package:
        return _plan(package, certificate)


def upload(
    path: Path,
    *,
    server: str = SERVER,
    collection: str = COLLECTION,
    name: str | None = None,
    certificate: Path | None = None,
    listener: Listener | None = None,
) -> State:
    """Stage a package in the zoo, file by file, and ask for its review. An upload that was begun is gone on with.

    Parameters
    ----------
    path : Path
        Folder or zip; its record, ``NAME.upload.json``, is written beside it.
    server, collection : str
        Where to.
    name : str, optional
        Of the model there; by default the server finds one, an adjective and an animal.
    certificate : Path, optional
        What ``check`` wrote of it; by default the one inside.
    listener : Listener, optional
        Gets what happens, and the progress in megabytes.

    Raises
    ------
    UserError
        Where something must be put right first, the server refuses, or the connection is lost; what was staged stays
        and is told.
    """
    listener = listener or Listener()
    with open_package(path) as package:
        planned = _plan(package, certificate)
        if planned.review.refused:
            count = len(planned.review.refused)
            more = f" (and {count - 1} more)" if count > 1 else ""
            raise PackageError(f"{path}: not uploaded: {planned.review.refused[0]}{more}")
        place, record = _place(path), _read(path)
        there = _server(record, server)
        if record is not None:
            before = _status(there, record.artifact)
            if before == "published":
                raise PackageError(f"{record.artifact} is published; move {place} away to upload another model")
            record = None if before == "withdrawn" else record
        manifest = as_json(package.description.raw)
        if record is None:
            record = _begin(there, collection, name, manifest)
            _write(place, record)
        listener.note(f"staged as {record.artifact} on {there.address}")
        with _told(record, path):
            _send(there, record, package, planned.files, place=place, listener=listener)
            manifest |= {"id": record.artifact.rpartition("/")[2], "status": "in-review"}
            there.call("edit", record.artifact, artifact_id=record.artifact, stage=True, manifest=manifest)
        return State(record.artifact, manifest["status"], planned.files)


def state(path: Path, *, server: str = SERVER) -> State:
    """Return what became of a package that was uploaded from here.

    Raises
    ------
    UserError
        Where no upload was begun, or the server refuses.
    """
    record = _wanted(path)
    there = _server(record, server)
    status = _status(there, record.artifact)
    staged = status not in ("published", "withdrawn")
    return State(record.artifact, status, dict(there.sizes(record.artifact)) if staged else {})


def withdraw(path: Path, *, server: str = SERVER) -> str:
    """Discard what was staged of a package, and its record; return the name that it had.

    Raises
    ------
    UserError
        Where no upload was begun, it is published already, or the server refuses.
    """
    record = _wanted(path)
    there = _server(record, server)
    found = _status(there, record.artifact)
    if found == "published":
        raise PackageError(f"{record.artifact} is published: only the zoo's reviewers can take it back")
    if found != "withdrawn":
        there.call("discard", record.artifact, artifact_id=record.artifact)
    _place(path).unlink(missing_ok=True)
    return record.artifact


def _plan(package: Package, certificate: Path | None) -> Plan:
    named = dict.fromkeys((RDF, *(file.source for _, file in package.description.files())))
    found = {name: path for name in named if (path := package.file(name)) is not None}
    every = {path.relative_to(package.folder).as_posix() for path in package.folder.rglob("*") if path.is_file()}
    files = {name: path.stat().st_size for name, path in found.items()}
    return Plan(files, tuple(sorted(every - set(files))), review(package, certificate))


def _begin(there: Server, collection: str, name: str | None, manifest: Any) -> _Record:  # noqa: ANN401 any YAML
    permissions = there.call("read", collection, artifact_id=collection).get("config", {}).get("permissions", {})
    reviewers = {user: "rw+" for user, code in permissions.items() if code in _REVIEWERS and user not in "*@"}
    begun = there.call(
        "create", collection if name is None else f"{collection.partition('/')[0]}/{name}",
        parent_id=collection, alias=name or _NAME, type="model", manifest={**manifest, "status": "draft"},
        config={"permissions": reviewers}, stage=True, overwrite=False,
    )  # fmt: skip
    return _Record(server=there.address, artifact=begun["id"])


def _send(
    there: Server, record: _Record, package: Package, files: Mapping[str, int], *, place: Path, listener: Listener
) -> None:
    """Bring the files there in line with the package's."""
    sizes = dict(there.sizes(record.artifact)) if record.sent else {}
    digests = {name: sha256(package.folder / name) for name in files}
    left = [name for name in files if record.sent.get(name) != digests[name] or sizes.get(name) != files[name]]
    weights = {entry.source for entry in package.description.weights.values()}
    with listener.progress("Uploading, MB", sum(files.values()) / 1e6) as advance:
        advance(sum(files[name] for name in files if name not in left) / 1e6, "")
        put = {"file_path": left, "download_weight": [int(name in weights) for name in left], "expires_in": _SIGNED_FOR}
        addresses = there.call("put_file", record.artifact, artifact_id=record.artifact, **put) if left else {}
        for name in left:
            advance(0, name)
            record.sent.pop(name, None)
            there.put(addresses[name], package.folder / name, advance)
            record.sent[name] = digests[name]
            _write(place, record)
    staged = there.call("read", record.artifact, artifact_id=record.artifact, stage=True)["staging"]
    for name in {entry["path"] for entry in staged if "path" in entry and not entry.get("_remove")} - set(files):
        there.call("remove_file", record.artifact, artifact_id=record.artifact, file_path=name)
    sizes = dict(there.sizes(record.artifact))
    for name in sorted(files.keys() | sizes.keys()):
        if sizes.get(name) != files.get(name):
            raise PackageError(f"{there.address}: {name} is not there whole; the same command sends it again")


def _status(there: Server, artifact: str) -> str:
    found = there.call("read", artifact, artifact_id=artifact, stage=True)
    if found.get("staging") is None:
        return "published" if found.get("versions") else "withdrawn"
    return str(found["manifest"].get("status", "draft"))


def _server(record: _Record | None, server: str) -> Server:
    there = Server(server, read_token(server))
    if record is not None and record.server != there.address:
        raise PackageError(
            f"`server` {server}: the upload was begun on {record.server}; name that, or withdraw it there"
        )
    return there


def _place(path: Path) -> Path:
    """Return where the record of a package lies: one for the folder and its zip."""
    path = path.parent if path.name == RDF else path
    return path.with_name(f"{path.name.removesuffix('.zip')}.upload.json")


def _read(path: Path) -> _Record | None:
    place = _place(path)
    try:
        return _Record.model_validate_json(place.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise PackageError(f"{place}: no record of an upload; move it away to upload anew") from None


def _wanted(path: Path) -> _Record:
    record = _read(path)
    if record is None:
        raise PackageError(f"{path}: no upload of it was begun here ({_place(path)} is missing)")
    return record


def _write(place: Path, record: _Record) -> None:
    write_text(place, record.model_dump_json(indent=2) + "\n")


@contextmanager
def _told(record: _Record, path: Path) -> Iterator[None]:
    """Say with every failure what is staged, and how to take it back."""
    try:
        yield
    except PackageError as error:
        raise PackageError(
            f"{error}; {record.artifact} is staged with {len(record.sent)} files and not in review: "
            f"bmz-fmd upload {path} `withdraw` takes it back"
        ) from None
