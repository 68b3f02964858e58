"""Which names of Python and its libraries compute and do nothing else: all that a network's source needs.

It is a list of what is let through, so whatever is not on it counts as an act: a process, a file, a socket, code made
of text. Each namespace stands beside the pattern of what may be used of it.
"""

from __future__ import annotations

import builtins
import re
import sys
from functools import cache

from bmz_export.inspection.torchscript.operators import computes

_CLASS = r"_?[A-Z]\w*"
_TYPES = (
    r"bfloat16|bool|c?double|c?float|float(16|32|64|8_\w+)|half|int|long|short|u?int(8|16|32|64)|complex(32|64|128)"
    r"|q?u?int\w+"
)
_ANY = r"[A-Za-z]\w*"
_TYPING = (
    rf"(?!ForwardRef){_CLASS}|cast|overload|final|override|get_origin|runtime_checkable|is_typeddict"
    r"|no_type_check|assert_\w+|dataclass_transform|deprecated"
)
_SPACES = {
    # Python's own
    "__future__": _ANY,
    "typing": _TYPING,
    "typing_extensions": _TYPING,
    "types": r"SimpleNamespace|MappingProxyType|MethodType|GenericAlias|NoneType",
    "abc": rf"{_CLASS}|abstract\w+",
    "enum": rf"{_CLASS}|auto|unique|member|nonmember|verify",
    "dataclasses": rf"{_CLASS}|dataclass|field|asdict|astuple|replace|is_dataclass",
    "collections": rf"{_CLASS}|namedtuple|deque|defaultdict",
    "collections.abc": _CLASS,
    "functools": r"partial|partialmethod|wraps|update_wrapper|lru_cache|cache|cached_property|reduce|total_ordering"
    r"|cmp_to_key",
    "itertools": _ANY,
    "operator": r"(?!attrgetter|methodcaller)[a-z]\w*",
    "contextlib": rf"{_CLASS}|contextmanager|nullcontext|suppress|closing",
    "math": _ANY,
    "cmath": _ANY,
    "numbers": _CLASS,
    "fractions": "Fraction",
    "decimal": "Decimal",
    "statistics": r"[a-z]\w*",
    "random": r"Random|random|randint|randrange|uniform|gauss|normalvariate|choice|choices|sample|shuffle|seed",
    "string": r"ascii_\w+|digits|hexdigits|octdigits|punctuation|whitespace|printable|capwords",
    "textwrap": r"dedent|indent|fill|wrap|shorten",
    "re": r"compile|match|fullmatch|search|sub|subn|split|findall|finditer|escape|[A-Z]+|Pattern|Match",
    "copy": r"copy|deepcopy",
    "time": r"time|perf_counter|monotonic|process_time|time_ns|perf_counter_ns",
    "json": r"loads|dumps",
    "inspect": r"is\w+|Parameter",
    "warnings": r"warn|warn_explicit|filterwarnings|simplefilter|catch_warnings",
    "logging": r"getLogger|getLevelName|[A-Z]+|NullHandler|Logger",
    "sys": r"version_info|version|maxsize|float_info|platform|byteorder|getsizeof",
    "os": r"sep|linesep|name",
    "os.path": r"join|basename|dirname|split|splitext|normpath|sep",
    "pathlib": r"Pure\w*Path",
    "weakref": r"ref|proxy|finalize|Weak\w+",
    "pprint": r"pformat",
    # torch
    "torch": rf"Tensor|\w+Tensor|Size|Generator|{_TYPES}|tensor|as_tensor|asarray|from_numpy|frombuffer|device|dtype"
    r"|layout|memory_format|finfo|iinfo|no_grad|enable_grad|inference_mode|set_grad_enabled|autocast|is_tensor"
    r"|is_storage|is_grad_enabled|typename|numel|vmap|unique|unravel_index|broadcast_shapes|lobpcg|lu|pca_lowrank"
    r"|svd_lowrank|strided|sparse_\w+|channels_last(_3d)?|contiguous_format|preserve_format|pi|e|inf|nan|newaxis"
    r"|manual_seed|seed|initial_seed|[gs]et_rng_state|get_default_dtype|get_default_device|__version__|_assert"
    r"|sym_\w+|stft|istft|per_\w+|chain_matmul|einsum",
    "torch.nn": _CLASS,
    "torch.nn.functional": r"_?[a-z]\w*",
    "torch.nn.init": r"_?[a-z]\w*",
    "torch.nn.modules": _CLASS,
    "torch.nn.modules.*": _CLASS,
    "torch.nn.modules.utils": r"_single|_pair|_triple|_quadruple|_ntuple|_reverse_repeat_tuple|consume_prefix\w*",
    "torch.nn.parameter": _CLASS,
    "torch.nn.common_types": r"_size_\w+|_\w+_t",
    "torch.nn.grad": r"conv\w+",
    "torch.nn.attention": r"SDPBackend|sdpa_kernel",
    "torch.nn.attention.flex_attention": r"\w*flex_attention|create_\w*mask|BlockMask",
    "torch.nn.utils": r"spectral_norm|weight_norm|remove_\w+|fuse_\w+|clip_grad\w+|parameters_to_vector"
    r"|vector_to_parameters|skip_init",
    "torch.nn.utils.parametrizations": r"orthogonal|spectral_norm|weight_norm",
    "torch.nn.utils.parametrize": r"register_parametrization|remove_parametrizations|is_parametrized|cached",
    "torch.nn.utils.rnn": r"pack\w+|pad\w+|unpack\w+|unpad\w+|PackedSequence",
    "torch.nn.utils.fusion": r"fuse\w+",
    "torch.fft": r"(?!_)\w*fft\w*",
    "torch.linalg": r"[a-z]\w*",
    "torch.special": r"[a-z]\w*",
    "torch.random": r"manual_seed|seed|initial_seed|fork_rng|[gs]et_rng_state",
    "torch.autograd": r"Function|Variable|grad|no_grad|enable_grad|set_grad_enabled|inference_mode",
    "torch.autograd.function": r"Function|once_differentiable|FunctionCtx|InplaceFunction",
    "torch.autograd.functional": r"jacobian|hessian|jvp|vjp|hvp|vhp",
    "torch.amp": r"autocast|custom_fwd|custom_bwd|GradScaler|is_autocast_available",
    "torch.cuda": r"is_available|device_count|current_device|is_bf16_supported|get_device_(name|capability)"
    r"|synchronize|empty_cache|manual_seed(_all)?|\w+Tensor",
    "torch.distributed": r"is_available|is_initialized|get_rank|get_world_size",
    "torch.cuda.amp": r"autocast|custom_fwd|custom_bwd|GradScaler",
    "torch.backends.cuda": r"[a-z]\w*",
    "torch.backends.cudnn": r"benchmark|deterministic|enabled|allow_tf32|version|is_available|flags",
    "torch.backends.mps": r"is_available|is_built",
    "torch.distributions": rf"{_CLASS}|kl_divergence",
    "torch.distributions.*": _CLASS,
    "torch.ops.torchvision": r"[a-z]\w*",
    "torch._C._nn": r"[a-z]\w*",
    "torch.cpu": r"is_available|device_count",
    "torch.jit": r"script|script_method|script_if_tracing|export|ignore|unused|interface|annotate|is_scripting"
    r"|is_tracing|isinstance|Final|Attribute|ScriptModule|trace",
    "torch.onnx": r"is_in_onnx_export",
    "torch.compiler": r"disable|is_compiling|is_dynamo_compiling|allow_in_graph",
    "torch.types": rf"{_CLASS}|_[a-z]\w*",
    "torch.utils.checkpoint": r"checkpoint|checkpoint_sequential",
    "torch.utils.data": r"Dataset|IterableDataset|TensorDataset",
    "torch.optim": _CLASS,
    "torch.optim.lr_scheduler": _CLASS,
    "torch.quantization": r"QuantStub|DeQuantStub|fuse_modules",
    "torch.ao.quantization": r"QuantStub|DeQuantStub|fuse_modules",
    "torch.version": r"cuda|hip|__version__",
    # other libraries that only compute
    "numpy": rf"{_ANY}|__version__",
    "numpy.linalg": _ANY,
    "numpy.fft": r"(?!_)\w*fft\w*",
    "numpy.random": _ANY,
    "numpy.typing": _CLASS,
    "einops": r"rearrange|reduce|repeat|pack|unpack|einsum|parse_shape|asnumpy|EinopsError",
    "einops.layers.torch": _CLASS,
    "timm.layers": _ANY,
    "timm.models.layers": _ANY,
    "timm.models.registry": r"register_model",
    "torchvision.ops": _ANY,
    "monai.networks.nets": _CLASS,
    "monai.networks.blocks": _CLASS,
    "monai.networks.layers": _ANY,
    "scipy.ndimage": r"[a-z]\w*_filter\w*|convolve\w*|correlate\w*|zoom|rotate|shift|map_coordinates",
    "scipy.special": r"erf\w*|gamma\w*|softmax|log_softmax|expit|logit|comb|factorial",
    "scipy.signal": r"convolve\w*|correlate\w*|fftconvolve|resample",
}
_COMPILED = {space: re.compile(pattern) for space, pattern in _SPACES.items()}
_OPERATORS = {"torch", "torch.ops.aten"}
"""Namespaces that hold torch's operators too, whose names stand in the table of operators."""
_FILES = frozenset({
    "load", "save", "savez", "savez_compressed", "savetxt", "loadtxt", "genfromtxt", "fromfile", "fromregex", "memmap",
    "DataSource", "test", "info", "source", "lookfor", "show_config", "show_runtime", "seterrcall",
})  # fmt: skip
_MODULES = frozenset({
    *(sys.stdlib_module_names - {"array", "copy", "select", "trace", "types", "code", "statistics", "queue", "token"}),
    "torch", "numpy", "np", "grad", "utils", "char", "core", "compat", "ctypeslib", "dtypes", "emath", "exceptions",
    "f2py", "lib", "ma", "matlib", "matrixlib", "polynomial", "rec", "strings", "testing", "version", "mtrand",
    "bit_generator",
})  # fmt: skip
"""What a library shows of others: ``torch.nn.functional.importlib``. Some functions are called as a module is."""

