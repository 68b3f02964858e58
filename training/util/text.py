"""Names, and numbers in sentences."""

import difflib
import unicodedata
from collections.abc import Sequence


def composed(name: str) -> str:
    """Return a name with its accents composed (NFC): macOS stores decomposed names, others mostly composed ones."""
    return unicodedata.normalize("NFC", name)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 image`` or ``2 images``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def unknown(word: str, known: Sequence[str]) -> str:
    """Return the end of a message about an unknown word: the nearest known one, or all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"unknown; did you mean {near[0]}?" if near else f"unknown; choose from {', '.join(known)}"


def data_size(nbytes: float) -> str:
    """Return a number of bytes in words, two figures at least."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= length:
            return f"{nbytes / length:.{0 if nbytes >= 10 * length else 1}f} {unit}"
    return counted(round(nbytes), "byte")


def duration(seconds: float) -> str:
    """Return a time in words, two figures at most."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.{0 if seconds >= 10 * length else 1}f} {unit}"
    return counted(max(round(seconds), 1), "second")
