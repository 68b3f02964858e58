"""Rules on the zip itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bmz_export.inspection import Inspection
from bmz_export.tools.rule import Rule


def problems(*kinds: str) -> Callable[[Inspection], Iterator[str]]:
    """Return a finder of the problems of these kinds that opening the package met."""

    def find(inspection: Inspection) -> Iterator[str]:
        return (problem.message for problem in inspection.package.problems if problem.kind in kinds)

    return find


AT_THE_ROOT = Rule("rdf-at-root", "the tool finds no model in the archive",
                   "all tools look for rdf.yaml at the root of the zip",
                   "zip the files themselves, not the folder around them",
                   problems("archive.nested", "archive.name"))  # fmt: skip
JAVA_ZIP = Rule("zip-for-java", "unzipping fails",
                "java.util.zip reads stored and deflated entries alone, and no data descriptor after a stored one",
                "zip it again with method stored or deflated",
                problems("archive.method", "archive.streamed"))  # fmt: skip
PORTABLE_NAMES = Rule("portable-names", "on Windows a file is lost or the package does not unpack",
                      "names that differ in case only, or that Windows reserves", "rename the file",
                      problems("archive.case", "archive.windows"), "warning")  # fmt: skip
ONE_DESCRIPTION = Rule("one-description", "it depends on the tool which description counts",
                       "QuPath takes model.yaml before rdf.yaml (qupath-bioimageio-spec, Model.findRdf)",
                       "keep rdf.yaml alone", problems("archive.second-description"), "warning")  # fmt: skip