LOOKED_UP = frozenset({
    "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.modules", "torch.optim", "torch.optim.lr_scheduler",
    "math",
})  # fmt: skip
"""Namespaces of which a network may take something by a name in its settings: ``getattr(nn, activation)``."""
STARS = LOOKED_UP | {"collections", "dataclasses", "enum", "functools", "itertools", "numpy", "typing"}
"""Modules of which a file may import everything."""

_BUILTINS = frozenset({
    "abs", "aiter", "all", "anext", "any", "ascii", "bin", "bool", "bytearray", "bytes", "callable", "chr",
    "classmethod", "complex", "copyright", "credits", "__debug__", "dict", "dir", "divmod", "__doc__", "Ellipsis",
    "enumerate", "__file__", "filter", "float", "format", "frozenset", "hash", "hex", "id", "int", "isinstance",
    "issubclass", "iter", "len", "license", "list", "map", "max", "memoryview", "min", "__name__", "next",
    "NotImplemented", "object", "oct", "ord", "pow", "print", "property", "range", "repr", "reversed", "round", "set",
    "slice", "sorted", "staticmethod", "str", "sum", "super", "tuple", "type", "zip",
})  # fmt: skip

_ACTING_ATTRIBUTES = frozenset({
    "os", "sys", "subprocess", "socket", "shutil", "ctypes", "importlib", "builtins", "pickle", "marshal", "runpy",
    "posix", "serialization", "hub", "cpp_extension", "multiprocessing", "distributed", "linecache", "inspect",
    "tokenize", "codecs", "torch", "np", "numpy", "open", "memmap", "fromfile", "savez", "savetxt", "savez_compressed",
    "system", "popen", "import_module", "load_module", "exec_module",
    "tofile", "dump", "from_file", "save", "load", "load_library", "save_to_buffer", "load_state_dict_from_url",
    "gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code", "f_back", "f_builtins", "f_code", "f_globals",
    "f_locals", "tb_frame", "tb_next", "co_code",
})  # fmt: skip
"""Attributes by which one gets from a value to the machine: ``array.tofile``, ``frame.f_builtins``."""
_SPECIAL_ATTRIBUTES = frozenset({
    "__abs__", "__add__", "__all__", "__bool__", "__call__", "__class__", "__contains__", "__deepcopy__",
    "__delattr__", "__delitem__", "__doc__", "__enter__", "__eq__", "__exit__", "__float__", "__func__", "__getattr__",
    "__getitem__", "__getstate__", "__hash__", "__init__", "__init_subclass__", "__int__", "__iter__", "__len__",
    "__members__", "__module__", "__mul__", "__name__", "__ne__", "__new__", "__next__", "__post_init__", "__dir__",
    "__qualname__", "__repr__", "__setattr__", "__setitem__", "__setstate__", "__str__", "__sub__",
    "__truediv__", "__version__",
})  # fmt: skip


