"""Where a network computes, and how."""

from __future__ import annotations

from training.errors import SettingError


def choose_device(device: str = "auto") -> str:
    """Return a device in torch's words: the one named, if it is here, or for "auto" a GPU before the CPU."""
    import torch

    present = ["cpu"]
    if torch.cuda.is_available():
        present += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        present.append("mps")
    if device == "auto":
        return next((name for name in ("cuda", "mps") if name in present), "cpu")
    if device not in present:
        raise SettingError(f"`device` {device}: not on this machine; there is auto, {', '.join(present)}")
    return device


def choose_devices(device: str = "auto", devices: int | None = None) -> tuple[str, int]:
    """Return a device as ``choose_device`` does, and how many of its kind train together.

    Parameters
    ----------
    device : str
        "auto", or a device in torch's words.
    devices : int, optional
        How many; default: all GPUs with "auto" or "cuda", else one. With "cpu", processes that share it.

    Raises
    ------
    UserError
        Where there are not so many, or the device named is a single one.
    """
    import torch

    place = choose_device(device)
    present = torch.cuda.device_count() if place == "cuda" else 1
    if devices is None:
        return place, present
    if devices > present and device != "cpu":
        if device != place or device == "cuda":
            there = "no GPU" if place == "cpu" else f"{present} GPU{'s' if present > 1 else ''}"
            raise SettingError(f"`devices` {devices}: this machine has {there}; ask for no more, or leave it out")
        raise SettingError(f"`device` {device} `devices` {devices}: that is one device; leave one of the two out")
    return place, devices


def quick_in_half(device: str) -> bool:
    """Return whether a device is much faster in bfloat16: GPUs since 2020, CPUs with matrix units (AMX)."""
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = getattr(torch.cpu, "_is_amx_tile_supported", None)  # private, and not in every torch
    return device == "cpu" and known is not None and bool(known())
