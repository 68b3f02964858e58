"""Long complaints of runtimes, told in one line."""

import re

_LONGEST = 300
_PREFIX = re.compile(
    r"^(?:Page\.\w+: )?(?:[\w.$]+\.)?\w*(?:Error|Exception|Fail|Failure|Invalid\w+|NotImplemented)\s*:\s*"
)
_NOISE = re.compile(
    r"^\s*(at |\.\.\. \d+ more|File \"|Traceback|Exception raised from|frame #|~+|\^+|<---|Here are some suggestions"
    r"|The (following operation|above operation|original call)|Serialized|During handling|#\s*[A-Z0-9 ]*$)"
)


def one_line(message: str) -> str:
    r"""Return the line of an exception's message that says what went wrong.

    TorchScript tells the cause last, behind the code that it ran; most others tell it first.

    Examples
    --------
    >>> one_line("\nUnknown builtin op: aten::foo.\nHere are some suggestions:\n\taten::for")
    'Unknown builtin op: aten::foo.'
    >>> one_line("This operation failed in the TorchScript interpreter.\nTraceback:\n  x\nRuntimeError: sizes differ")
    'sizes differ'
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if not _NOISE.match(line) and _PREFIX.sub("", line)]
    if not telling:
        return _cut(lines[0]) if lines else "no reason given"
    if "TorchScript interpreter" in message:
        causes = [line for line in telling if _PREFIX.match(line)]
        return _cut(_PREFIX.sub("", causes[-1] if causes else telling[-1]))
    cause = _PREFIX.sub("", telling[0])
    if cause.endswith((":", "following indices")) and len(telling) > 1:
        cause = f"{cause} {telling[1]}"
    return _cut(cause)


def last_line(text: str) -> str:
    """Return the last telling line of what a process wrote before it ended, or nothing."""
    telling = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    return _cut(telling[-1]) if telling else ""


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
