"""What the rules of all tools find in a package, and small changes of its description; nothing is run."""

from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.tools import TOOLS


def findings(path):
    """Return {(tool, rule): severity} of all that is found."""
    with open_package(path) as package:
        inspection = Inspection(package)
        return {
            (tool.name, finding.rule): finding.severity
            for tool in TOOLS.values()
            for rule in tool.rules
            for finding in rule.check(inspection)
        }


def messages(path, rule=None):
    """Return (tool, message) of all that is found, or of what a rule finds."""
    with open_package(path) as package:
        inspection = Inspection(package)
        return [
            (tool.name, finding.message)
            for tool in TOOLS.values()
            for each in tool.rules
            for finding in each.check(inspection)
            if rule in (None, finding.rule)
        ]


def tools(path, rule):
    return {tool for tool, name in findings(path) if name == rule}


def axis(raw, side, letter):
    return next(axis for axis in raw[side][0]["axes"] if axis.get("id") == letter)


def set_size(letter, size, side="inputs"):
    return lambda raw: axis(raw, side, letter).update(size=size)


def operation(identifier, side="inputs", **kwargs):
    key = "preprocessing" if side == "inputs" else "postprocessing"
    return lambda raw: raw[side][0].update({key: [{"id": identifier, "kwargs": kwargs}]})


def weights_entry(name, **fields):
    return lambda raw: raw["weights"][name].update(fields)
