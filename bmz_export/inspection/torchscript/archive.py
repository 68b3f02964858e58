"""A TorchScript archive, read without running any of it.

An archive is a zip that holds its network's code as text, in a dialect of Python, and its tensors beside a pickle. The
pickle's structure is read by an unpickler that knows no function and no class.
"""

import ast
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmz_export.inspection.torchscript.code import parse
from bmz_export.inspection.torchscript.structure import Inert, read_structure
from bmz_export.inspection.zips import ZipError, entries

MAX_BYTES = 4 * 2**20
"""Of code, and of structure; the largest of ours (KBNet) has 0.8 MB of code and 0.15 MB of structure."""
MAX_TOKENS = 750_000
"""Words and signs of code: memory and time grow with them. KBNet has 240,000."""
_TOKEN = re.compile(r"\w+|[^\w\s]")


class ArchiveError(Exception):
    """Why a file cannot be read as an archive, without the file's name."""


@dataclass(frozen=True)
class Archive:
    """An archive's code and structure.

    Attributes
    ----------
    version
        Of the archive's format; a library refuses those newer than it knows.
    sources
        From dotted module name (``__torch__.torch.nn.modules.conv``) to the code as text.
    trees
        The same as syntax trees; None where the text cannot be parsed.
    root
        The network as the pickle describes it: ``Inert`` objects with attributes, tensors as ``TensorShape``.
    """

    version: int
    sources: dict[str, str]
    trees: dict[str, ast.Module | None]
    root: Any

    def functions(self) -> dict[str, ast.FunctionDef]:
        """Return each function and method by its full name, such as ``__torch__.Net.forward``."""
        found = {}
        for module, tree in self.trees.items():
            for statement in tree.body if tree else ():
                if isinstance(statement, ast.ClassDef):
                    for method in statement.body:
                        if isinstance(method, ast.FunctionDef):
                            found[f"{module}.{statement.name}.{method.name}"] = method
                elif isinstance(statement, ast.FunctionDef):
                    found[f"{module}.{statement.name}"] = statement
        return found

    def modules(self) -> Iterator[Inert]:
        """Yield the network and all modules in it."""
        waiting, seen = [self.root], set()
        while waiting:
            each = waiting.pop()
            if isinstance(each, Inert) and id(each) not in seen:
                seen.add(id(each))
                waiting += each.attributes.values()
                yield each


def read_archive(path: Path) -> Archive:
    """Read an archive's code and structure; no tensor is loaded and nothing of it runs.

    Raises
    ------
    ArchiveError
        Where the file is no TorchScript archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except (ArchiveError, ZipError) as error:
        raise ArchiveError(str(error)) from None
    except Exception as error:
        raise ArchiveError(f"not readable ({error})") from error


def _read(archive: zipfile.ZipFile) -> Archive:
    found = entries(archive)
    if "model.json" in (name.lower() for name in found):
        raise ArchiveError("of torch before 1.4, whose archives are not looked through")
    code = {name[5:-3]: entry for name, entry in found.items() if _is_code(name)}
    data = found.get("data.pkl")
    if not code or data is None:
        raise ArchiveError("no TorchScript archive: it holds no code (a state dict?)")
    for what, size in (("code", sum(entry.file_size for entry in code.values())), ("structure", data.file_size)):
        if size > MAX_BYTES:
            raise ArchiveError(f"its {what} takes more than {MAX_BYTES >> 20} MB: no network does")
    sources = {name.replace("/", "."): archive.read(entry).decode() for name, entry in code.items()}
    if sum(1 for text in sources.values() for _ in _TOKEN.finditer(text)) > MAX_TOKENS:
        raise ArchiveError(f"its code has more than {MAX_TOKENS:,} words and signs: no network's has")
    version = int(archive.read(found["version"])) if "version" in found else 1
    trees = {name: parse(text) for name, text in sources.items()}
    return Archive(version, sources, trees, read_structure(archive.read(data)))


def _is_code(name: str) -> bool:
    return name.lower().startswith("code/") and name.lower().endswith(".py")
