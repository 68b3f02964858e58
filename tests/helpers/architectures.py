"""Sources of networks in the styles that packages of the zoo hold: all that they do is compute."""

BIAPY = '''
from __future__ import annotations

import math
import sys
import warnings
from typing import Callable, Dict, List, Optional, Tuple, Type, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

if sys.version_info >= (3, 8):
    from typing import Literal
else:
    from typing_extensions import Literal

try:
    import numpy as np
except ImportError:
    np = None

__all__ = ["U_Net", "build"]
__version__ = "1.0"

Size = Union[int, Tuple[int, int]]
NORMS = {"bn": nn.BatchNorm2d, "in": nn.InstanceNorm2d, "gn": nn.GroupNorm, "none": None}
ALIASES = [name.upper() for name in NORMS]
conv = lambda width, out, size=3: nn.Conv2d(width, out, size, padding=size // 2)


def get_activation(name: str = "relu") -> nn.Module:
    if name is None:
        return nn.Identity()
    kinds = {"relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU}
    assert name.lower() in kinds, "Get activation key {}".format(name)
    return kinds[name.lower()]()


class ConvBlock(nn.Module):
    def __init__(self, width, out, k_size: Size = 3, act: Optional[str] = None, norm="none", dropout=0.0, **kwargs):
        super(ConvBlock, self).__init__(**kwargs)
        block: List[nn.Module] = [conv(width, out, k_size)]
        if norm == "gn":
            block.append(NORMS[norm](8, out))
        elif NORMS[norm] is not None:
            block.append(NORMS[norm](out))
        if act:
            block.append(get_activation(act))
        if dropout > 0:
            block.append(nn.Dropout(dropout))
        self.block = nn.Sequential(*block)

    def forward(self, x):
        return self.block(x)


class Named(nn.Module):
    """Layers under names that are made."""

    def __init__(self, act="ReLU", depth=3):
        super().__init__()
        self.act = getattr(nn, act)()
        for i in range(depth):
            setattr(self, f"block{i}", nn.Conv2d(1, 1, 3, padding=1))
        self.depth = depth

    def forward(self, x):
        for i in range(self.depth):
            x = self.act(getattr(self, f"block{i}")(x))
        return x


class Down(Named):
    pass


class U_Net(nn.Module):
    def __init__(self, image_shape=(256, 256, 1), activation="elu", feature_maps=[16, 32], drop_values=[0.1, 0.1],
                 normalization="none", checkpointing: bool = False, output_channels: Literal["BC", "B"] = "B"):
        super().__init__()
        if len(feature_maps) != len(drop_values):
            raise ValueError(f"{len(feature_maps)} widths, {len(drop_values)} dropout rates")
        self.depth = len(feature_maps) - 1
        self.checkpointing = checkpointing
        self.ndim = 3 if len(image_shape) == 4 else 2
        conv_type: Type[nn.Module] = nn.Conv3d if self.ndim == 3 else nn.Conv2d
        self.down_path = nn.ModuleList()
        self.up_path = nn.ModuleDict({"up": nn.ConvTranspose2d(feature_maps[-1], feature_maps[0], 2, 2)})
        width = image_shape[-1]
        for maps, drop in zip(feature_maps, drop_values):
            self.down_path.append(ConvBlock(width, maps, act=activation, norm=normalization, dropout=drop))
            width = maps
        self.last = conv_type(feature_maps[0], 1, kernel_size=1)
        self.down = Down()
        self.register_buffer("window", torch.hann_window(8) if math.pi > 3 else torch.ones(8), persistent=False)
        self.apply(self._init_weights)

    def forward(self, x: torch.Tensor) -> Union[torch.Tensor, Dict]:
        blocks = []
        for i, layers in enumerate(self.down_path):
            x = checkpoint(layers, x, use_reentrant=False) if self.checkpointing else layers(x)
            if i != len(self.down_path) - 1:
                blocks.append(x)
                x = F.max_pool2d(x, 2)
        if x.shape[-1] % 2:
            warnings.warn("odd size")
        x = self.up_path["up"](x)
        x = F.interpolate(x, size=blocks[-1].shape[-2:], mode="bilinear", align_corners=False)
        return self.last(torch.cat([x[:, :1] * 0, x[:, 1:]], 1) + blocks[-1])

    def _init_weights(self, m):
        if isinstance(m, (nn.Conv2d, nn.Conv3d)):
            nn.init.xavier_uniform_(m.weight)
            if m.bias is not None:
                nn.init.constant_(m.bias, 0)
            print(m.__class__.__name__) if hasattr(m, "verbose") else None


def build(**settings):
    """Build it."""
    return U_Net(**settings)


if __name__ == "__main__":
    net = U_Net()
    torch.save(net.state_dict(), "weights.pth")
'''

