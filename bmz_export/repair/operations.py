"""Pre- and post-processing as layers, with the values that bioimageio.core computes, the reference of what they mean.

Images are (batch, channel, y, x). What an operation measures before the network it measures on the image as it came,
whatever stands before it, and each image of a batch by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from bmz_export.package.description import Operation
from training.errors import PackageError

if TYPE_CHECKING:
    import torch
    from torch import nn

CANONICAL = "bcyx"
FIXED_EPS = 1e-6
"""What bioimageio.core adds to a fixed deviation."""
_MEASURED = (1, 2, 3)
_LETTERS = {"batch": "b", "channel": "c", "b": "b", "c": "c", "y": "y", "x": "x"}

Layer = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""From the values and the model's own input to the new values."""


@dataclass(frozen=True)
class Place:
    """Where an operation stands.

    Attributes
    ----------
    module : torch.nn.Module
        Keeps what is one number a channel as a buffer, so that it moves to a graphics card with the network.
    before : bool
        Whether it stands before the network.
    input : str
        Name of the model's input tensor.
    """

    module: nn.Module
    before: bool
    input: str

    def measured(self, values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Return what an operation measures: before the network the image as it came."""
        return image if self.before else values

    def numbers(self, kwargs: Mapping[str, Any], **defaults: float | None) -> list[Callable[[], Any]]:
        """Return what gives each number, or one number a channel; lists along any other axis are refused."""
        found = []
        for name, default in defaults.items():
            value = kwargs.get(name, default)
            value = value if isinstance(value, list | tuple) else [value]
            plain = [float(each) for each in value]
            if len(plain) > 1 and _LETTERS.get(str(kwargs.get("axis") or "channel")) != "c":
                raise ValueError(f"one {name} for each pixel along {kwargs['axis']}")
            found.append(self._kept(plain))
        return found

    def _kept(self, numbers: list[float]) -> Callable[[], Any]:
        import torch

        if len(numbers) == 1:
            return lambda: numbers[0]
        name = f"numbers_{len(list(self.module.buffers(recurse=False)))}"
        self.module.register_buffer(name, torch.tensor(numbers).reshape(1, -1, 1, 1))
        return lambda: self.module.get_buffer(name)


def layers(operations: Iterable[tuple[str, Mapping[str, Any]]], place: Place) -> list[Layer]:
    """Return a layer for each operation, ``(id, kwargs)``.

    Raises
    ------
    UserError
        Names the first that cannot be computed inside a network.
    """
    made = []
    for name, kwargs in operations:
        build = _BUILDERS.get(name)
        if name == "zero_mean_unit_variance" and kwargs.get("mode") == "fixed":
            build = _fixed
        if build is None:
            raise PackageError(f"the operation {name or 'without a name'} cannot be moved into the network")
        try:
            made.append(build(kwargs, place))
        except (TypeError, ValueError, KeyError) as error:
            raise PackageError(f"the arguments of {name} cannot be understood ({error})") from None
    return made


def told(operation: Operation) -> str:
    """Return what is said of an operation that was moved into the network."""
    arguments = ", ".join(f"{key} {value}" for key, value in operation.kwargs.items() if value is not None)
    return f"{operation.id} ({arguments})" if arguments else operation.id


def _axes(kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Return what is measured together, as indices of the canonical axes; never the batch."""
    given = kwargs.get("axes")
    letters = {_LETTERS.get(str(each), "?") for each in (given or "")} - {"b"}
    if not letters <= {*CANONICAL}:
        raise ValueError(f"axes {given}")
    return tuple(sorted(CANONICAL.index(each) for each in letters)) or _MEASURED


def _linear(kwargs: Mapping[str, Any], place: Place) -> Layer:
    gain, offset = place.numbers(kwargs, gain=1.0, offset=0.0)
    return lambda values, image: values * gain() + offset()


def _fixed(kwargs: Mapping[str, Any], place: Place) -> Layer:
    mean, std = place.numbers(kwargs, mean=None, std=None)
    return lambda values, image: (values - mean()) / (std() + FIXED_EPS)


def _clip(kwargs: Mapping[str, Any], place: Place) -> Layer:
    del place
    if kwargs.get("min_percentile") is not None or kwargs.get("max_percentile") is not None:
        raise ValueError("limits at percentiles of the image")
    low, high = (None if kwargs.get(each) is None else float(kwargs[each]) for each in ("min", "max"))
    return lambda values, image: values.clamp(low, high)


def _sigmoid(kwargs: Mapping[str, Any], place: Place) -> Layer:
    del kwargs, place
    return lambda values, image: values.sigmoid()


def _softmax(kwargs: Mapping[str, Any], place: Place) -> Layer:
    del place
    axis = CANONICAL.index(_LETTERS[str(kwargs.get("axis", "channel"))])
    return lambda values, image: values.softmax(axis)


def _binarize(kwargs: Mapping[str, Any], place: Place) -> Layer:
    (threshold,) = place.numbers(kwargs, threshold=None)
    return lambda values, image: (values > threshold()).to(values.dtype)


def _ensure_dtype(kwargs: Mapping[str, Any], place: Place) -> Layer:
    del place
    if "int" in str(kwargs.get("dtype")):
        return lambda values, image: values.trunc()
    return lambda values, image: values


def _unit_variance(kwargs: Mapping[str, Any], place: Place) -> Layer:
    axes, eps = _axes(kwargs), float(kwargs.get("eps", 1e-6))

    def apply(values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        mean, deviation = _moments(place.measured(values, image), axes)
        return (values - mean) / (deviation + eps)

    return apply


def _match_moments(kwargs: Mapping[str, Any], place: Place) -> Layer:
    axes, eps = _axes(kwargs), float(kwargs.get("eps", 1e-6))
    _refers_to_input(kwargs, place)

    def apply(values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        mean, deviation = _moments(place.measured(values, image), axes)
        wanted_mean, wanted_deviation = _moments(image, axes)
        return (values - mean) / (deviation + eps) * (wanted_deviation + eps) + wanted_mean

    return apply


def _range(kwargs: Mapping[str, Any], place: Place) -> Layer:
    axes, eps = _axes(kwargs), float(kwargs.get("eps", 1e-6))
    low, high = (float(kwargs.get(f"{each}_percentile", default)) for each, default in (("min", 0), ("max", 100)))
    if not 0 <= low < high <= 100:
        raise ValueError(f"percentiles {low:g} and {high:g}")
    elsewhere = kwargs.get("reference_tensor") is not None and _refers_to_input(kwargs, place)

    def apply(values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        measured = image if elsewhere else place.measured(values, image)
        lowest, highest = _percentiles(measured, axes, (low, high))
        return (values - lowest) / (highest - lowest + eps)

    return apply


def _refers_to_input(kwargs: Mapping[str, Any], place: Place) -> bool:
    if str(kwargs.get("reference_tensor")) != place.input:
        raise ValueError(f"reference_tensor {kwargs.get('reference_tensor')!r} is not the input")
    return True


def _moments(values: torch.Tensor, axes: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and deviation, counted from the least value: exact in any runtime where all values are one."""
    least = values.amin(axes, keepdim=True)
    mean = (values - least).mean(axes, keepdim=True)
    deviation = ((values - least - mean) ** 2).mean(axes, keepdim=True).sqrt()
    return least + mean, deviation


def _percentiles(values: torch.Tensor, axes: tuple[int, ...], wanted: Sequence[float]) -> list[torch.Tensor]:
    """Return percentiles with linear interpolation, over the given axes.

    ``torch.quantile`` ends at 16 million values and has no form in ONNX. Places in the sorted values are computed in
    whole numbers, which traces keep for every size.
    """
    kept = [axis for axis in range(4) if axis not in axes]
    ordered = values.permute(*kept, *axes).flatten(len(kept)).sort(dim=len(kept))[0]
    last = ordered.shape[-1] - 1
    order = [*kept, *axes]
    found = []
    for percentile in wanted:
        part = Fraction(str(percentile)) / 100
        place = last * part.numerator
        below, above = place // part.denominator, (place + part.denominator - 1) // part.denominator
        low, high = (ordered[..., at : at + 1] for at in (below, above))
        value = low + (high - low) * (place % part.denominator / part.denominator)
        for _ in axes[1:]:
            value = value.unsqueeze(-1)
        found.append(value.permute(*(order.index(axis) for axis in range(4))))
    return found


_BUILDERS: Mapping[str, Callable[[Mapping[str, Any], Place], Layer]] = {
    "scale_linear": _linear,
    "fixed_zero_mean_unit_variance": _fixed,
    "clip": _clip,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "binarize": _binarize,
    "ensure_dtype": _ensure_dtype,
    "zero_mean_unit_variance": _unit_variance,
    "scale_mean_variance": _match_moments,
    "scale_range": _range,
}
