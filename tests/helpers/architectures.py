"""Sources of networks in the styles that packages of the zoo hold: they define and do nothing more at import."""

BIAPY = '''
from __future__ import annotations

import math
import warnings
from typing import Callable, Dict, List, Optional, Tuple, Type, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

try:
    from typing import Literal
except ImportError:
    from typing_extensions import Literal

try:
    import numpy as np
except ImportError:
    np = None

__all__ = ["U_Net", "build"]
__version__ = "1.0"

Size = Union[int, Tuple[int, int]]
NORMS = {"bn": nn.BatchNorm2d, "in": nn.InstanceNorm2d, "gn": nn.GroupNorm, "none": None}
ALIASES = [name for name in NORMS]
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
from __future__ import annotations

import copy
import math
import typing
from abc import ABC, ABCMeta, abstractmethod
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, overload

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

if TYPE_CHECKING:
    import os

T = TypeVar("T", bound=nn.Module)
Stats = namedtuple("Stats", ["mean", "std"])
EPS, ROOT = float("1e-5"), math.sqrt(2)


class Sizes(NamedTuple):
    height: int
    columns: int = 8


class Takes(Protocol):
    def __call__(self, x: Tensor) -> Tensor: ...


class NotABlockError(ValueError):
    pass


@dataclass(frozen=True)
class Config:
    depth: int = 2
    features: list[int] = field(default_factory=lambda: [8, 16])
    norm: Literal["batch", "instance"] = "batch"
    known: ClassVar[dict[str, int]] = {"a": 1}

    @property
    def width(self) -> int:
        return self.features[0]

    @width.setter
    def width(self, value: int) -> None:
        self._width = value

    def save(self, path: str | os.PathLike) -> None:
        with open(path, "w") as stream:
            stream.write("a")


@lru_cache(maxsize=None)
def power(n: int) -> int:
    return 2**n


@overload
def norm_layer(name: str) -> Callable[..., nn.Module]: ...
@overload
def norm_layer(name: None) -> None: ...
def norm_layer(name):
    return {"batch": partial(nn.BatchNorm2d, eps=EPS), "instance": nn.InstanceNorm2d}.get(name)


class Block(nn.Module, metaclass=ABCMeta):
    expansion = 1
    __constants__ = ["expansion"]

    @abstractmethod
    def forward(self, x): ...

    @staticmethod
    def pad(size) -> tuple[int, int]:
        return _pair(size)

    @torch.jit.export
    def names(self) -> list[str]:
        return ["a"]

    @torch.no_grad()
    def reset(self, factor: float = -1.0 / 2) -> None:
        for module in self.modules():
            module.to(torch.float32)


class Net(Block, Generic[T]):
    def __init__(self, **kwargs):
        super().__init__()
        self.config = copy.deepcopy(Config(**kwargs))
        self.blocks = nn.Sequential(OrderedDict((f"b{i}", nn.Conv2d(1, 1, 3)) for i in range(self.config.depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)

    def load_pretrained(self, path: str) -> None:
        self.load_state_dict(torch.load(path))
"""

ARCHITECTURES = {"BiaPy": (BIAPY, "build"), "CAREamics": (CAREAMICS, "Net")}