CAREAMICS = """
import copy
import logging
import os
from abc import ABC, abstractmethod
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum, unique
from functools import lru_cache, partial, wraps
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, overload

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.utils import _pair

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=nn.Module)
Stats = namedtuple("Stats", ["mean", "std"])
EMPTY = Stats(mean=0.0, std=1.0)
PathLike = str | Path


@unique
class Activation(str, Enum):
    NONE = "none"
    RELU = "relu"

    @classmethod
    def values(cls):
        return [member.value for member in cls]

    def __str__(self):
        return self.value


class Sizes(NamedTuple):
    height: int
    width: int = 8


class Takes(Protocol):
    def __call__(self, x: Tensor) -> Tensor: ...


class NotABlockError(ValueError):
    pass


@dataclass
class Config:
    depth: int = 2
    features: list[int] = field(default_factory=lambda: [8, 16])
    norm: Literal["batch", "instance"] = "batch"
    act: Activation = Activation.RELU
    where: Path | None = None
    known: ClassVar[dict[str, int]] = {"a": 1}

    def __post_init__(self):
        if self.depth < 1:
            raise NotABlockError("depth")

    @property
    def width(self) -> int:
        return self._width if hasattr(self, "_width") else self.features[0]

    @width.setter
    def width(self, value: int) -> None:
        self._width = value

    def save(self, path: PathLike) -> None:
        with open(path, "w") as stream:
            stream.write(str(asdict(self)))


DEFAULT = Config()


def counted(function):
    @wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


@lru_cache(maxsize=None)
def power(n: int) -> int:
    return 2**n


@overload
def norm_layer(name: str) -> Callable[..., nn.Module]: ...
@overload
def norm_layer(name: None) -> None: ...
def norm_layer(name):
    return {"batch": partial(nn.BatchNorm2d, eps=1e-5), "instance": nn.InstanceNorm2d}.get(name)


class Block(nn.Module, ABC):
    expansion = 1

    @abstractmethod
    def forward(self, x): ...

    @staticmethod
    def pad(size) -> tuple[int, int]:
        return _pair(size)

    @torch.jit.export
    def names(self) -> list[str]:
        return ["a"]

    @torch.no_grad()
    def reset(self) -> None:
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.reset_running_stats()


class Residual(Block, Generic[T]):
    def __init__(self, config: Config, act: str = "LeakyReLU"):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=self.pad(1))
        self.norm = norm_layer(config.norm)(1)
        self.act = getattr(torch.nn, act)(inplace=True)

    @counted
    def forward(self, x):
        return x + self.act(self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.config = copy.deepcopy(Config(**kwargs))
        self.config.width = 4
        self.blocks = nn.Sequential(OrderedDict((f"b{i}", Residual(self.config)) for i in range(self.config.depth)))
        self.total = sum(p.numel() for p in chain(self.blocks.parameters(), []))
        logger.info("a network of %d weights", self.total)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x).clamp(min=-1e6).to(dtype=torch.float32, memory_format=torch.channels_last)

    def load_pretrained(self, path: PathLike) -> None:
        self.load_state_dict(torch.load(os.fspath(path)))
"""

TRANSFORMER = """
import numbers

import torch
import torch.nn as nn
import torch.nn.functional as F
from einops import rearrange
from einops.layers.torch import Rearrange
from torch.cuda.amp import autocast
from timm.models.layers import DropPath, to_2tuple, trunc_normal_

F_pad = F.pad
torch.manual_seed(0)


def to_3d(x):
    return rearrange(x, "b c h w -> b (h w) c")


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, i):
        ctx.save_for_backward(i)
        return i * torch.sigmoid(i)

    @staticmethod
    def backward(ctx, grad_output):
        (i,) = ctx.saved_tensors
        return grad_output * torch.sigmoid(i)


@torch.jit.script
def scaled(x):
    return x * 2.0


class Attention(nn.Module):
    def __init__(self, dim, num_heads, bias=True, drop_path=0.1):
        super(Attention, self).__init__()
        if isinstance(dim, numbers.Integral):
            dim = (dim,)
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = nn.Conv2d(torch.Size(dim)[0], dim[0] * 3, 1, bias=bias)
        self.drop_path = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()
        self.view = nn.Sequential(Rearrange("b c h w -> b h w c"), nn.LayerNorm(dim[0]))
        trunc_normal_(self.temperature, std=0.02)
        for name, parameter in self.named_parameters():
            parameter.requires_grad = "bias" not in name

    @autocast(enabled=False)
    def forward(self, x):
        b, c, h, w = x.shape
        heads = lambda t: rearrange(t, "b (n c) h w -> b n c (h w)", n=self.num_heads)
        q, k, v = map(heads, self.qkv(x).chunk(3, dim=1))
        if hasattr(F, "scaled_dot_product_attention") and not torch.jit.is_scripting():
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature).softmax(-1) @ v
        with torch.no_grad():
            mask = torch.einsum("bnij->bij", out).abs() > torch.finfo(out.dtype).eps
        grid = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"), -1)
        x = rearrange(out, "b n c (h w) -> b (n c) h w", h=h, w=w)
        return Swish.apply(F_pad(x, to_2tuple(0) * 2)) + scaled(mask.float().mean() * 0 + grid.sum() * 0)


def net(dim: int = 8, heads: int = 2) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, dim, 3, padding=1), Attention(dim, heads), nn.Conv2d(dim, 1, 1))
"""

ARCHITECTURES = {"BiaPy": (BIAPY, "build"), "CAREamics": (CAREAMICS, "Net"), "a transformer": (TRANSFORMER, "net")}
