"""The packages of the Python interface: made of a run, and checked. What is heavy is imported when a function runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bmz_fmd.paths import StrPath, as_package, as_path

if TYPE_CHECKING:
    from bmz_export.checking.certificate import Certificate
    from bmz_export.exporting import Exported
    from bmz_export.package.about import About
    from bmz_export.paper import Written
    from bmz_export.publishing import Plan, State
    from bmz_export.repair import Mended
    from training.runs.run import Run


def export(
    run: StrPath | Run,
    *,
    name: str | None = None,
    out: StrPath = "packages",
    authors: Sequence[str] = (),
    cite: Sequence[str] = (),
    license: str | None = None,
    about: StrPath | About | None = None,
    example: StrPath | None = None,
    engines: Sequence[str] | None = None,
    timeout: float = 300.0,
    log: Callable[[str], None] | None = None,
) -> Exported:
    """Make a bioimage.io package of a run, check it in every tool's engine, and write folder, zip and certificate.

    Parameters
    ----------
    run : path, str or Run
        A run, its folder, or its name below ``runs/``.
    name : str, optional
        Of the package; by default that of the run.
    out : path
        Folder for the package and its zip; a package of that name from an earlier export is replaced.
    authors : sequence of str
        ``"Name; Affiliation; ORCID"``, the last two where there are any.
    cite : sequence of str
        ``"Text | DOI or address"``; the network's paper is added.
    license : str, optional
        SPDX identifier, such as CC-BY-4.0; by default that of the checkpoint.
    about : path or About, optional
        The same and more, as YAML.
    example : path, optional
        The image of which a part becomes the public example; a test image by default.
    engines : sequence of str, optional
        Engines to check it with; all that are installed by default, none if empty.
    timeout : float
        Seconds of processor time for each engine and weights format.
    log : callable, optional
        Gets what is being done, a line each.

    Returns
    -------
    Exported
        ``folder``, ``archive`` (the zip), and what is ``missing`` before it can be published.

    Raises
    ------
    UserError
        If the run is not finished, something foreign stands where the package would go, or it cannot be built.
    """
    from bmz_export import exporting
    from bmz_export.checking.check import certify
    from bmz_export.checking.runner import CheckOptions
    from bmz_export.package.about import About, read_about
    from training.runs.run import RUNS, Run, open_run

    if not isinstance(run, Run):
        path = as_path("run", run)
        named = RUNS / path
        run = open_run(named if named.is_dir() and not path.is_dir() else path)
    if not isinstance(about, About):
        about = read_about(None if about is None else Path(about), authors=authors, cite=cite, license=license)
    asked = CheckOptions(engines=engines, timeout=timeout)
    return exporting.export(
        run,
        name=name,
        out=Path(out),
        about=about,
        example=None if example is None else Path(example),
        certify=lambda folder: certify(folder, asked, log=log)[1],
        log=log,
    )


def check(
    package: StrPath,
    *,
    engines: Sequence[str] | None = None,
    rules_only: bool = False,
    trust: bool = False,
    tiles: bool = False,
    programs: Mapping[str, StrPath] | None = None,
    timeout: float = 300.0,
    log: Callable[[str], None] | None = None,
) -> Certificate:
    """Say with figures what Fiji, QuPath, ilastik, BioImage.IO and the browser will do with a package.

    Parameters
    ----------
    package : path or str
        Folder or zip, of any origin; or ``bioimage.io/NAME``, a DOI of Zenodo or an address, which is fetched once.
    engines : sequence of str, optional
        Names of engines; all that are installed by default, none if empty.
    rules_only : bool
        Read the package and run no engine on it; torch alone loads its TorchScript, where that holds nothing but
        computation, to list its operators.
    trust : bool
        Let the package's own Python run.
    tiles : bool
        Also tile a large image as each tool does.
    programs : mapping, optional
        Installed tools to run as well: from the tool's name (``deepimagej``, ``qupath``, ``ilastik`` or one that was
        registered) to where it lies.
    timeout : float
        Seconds of processor time for each engine and weights format.
    log : callable, optional
        Gets what is being done, a line each.

    Returns
    -------
    Certificate
        ``exit_code`` is 0 where nothing that ran failed.

    Raises
    ------
    UserError
        If there is no package to read, or no such engine or program.
    """
    from bmz_export.checking.check import check as judge
    from bmz_export.checking.runner import CheckOptions

    places = {name: Path(place) for name, place in (programs or {}).items()}
    options = CheckOptions(
        rules_only=rules_only, trust=trust, tiles=tiles, engines=engines, timeout=timeout, programs=places
    )
    return judge(as_package("package", package), options, log=log)


def fix(
    package: StrPath,
    *,
    out: StrPath,
    engines: Sequence[str] | None = None,
    trust: bool = False,
    tiles: bool = False,
    timeout: float = 300.0,
    log: Callable[[str], None] | None = None,
) -> Mended:
    """Mend a package, of any origin, as far as that goes without its training data, and check it before and after.

    Parameters
    ----------
    package : path or str
        Folder or zip, which stays as it is; or ``bioimage.io/NAME``, a DOI of Zenodo or an address.
    out : path
        Folder for the mended package and its zip.
    engines : sequence of str, optional
        Engines to check both with; all that are installed by default, none if empty.
    trust : bool
        Let the package's own Python run: a state dict alone needs it.
    tiles : bool
        Also tile a large image as each tool does.
    timeout : float
        Seconds of processor time for each engine and weights format.
    log : callable, optional
        Gets what is being done, a line each.

    Returns
    -------
    Mended
        ``folder`` and ``archive`` (None where there was nothing to mend), the certificates ``before`` and ``after``,
        ``changes`` and what is ``left``; ``exit_code`` is 0 where the mended package passes.

    Raises
    ------
    UserError
        If there is no package to read, one that would run code, or nothing in it that can be made whole.
    """
    from bmz_export.checking.runner import CheckOptions
    from bmz_export.repair import mend

    options = CheckOptions(trust=trust, tiles=tiles, engines=engines, timeout=timeout)
    return mend(as_package("package", package), as_path("out", out), options, log=log)


def upload(
    package: StrPath,
    *,
    really: bool = False,
    name: str | None = None,
    certificate: StrPath | None = None,
    server: str | None = None,
    collection: str | None = None,
) -> Plan | State:
    """Say what would go to the BioImage Model Zoo and what stands against it, or stage it there for review.

    Parameters
    ----------
    package : path
        Folder or zip; the record of the upload, ``NAME.upload.json``, is written beside it.
    really : bool
        Upload it; the token comes from the environment variable HYPHA_TOKEN or the system's keyring.
    name : str, optional
        Of the model in the zoo; by default the server finds one.
    certificate : path, optional
        What ``check`` wrote of it; by default the one inside.
    server, collection : str, optional
        Another Hypha server, another collection there.

    Returns
    -------
    Plan or State
        ``files`` and ``review`` (``refused``, ``asked``, ``completeness``); once uploaded ``artifact``, ``status``
        and ``files`` as they are there.

    Raises
    ------
    UserError
        Where it may not be uploaded yet, the server refuses, or the connection is lost; the same call goes on then.
    """
    from bmz_export import publishing
    from training.util.progress import logged

    path, checked = as_path("package", package), None if certificate is None else Path(certificate)
    if not really:
        return publishing.plan(path, certificate=checked)
    where = {"server": server or publishing.SERVER, "collection": collection or publishing.COLLECTION}
    return publishing.upload(path, name=name, certificate=checked, listener=logged(), **where)


def methods(model: StrPath | Run, *, out: StrPath | None = None) -> Written:
    """Write what a paper says of a run: the paragraph of its methods, citations, a checklist, versions, a container.

    Parameters
    ----------
    model : path, str or Run
        A run, its folder or its name below ``runs/``; or a package that came of one, folder or zip.
    out : path, optional
        Folder for the files; by default ``methods`` in the run's folder, or ``NAME-methods`` here for a package.

    Returns
    -------
    Written
        ``folder``, its ``files`` and the ``paragraph``.

    Raises
    ------
    UserError
        If there is no such run, the package does not say how it was made, or a file that is not an earlier result, or
        that was changed since, would be replaced.
    """
    from bmz_export.opening import stated_provenance
    from bmz_export.package.archive import open_package
    from bmz_export.paper import write_methods
    from bmz_fmd.models import model_kind
    from training.errors import PackageError
    from training.runs.run import RUNS, SETTINGS, Run, open_run

    path = model.folder if isinstance(model, Run) else as_path("model", model)
    if not path.exists() and (RUNS / path).is_dir():
        path = RUNS / path
    if model_kind(path) == "run":
        folder = path / "methods" if out is None else as_path("out", out)
        return write_methods(open_run(path).provenance, folder, model=path, settings=path / SETTINGS)
    with open_package(path) as package:
        provenance = stated_provenance(package)
    if provenance is None:
        raise PackageError(f"`model` {path}: it does not say how it was made; only packages of this program do")
    if path.is_file() and path.suffix.lower() != ".zip":
        path = path.parent  # its description was named
    name = path.absolute().stem if path.is_file() else path.absolute().name
    return write_methods(provenance, as_path("out", out or f"{name}-methods"), model=path)
