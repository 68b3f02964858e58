"""What a file written by ``torch.save`` would call when unpickled, read from its opcodes without unpickling it."""

from __future__ import annotations

import io
import pickletools
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bmz_export.inspection.zips import ZipError, entries

MAX_PICKLE = 4 * 2**20
"""Bytes of all pickles in a file, tensors' values apart; the largest of ours has 0.15 MB, for 2,700 tensors."""
MAX_OPCODES = 1_000_000
_SAFE = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|(builtins|__builtin__) (set|bytearray|complex)"
    r"|_codecs encode"
    r"|torch (Size|Tensor|device|(Half|Float|Double|BFloat16|Char|Short|Int|Long|Byte|Bool)(Storage|Tensor)"
    r"|Complex(Float|Double)Storage|QU?Int(8|32|4x2|2x4)Storage"
    r"|bfloat16|float(16|32|64)|float8_(e4m3fn|e4m3fnuz|e5m2|e5m2fnuz|e8m0fnu)|u?int(8|16|32|64)|bool|complex(32|64|128)"
    r"|q(u?int8|int32|uint4x2|uint2x4)|per_(tensor|channel)_(affine|symmetric))"
    r"|torch\.cuda (Half|Float|Double|BFloat16|Char|Short|Int|Long|Byte|Bool)(Storage|Tensor)"
    r"|torch\.storage (Typed|Untyped)Storage"
    r"|torch\._utils _rebuild_(parameter(_with_state)?|q?tensor|tensor_v[23]|sparse_tensor|meta_tensor_no_storage"
    r"|device_tensor_from_(numpy|cpu_tensor)|wrapper_subclass)"
    r"|torch\.nn\.parameter Parameter"
    r"|torch\._tensor _rebuild_from_type_v2"
    r"|torch\.serialization _get_layout"
)
"""Of what ``torch.load(weights_only=True)`` lets through all that a state dict holds; a plain load calls any other."""

_ZIP = b"PK\3\4"
_UNUSUAL = {"EXT1", "EXT2", "EXT4", "INST", "OBJ", "PERSID", "STACK_GLOBAL"}
"""Opcodes that name something to call and that torch.save does not write; ``weights_only`` refuses them all."""
_DEVICE = re.compile(r"(cuda|mps|xpu|hip)(:\d+)?")


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
    """Look through a file written by ``torch.save``; whatever is wrong with it becomes its ``error``."""
    try:
        with path.open("rb") as stream:
            first = stream.read(len(_ZIP))
        if first == _ZIP:  # as torch itself tells the two apart
            with zipfile.ZipFile(path) as archive:
                return _read_zip(archive)
        if tarfile.is_tarfile(path):
            return Pickle("other", error="a tar archive of torch before 0.1.10, which none of the tools reads")
        with path.open("rb") as stream:
            return _read_legacy(stream.read(MAX_PICKLE + 1))
    except ZipError as error:
        return Pickle("other", error=str(error))
    except zipfile.BadZipFile as error:
        return Pickle("other", error=f"cut off, or no zip after all ({error})")
    except Exception as error:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        return Pickle("other", error=f"not readable ({error})")


def _read_zip(archive: zipfile.ZipFile) -> Pickle:
    found = {name.lower(): entry for name, entry in entries(archive).items()}
    pickles = [entry for name, entry in found.items() if name.endswith(".pkl")]
    if "data.pkl" not in found:
        return Pickle("other", error="a zip without a data.pkl: not written by torch.save")
    size = sum(entry.file_size for entry in pickles)
    if size > MAX_PICKLE:
        return Pickle("other", error=f"it holds {size:,} bytes of pickle: no network does")
    calls: set[str] = set()
    devices: set[str] = set()
    for entry in pickles:
        _scan(io.BytesIO(archive.read(entry)), calls, devices)
    is_torchscript = any(name.startswith("code/") or name == "constants.pkl" for name in found)
    return Pickle("torchscript" if is_torchscript else "zip", frozenset(calls), frozenset(devices))


def _read_legacy(data: bytes) -> Pickle:
    """Look through the five pickles before the tensors' values: magic number, protocol, system, object, their keys."""
    calls: set[str] = set()
    devices: set[str] = set()
    stream, error = io.BytesIO(data), None
    try:
        for _ in range(5):
            _scan(stream, calls, devices)
    except Exception:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        error = None if calls else "not a file that torch.save writes"
    return Pickle("legacy", frozenset(calls), frozenset(devices), error)


def _opcodes(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """Yield name and argument of each opcode of one pickle, up to its end."""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if number == MAX_OPCODES:
            raise ValueError(f"more than {MAX_OPCODES:,} opcodes in one pickle: no network has so many")
        yield opcode.name, argument


def _scan(stream: BinaryIO, calls: set[str], devices: set[str]) -> None:
    """Add what one pickle names beyond tensors, and its devices."""
    texts = ["?", "?"]
    for name, argument in _opcodes(stream):
        if name in _UNUSUAL:
            calls.add(str(argument or " ".join(texts[-2:])))
        elif name == "GLOBAL" and not _SAFE.fullmatch(str(argument)):
            calls.add(str(argument))
        elif isinstance(argument, str):
            texts = [texts[-1], argument]
            if _DEVICE.fullmatch(argument):
                devices.add(argument)
