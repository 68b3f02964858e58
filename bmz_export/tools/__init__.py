"""The tools that open a package: what each demands, the engines that it ships, how it tiles, how it is run.

A module of this folder that defines ``TOOL`` is a tool; others are added with :func:`register`.
"""

from contextlib import ExitStack
from importlib import import_module
from pkgutil import iter_modules

from bmz_export.package.scripts import Script
from bmz_export.tools.rule import Finding, Rule
from bmz_export.tools.tool import Program, Tool, ToolTiling, Trial

__all__ = [
    "TOOLS",
    "Finding",
    "Program",
    "Rule",
    "Tool",
    "ToolTiling",
    "Trial",
    "distinct_rules",
    "register",
    "scripts",
]


def _in_this_folder() -> list[Tool]:
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    found = [module.TOOL for module in modules if hasattr(module, "TOOL")]
    return sorted(found, key=lambda tool: (tool.program is None, tool.title))  # programs with a window first


TOOLS: dict[str, Tool] = {tool.name: tool for tool in _in_this_folder()}
"""Every tool by name."""


def register(tool: Tool) -> ExitStack:
    """Add a tool to ``TOOLS``.

    Parameters
    ----------
    tool : Tool
        With a name that is not taken.

    Returns
    -------
    ExitStack
        Used in a ``with`` statement it takes the tool away again at the end.

    Raises
    ------
    ValueError
        Where there is a tool of that name.
    """
    if tool.name in TOOLS:
        raise ValueError(f"there is a tool {tool.name} already")
    TOOLS[tool.name] = tool
    undo = ExitStack()
    undo.callback(TOOLS.pop, tool.name)
    return undo


def distinct_rules() -> tuple[Rule, ...]:
    """Return the rules of all tools, each once, however many tools share it."""
    return tuple(dict.fromkeys(rule for tool in TOOLS.values() for rule in tool.rules))


def scripts() -> dict[str, Script]:
    """Return by the tool's name each script that packages bring."""
    return {tool.name: tool.script for tool in TOOLS.values() if tool.script}
