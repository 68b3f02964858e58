"""A script that runs a package in a tool: filled from a template, ready to run, shipped inside the package."""

from dataclasses import dataclass
from pathlib import Path

from bmz_export.package.templates import fill


@dataclass(frozen=True)
class Script:
    """A script for one tool: the name of its file, and the template in ``rdf_templates`` that it is filled from."""

    name: str
    template: str

    def write(self, folder: Path, **values: object) -> Path:
        """Write the script into a folder, with what its template names, and return its path."""
        path = folder / self.name
        path.write_text(fill(self.template, script=self.name, **values), encoding="utf-8")
        return path
