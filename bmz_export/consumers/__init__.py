"""The tools that open a package, one a module: what each demands, runs it on, and how it tiles."""

from bmz_export.consumers.bioimageio_core import BIOIMAGEIO_CORE
from bmz_export.consumers.bioimageio_site import BIOIMAGEIO_SITE
from bmz_export.consumers.browser import BROWSER
from bmz_export.consumers.deepimagej import DEEPIMAGEJ
from bmz_export.consumers.ilastik import ILASTIK
from bmz_export.consumers.qupath import QUPATH
from bmz_export.consumers.rule import Consumer, Finding, Rule

CONSUMERS: dict[str, Consumer] = {
    consumer.name: consumer for consumer in (DEEPIMAGEJ, QUPATH, ILASTIK, BIOIMAGEIO_SITE, BIOIMAGEIO_CORE, BROWSER)
}
"""Every tool by name."""

__all__ = ["CONSUMERS", "Consumer", "Finding", "Rule"]
