"""The tools that open a package, one a module: what each demands, runs it on, and how it tiles."""

from bmz_export.tools.bioimageio_core import BIOIMAGEIO_CORE
from bmz_export.tools.bioimageio_site import BIOIMAGEIO_SITE
from bmz_export.tools.browser import BROWSER
from bmz_export.tools.deepimagej import DEEPIMAGEJ
from bmz_export.tools.ilastik import ILASTIK
from bmz_export.tools.qupath import QUPATH
from bmz_export.tools.rule import Finding, Rule, Tool

TOOLS: dict[str, Tool] = {
    tool.name: tool for tool in (DEEPIMAGEJ, QUPATH, ILASTIK, BIOIMAGEIO_SITE, BIOIMAGEIO_CORE, BROWSER)
}
"""Every tool by name."""

__all__ = ["TOOLS", "Finding", "Rule", "Tool"]
