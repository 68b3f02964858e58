"""The command line in this process: what it prints, how it ends, and what it leaves on disk."""

import contextlib
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from bmz_fmd.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def message(self):
        """The one line of an error; fails where there is not exactly one."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def bmz_fmd(*words):
    """Run ``bmz-fmd WORDS...`` and return how it ended."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
    return Ended(code, out.getvalue(), err.getvalue())


def snapshot(folder):
    """Everything below a folder: paths, links and contents."""
    return {
        path.relative_to(folder): (path.is_symlink(), hashlib.sha256(path.read_bytes()).hexdigest())
        if path.is_file()
        else None
        for path in sorted(Path(folder).rglob("*"))
    }
