"""Which results of a folder are finished, so that a batch that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from training.util.hashing import sha256

RECORD = ".denoised.jsonl"
"""A line of JSON a result, beside the results."""


class Record:
    """The results that were written into a folder, each with the hashes of its input, of the model and of itself.

    Parameters
    ----------
    folder : Path
        Of the results; it may not exist yet.
    made : Mapping
        How results are made now: the model's hash, and all settings that change a result.
    """

    def __init__(self, folder: Path, made: Mapping[str, str | int | None]) -> None:
        self._folder = folder
        self._made = dict(made)
        self._lines: dict[str, dict[str, object]] = {}
        path = folder / RECORD
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
                self._lines[entry["result"]] = entry
            except (ValueError, TypeError, KeyError):  # a line that was cut off says nothing
                continue

    def holds(self, source: Path, result: Path) -> bool:
        """Return whether a result exists, unchanged since it was made of this input in the same way."""
        line = self._lines.get(self._name(result), {})
        alike = {key: line.get(key, "") for key in self._made} == self._made
        return alike and result.is_file() and line == self._entry(source, result, result)

    def add(self, source: Path, result: Path, written: Path) -> None:
        """Note a result before it takes its place; until then it is ``written`` beside it."""
        line = json.dumps(self._entry(source, result, written))
        with (self._folder / RECORD).open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"\n{line}")  # on a new line, also where the one before was cut off

    def _entry(self, source: Path, result: Path, written: Path) -> dict[str, object]:
        return {"result": self._name(result), "sha256": sha256(written), "input_sha256": sha256(source), **self._made}

    def _name(self, result: Path) -> str:
        return result.relative_to(self._folder).as_posix()
