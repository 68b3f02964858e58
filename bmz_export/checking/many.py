"""Many packages, one after another: a faulty one, or one that is none, is told and stops no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bmz_export.checking.certificate import LARGEST, Certificate
from bmz_export.checking.check import CheckOptions, check, refuse_unknown
from bmz_export.checking.report import figure_of
from bmz_export.checking.runner import Log
from bmz_export.package.archive import DESCRIPTION_NAMES
from bmz_export.remote import fetch_package
from training.errors import PackageError, UserError
from training.util.progress import Listener

COLUMNS = ("package", "verdict", "runs", "errors", "warnings", "largest")


class Judged(BaseModel):
    """One package: its certificate, or why there is none."""

    model_config = ConfigDict(frozen=True)

    package: str
    certificate: Certificate | None = None
    error: str = ""

    @property
    def verdict(self) -> Literal["passed", "failed", "not read"]:
        """What came of it."""
        if self.certificate is None:
            return "not read"
        return "failed" if self.certificate.exit_code else "passed"

    @property
    def reason(self) -> str:
        """Why it did not pass, in a line; empty where it did."""
        if self.certificate is None or not self.certificate.exit_code:
            return self.error
        found = self.certificate.errors
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return found[0].line() + more if found else "an engine showed other pixels"

    def cells(self) -> tuple[str, ...]:
        """Return its row of a table with the heads ``COLUMNS``."""
        if self.certificate is None:
            return (self.package, self.verdict, "-", "-", "-", "-")
        runs = [row for row in self.certificate.rows if row.verdict not in ("not run", "not installed")]
        passed = f"{sum(row.verdict == 'passed' for row in runs)} of {len(runs)}" if runs else "-"
        counts = (str(len(self.certificate.errors)), str(len(self.certificate.warnings)))
        return (self.package, self.verdict, passed, *counts, figure_of(self.certificate.worst))


class Judgements(BaseModel):
    """All packages, as ``json`` stores them."""

    packages: tuple[Judged, ...]

    @property
    def exit_code(self) -> int:
        """1 where any failed or could not be read, else 0."""
        return int(any(each.verdict != "passed" for each in self.packages))

    @classmethod
    def read(cls, path: Path) -> Judgements | None:
        """Read what was stored before; None where it is nothing of the kind."""
        try:
            with path.open("rb") as stream:
                return cls.model_validate_json(stream.read(LARGEST))
        except (OSError, ValidationError):
            return None


def packages_in(words: Sequence[str]) -> list[str]:
    """Return what may be packages: folders, zips and addresses; patterns that no shell spelled out are looked up.

    Raises
    ------
    UserError
        Where there is none.
    """
    several = [each for word in words for each in (_matches(word) if "*" in word else [word])]
    found = [word for word in several if len(several) == 1 or not _is_other_file(Path(word))]
    if not found:
        raise PackageError(f"{words[0]}: no package there; name folders with an rdf.yaml, or zips")
    return found


def check_each(packages: Sequence[str], options: CheckOptions, log: Log, listener: Listener) -> Iterator[Judged]:
    """Check packages one by one; what is wrong with one is its own verdict, whatever it is.

    Parameters
    ----------
    packages : sequence of str
        Paths, or whatever ``fetch_package`` fetches.
    options, log
        As for ``check``.
    listener : Listener
        Hears of what is fetched.

    Raises
    ------
    UserError
        Where the options name what is not there.
    """
    refuse_unknown(options)
    for package in packages:
        try:
            yield Judged(package=package, certificate=check(fetch_package(package, listener), options, log=log))
        except UserError as error:
            yield Judged(package=package, error=str(error))
        except Exception as error:  # noqa: BLE001 one package must not stop the others
            yield Judged(package=package, error=f"a fault of this program: {type(error).__name__}: {error}")


def _matches(pattern: str) -> list[str]:
    import glob

    return sorted(glob.glob(pattern))  # noqa: PTH207 the pattern may begin anywhere


def _is_other_file(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() != ".zip" and path.name not in DESCRIPTION_NAMES
