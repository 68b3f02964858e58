"""The rules that several tools share, by what they look at."""

from bmz_export.tools.rules import archive, description, files, onnx, state_dict, tensors, torchscript

__all__ = [
    "ONNX", "PACKAGE", "SPECIFICATION", "STATE_DICT", "TORCHSCRIPT",
    "archive", "description", "files", "onnx", "torchscript",
]  # fmt: skip

PACKAGE = (
    archive.AT_THE_ROOT, archive.PORTABLE_NAMES, description.IS_A_MODEL, tensors.TEST_TENSORS,
    description.REFERENCES_EXIST, description.SAME_AXES, description.CLIP_LIMITS,
)  # fmt: skip
"""What every tool demands."""
SPECIFICATION = (
    description.WELL_FORMED, description.AS_SPECIFIED, description.IDS, archive.ONE_DESCRIPTION, files.PRESENT,
    files.INSIDE, files.BESIDE, files.HASHES, files.HASHED, description.ONE_ROOT, tensors.INFORMATIVE_TESTS,
)  # fmt: skip
"""What bioimageio.spec demands wherever it reads the package: in Python, on the site, in ilastik."""
TORCHSCRIPT = (
    torchscript.READABLE, torchscript.DETERMINISTIC, torchscript.NO_DEVICE_LITERAL, torchscript.SAVED_ON_CPU,
    torchscript.STAYS_INSIDE, torchscript.INPUTS,
)  # fmt: skip
ONNX = (
    onnx.READABLE, onnx.FINITE, onnx.DETERMINISTIC, onnx.OPERATORS, onnx.ONE_FILE, onnx.OPSET_STATED, onnx.TENSORS,
    onnx.SHAPES,
)  # fmt: skip
STATE_DICT = (state_dict.SAFE, state_dict.ARCHITECTURE, state_dict.NO_CODE_AT_IMPORT, state_dict.IMPORTS)
