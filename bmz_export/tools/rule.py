"""What a rule is.

A rule looks at what the files of a package show (:class:`~bmz_export.inspection.Inspection`) and runs nothing. It says
what a tool would stumble over in general, so that it holds for packages that nobody has seen yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal
from zipfile import BadZipFile

from bmz_export.inspection import Inspection
from training.errors import UserError

Severity = Literal["error", "warning"]
UNEXAMINED = "could not be examined"
"""How the message of a rule begins that failed itself, which says nothing of the package."""
TORCH_FORMATS = ("pytorch_state_dict", "torchscript")


@dataclass(frozen=True)
class Found:
    """What a finder yields where the rule's own ``breaks`` or ``way_out`` is not that of the very thing found."""

    message: str
    seen: str = ""
    way_out: str = ""


@dataclass(frozen=True)
class Finding:
    """What a rule found: the rule, how bad, what is wrong here, what the tool's user would see, the way out."""

    rule: str
    severity: Severity
    message: str
    seen: str
    way_out: str


@dataclass(frozen=True)
class Rule:
    """One thing that a tool demands of a package.

    Attributes
    ----------
    name : str
        Short and unique within a tool. Two tools may have different rules of one name; a rule that they share is one
        object.
    breaks : str
        What the tool's user sees where the rule is broken.
    source : str
        Where that was read, or how it was found.
    way_out : str
        What to do.
    find : Callable
        From the inspection to one message for each violation, or to one ``Found``.
    severity : str
        ``error``: the tool fails or shows wrong pixels; ``warning``: less than that.
    pixels : bool
        Whether it concerns the pixels alone: the tool opens a package that breaks it.
    window : bool
        Whether it concerns the tool's own window alone: a script in the tool runs a package that breaks it.
    """

    name: str
    breaks: str
    source: str
    way_out: str
    find: Callable[[Inspection], Iterable[str | Found]]
    severity: Severity = "error"
    pixels: bool = False
    window: bool = False

    def check(self, inspection: Inspection) -> Iterator[Finding]:
        """Yield a finding for each violation, an error at a file that is too odd to be read, a warning at our own."""
        messages: dict[Found, None] = {}
        failure: tuple[Severity, str] | None = None
        try:
            messages.update((each if isinstance(each, Found) else Found(each), None) for each in self.find(inspection))
        except Exception as error:  # noqa: BLE001 -- whatever a stranger wrote, the other rules shall still be applied
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            odd = isinstance(error, UserError | OSError | EOFError | ValueError | BadZipFile)
            failure = ("error", f"cannot be looked through: {said}") if odd else ("warning", f"{UNEXAMINED} ({said})")
        for each in messages:
            seen, way_out = each.seen or self.breaks, each.way_out or self.way_out
            yield Finding(self.name, self.severity, each.message, seen, way_out)
        if failure:
            yield Finding(self.name, *failure, "nobody knows what the tool makes of it", self.way_out)
