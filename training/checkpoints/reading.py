"""Any checkpoint file, read safely: nothing of it is run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import CheckpointError, UserError

if TYPE_CHECKING:
    import torch

_WRAPPINGS = ("params_ema", "params", "net", "state_dict", "model")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint file; nothing of it is run."""
    import pickle

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's word on TorchScript archives, which are refused below
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "unsupported global" in str(error).lower() or "unsupported class" in str(error).lower():
            raise CheckpointError(
                f"{path}: holds more than numbers, and loading it could run code; save the network's state_dict() alone"
            ) from None
        raise _no_checkpoint(path) from None
    except (RuntimeError, ValueError, KeyError, EOFError, TypeError, AttributeError, IndexError, AssertionError):
        raise _no_checkpoint(path) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    wrapping: str | None = ""
    while isinstance(content, Mapping) and wrapping is not None:
        wrapping = next((key for key in _WRAPPINGS if isinstance(content.get(key), Mapping)), None)
        content = content if wrapping is None else content[wrapping]
    if not isinstance(content, Mapping):
        raise _no_checkpoint(path)
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise _no_checkpoint(path)
    broken = next((key for key, value in tensors.items() if not bool(torch.isfinite(value).all())), None)
    if broken is not None:
        raise CheckpointError(f"{path}: {broken} holds NaN or infinite numbers; take another checkpoint")
    return tensors


def _no_checkpoint(path: Path) -> UserError:
    return CheckpointError(
        f"{path}: not a checkpoint, or damaged; give a file of network weights that torch.save wrote (.pth), and "
        "download it again if you did"
    )
