"""The rules that several tools share, by what they look at."""

from bmz_export.tools.rules.archive import AT_THE_ROOT, JAVA_ZIP, ONE_DESCRIPTION, PORTABLE_NAMES
from bmz_export.tools.rules.description import (
    AS_SPECIFIED,
    CLIP_LIMITS,
    FLOAT32,
    GITHUB_USER,
    HALO_OF_STEPS,
    IDS,
    IS_A_MODEL,
    ONE_IN_ONE_OUT,
    ONE_ROOT,
    PLAIN_STRINGS,
    REFERENCES_EXIST,
    SAME_AXES,
    WELL_FORMED,
    unlicensed,
)
from bmz_export.tools.rules.files import FILES_BESIDE, FILES_INSIDE, FILES_PRESENT, HASHED, HASHES, WEIGHTS_PRESENT
from bmz_export.tools.rules.onnx import (
    DETERMINISTIC_ONNX,
    ONNX_FINITE,
    ONNX_ONE_FILE,
    ONNX_OPERATORS,
    ONNX_OPSET_STATED,
    ONNX_READABLE,
    ONNX_SHAPES,
)
from bmz_export.tools.rules.state_dict import (
    ARCHITECTURE,
    IMPORTS,
    NO_CODE_AT_IMPORT,
    STATE_DICT_SAFE,
)
from bmz_export.tools.rules.tensors import INFORMATIVE_TESTS, TEST_TENSORS
from bmz_export.tools.rules.torchscript import (
    DETERMINISTIC_TORCHSCRIPT,
    NO_DEVICE_LITERAL,
    ONE_TENSOR,
    SAVED_ON_CPU,
    STAYS_INSIDE,
    TORCHSCRIPT_READABLE,
    known_operators,
)

__all__ = [
    "AT_THE_ROOT",
    "DETERMINISTIC_TORCHSCRIPT",
    "FLOAT32",
    "GITHUB_USER",
    "HALO_OF_STEPS",
    "JAVA_ZIP",
    "ONE_IN_ONE_OUT",
    "ONE_TENSOR",
    "ONNX_ONE_FILE",
    "ONNX_OPERATORS",
    "ONNX_READABLE",
    "ONNX_RULES",
    "PACKAGE_RULES",
    "PLAIN_STRINGS",
    "SPEC_RULES",
    "STATE_DICT_RULES",
    "TORCHSCRIPT_READABLE",
    "TORCHSCRIPT_RULES",
    "WEIGHTS_PRESENT",
    "known_operators",
    "unlicensed",
]

PACKAGE_RULES = (AT_THE_ROOT, PORTABLE_NAMES, IS_A_MODEL, TEST_TENSORS, REFERENCES_EXIST, SAME_AXES, CLIP_LIMITS)
"""What every tool demands."""
SPEC_RULES = (
    WELL_FORMED,
    AS_SPECIFIED,
    IDS,
    ONE_DESCRIPTION,
    FILES_PRESENT,
    FILES_INSIDE,
    FILES_BESIDE,
    HASHES,
    HASHED,
    ONE_ROOT,
    INFORMATIVE_TESTS,
)
"""What bioimageio.spec demands wherever it reads the package: in Python, on the site, in ilastik."""
TORCHSCRIPT_RULES = (
    TORCHSCRIPT_READABLE,
    DETERMINISTIC_TORCHSCRIPT,
    NO_DEVICE_LITERAL,
    SAVED_ON_CPU,
    STAYS_INSIDE,
)
ONNX_RULES = (
    ONNX_READABLE,
    ONNX_FINITE,
    DETERMINISTIC_ONNX,
    ONNX_OPERATORS,
    ONNX_ONE_FILE,
    ONNX_OPSET_STATED,
    ONNX_SHAPES,
)
STATE_DICT_RULES = (STATE_DICT_SAFE, ARCHITECTURE, NO_CODE_AT_IMPORT, IMPORTS)