@cache
def computes_alone(name: str) -> bool:
    """Say whether what a full name such as ``torch.nn.Conv2d`` means does nothing but compute."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        space = _space(parts[:end])
        if space is not None:
            rest = parts[end + 1 :]
            return _allows(space, parts[end]) and all(map(harmless, rest)) and not _MODULES.intersection(rest)
    return False


def is_namespace(name: str) -> bool:
    """Say whether a full name is a namespace: not to be handed on as a value, for it holds more than may be used."""
    return _space(name.split(".")) is not None


def is_builtin(name: str) -> bool:
    """Say whether Python itself has a name, in every file."""
    return hasattr(builtins, name) or re.fullmatch(r"__\w+__", name) is not None


def is_plain(name: str) -> bool:
    """Say whether a builtin does nothing but compute; names that are no builtins do nothing."""
    return name in _BUILTINS or _is_exception(name) or not is_builtin(name)


def harmless(attribute: str) -> bool:
    """Say whether an attribute of that name leads from a value that computes to another that does."""
    if attribute.startswith("__") and attribute.endswith("__"):
        return attribute in _SPECIAL_ATTRIBUTES
    return attribute not in _ACTING_ATTRIBUTES


def leads_out(beginning: str) -> bool:
    """Say whether an attribute that begins like this may lead to a module or to the machine."""
    return any(name.startswith(beginning) for name in (*_ACTING_ATTRIBUTES, *_MODULES, "__"))


def _space(parts: list[str]) -> str | None:
    exact = ".".join(parts)
    if exact in _SPACES or exact in _OPERATORS:
        return exact
    wide = ".".join([*parts[:-1], "*"])
    return wide if wide in _SPACES and parts[-1].islower() else None


def _allows(space: str, leaf: str) -> bool:
    if space in _OPERATORS and computes(leaf):
        return True
    if leaf in _MODULES or (space == "numpy" and leaf in _FILES):
        return False
    return space in _COMPILED and _COMPILED[space].fullmatch(leaf) is not None


def _is_exception(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)
