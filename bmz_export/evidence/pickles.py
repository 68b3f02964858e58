"""What a file written by ``torch.save`` would do when unpickled, told from its opcodes without unpickling it."""

from __future__ import annotations

import io
import pickletools
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MAX_PICKLE = 256 * 2**20
_SAFE = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|builtins (set|bytearray|complex)|__builtin__ (set|bytearray|complex)"
    r"|_codecs encode"
    r"|torch ((Half|Float|Double|BFloat16|Char|Short|Int|Long|Byte|Bool|ComplexFloat|ComplexDouble|Untyped)Storage"
    r"|Size|Tensor|device|float16|float32|float64|half|float|double|bfloat16|u?int(8|16|32|64)|long|int|short|bool"
    r"|complex(64|128)|float8_\w+|per_tensor_affine|contiguous_format)"
    r"|torch\.storage (\w+Storage)"
    r"|torch\._utils _rebuild_\w+"
    r"|torch\.nn\.parameter (Parameter|Buffer|UninitializedParameter)"
    r"|torch\._tensor _rebuild_from_type_v2"
    r"|torch\.serialization _get_layout"
)
"""What ``torch.load(weights_only=True)`` lets through; anything else it refuses, and a plain load would run."""

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_STRINGS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_HIDDEN = {"EXT1", "EXT2", "EXT4", "OBJ", "PERSID"}


@dataclass(frozen=True)
class Pickle:
    """What a pickled file holds.

    Attributes
    ----------
    layout : str
        ``zip`` (torch 1.6 and later), ``legacy`` (before), ``torchscript`` (no state dict at all), ``other``.
    calls : frozenset of str
        Names (``module name``) beyond those of tensors: a plain load would import and call them.
    devices : frozenset of str
        Where the tensors were when they were saved.
    error : str or None
        Why it cannot be read.
    """

    layout: str
    calls: frozenset[str] = field(default=frozenset())
    devices: frozenset[str] = field(default=frozenset())
    error: str | None = None


def read_pickle(path: Path) -> Pickle:
    """Look through a file written by ``torch.save``."""
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        if tarfile.is_tarfile(path):
            return Pickle("other", error="a tar archive of torch before 0.1.10, which none of the tools reads")
        with path.open("rb") as stream:
            return _read_legacy(stream)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, RecursionError, NotImplementedError) as error:
        return Pickle("other", error=f"not readable ({error})")


def _read_zip(path: Path) -> Pickle:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith(".pkl")]
        if not any(name.endswith("/data.pkl") or name == "data.pkl" for name in pickles):
            return Pickle("other", error="a zip without a data.pkl: not written by torch.save")
        cut = damage(archive)
        if cut:
            return Pickle("other", error=cut)
        layout = "torchscript" if any("/code/" in name or name.endswith("constants.pkl") for name in names) else "zip"
        calls: set[str] = set()
        devices: set[str] = set()
        for name in pickles:
            if archive.getinfo(name).file_size > MAX_PICKLE:
                return Pickle(layout, error=f"{name} is {archive.getinfo(name).file_size:,} bytes of pickle")
            for call, device in scan(io.BytesIO(archive.read(name))):
                calls.update(filter(None, [call]))
                devices.update(filter(None, [device]))
    if layout == "torchscript":  # loaded by libtorch, which knows its own classes and calls nothing else
        calls = {call for call in calls if not call.startswith(("__torch__", "torch.jit"))}
    return Pickle(layout, frozenset(calls), frozenset(devices))


def damage(archive: zipfile.ZipFile) -> str | None:
    """Say what is cut off or contradicts itself in an archive, None where nothing is."""
    size = archive.fp.seek(0, io.SEEK_END) if archive.fp else 0
    for entry in archive.infolist():
        if entry.header_offset + entry.compress_size > size:
            return f"{entry.filename} is cut off"
        if entry.compress_size != entry.file_size and entry.compress_type == zipfile.ZIP_STORED:
            return f"{entry.filename} has two sizes"
    return None


def _read_legacy(stream: BinaryIO) -> Pickle:
    calls: set[str] = set()
    devices: set[str] = set()
    first = stream.read(2)
    stream.seek(0)
    if first == b"PK":
        return Pickle("other", error="cut off: a zip without its end")
    if first[:1] != b"\x80":
        return Pickle("other", error="not a file that torch.save writes")
    for number in range(5):  # magic number, protocol, system, the object itself, the keys of its storages
        for call, device in scan(stream):
            calls.update(filter(None, [call]))
            devices.update(filter(None, [device]))
        if number == 0 and not _is_magic(stream):
            return Pickle("other", frozenset(calls), frozenset(devices))
    return Pickle("legacy", frozenset(calls), frozenset(devices))


def _is_magic(stream: BinaryIO) -> bool:
    end = stream.tell()
    stream.seek(0)
    values = [argument for _, argument, _ in pickletools.genops(stream) if isinstance(argument, int)]
    stream.seek(end)
    return _TORCH_MAGIC in values


def scan(stream: BinaryIO) -> Iterator[tuple[str | None, str | None]]:
    """Yield (a name beyond those of tensors, or None; a device, or None) for each that one pickle mentions."""
    memo: dict[int, str] = {}
    recent: list[str | None] = []
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in _STRINGS and isinstance(argument, str):
            recent.append(argument)
            if re.fullmatch(r"(cuda|mps|xpu|hip)(:\d+)?", argument):
                yield None, argument
        elif name == "MEMOIZE":
            memo[len(memo)] = recent[-1] or "" if recent else ""
        elif name in _PUTS and isinstance(argument, int):
            memo[argument] = recent[-1] or "" if recent else ""
        elif name in _GETS and isinstance(argument, int):
            recent.append(memo.get(argument))
        elif name in ("GLOBAL", "INST"):
            recent.append(None)
            if not _SAFE.fullmatch(str(argument)):
                yield str(argument), None
        elif name == "STACK_GLOBAL":
            pair = recent[-2:]
            named = " ".join(part or "?" for part in pair) if len(pair) == 2 else "? ?"
            recent.append(None)
            if not _SAFE.fullmatch(named):
                yield named, None
        elif name in _HIDDEN:
            yield f"? ({name})", None
        elif name not in ("PROTO", "FRAME", "MARK"):
            recent.append(None)
        del recent[:-8]
