"""The process in which a package's weights are loaded, tried and made anew; never trusted, and only after judgement.

With ``target`` in its options it writes new weights and test tensors there and answers in JSON; else it returns what
the network makes of the images that it is given, (batch, channel, y, x).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bmz_export.engines._worker import peak_memory
from bmz_export.engines.runtimes import Predict, answer
from bmz_export.package import halo as halos
from bmz_export.package.rdf import TEST_INPUT, TEST_OUTPUT, choose_tiling
from bmz_export.package.rebuilt import Rebuilt
from bmz_export.package.tensors import fitted, slanted
from bmz_export.package.weights import (
    ONNX,
    STATE_DICT,
    TOLERANCE,
    TORCHSCRIPT,
    difference,
    write_onnx,
    write_state_dict,
    write_torchscript,
)
from bmz_export.repair.network import Ordered, WithProcessing
from training.errors import UserError
from training.inference.backends import from_onnx, from_torchscript
from training.util.messages import one_line

STEPS = (1, 2, 4, 8, 16, 32, 64)
"""Total strides that are looked for, in pixels."""
LEAST, MOST = 64, 512
"""Pixels a side: the least size that is declared, and the largest that still is one."""
_SIDES = (64, 320)

Array = NDArray[np.float32]


def load(task: Mapping[str, Any]) -> Predict:
    """Load the network, and make the package's files of it where a folder for them is named."""
    torch.set_num_threads(task["threads"])
    options, path = task["options"], Path(task["weights"])
    if "target" in options:
        network = _network(path, task["weights_format"], options, np.load(Path(options["target"]) / TEST_INPUT))
        return answer(_make(network, options))

    loaded: list[nn.Module] = []  # at the first image, and kept: what a network keeps of an image is to show

    def predict(image: Array) -> list[Array]:
        if not loaded:
            network = _network(path, task["weights_format"], options, image)
            loaded.append(WithProcessing(network, **options["around"]).eval())
        return [_run(loaded[0], image)]

    return predict


def _run(module: nn.Module, image: Array) -> Array:
    with torch.no_grad():
        result: Array = module(torch.from_numpy(image)).numpy()
    return result


def _network(path: Path, format: str, options: Mapping[str, Any], image: Array) -> nn.Module:
    """Return the bare network, from (batch, channel, y, x) to the same; ``image`` is one that it takes."""
    order = options["takes"], options["gives"], options["dtype"]
    if format == "onnx":
        return Ordered(_ThroughOnnx(path), *order).eval()
    if "architecture" in options:
        network = _from_architecture(path, format, options["architecture"])
        plain = order == ("bcyx", "bcyx", "float32")
        return network if plain else Ordered(network, *order).eval()  # plain, its tensors keep their names
    script = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    try:
        again = Ordered(Rebuilt(script), *order).eval()
        _run(again, image)
    except Exception:  # noqa: BLE001 -- then it is wrapped as it is; what is wrong with the network itself is seen there
        return Ordered(script, *order).eval()
    return again


def _from_architecture(path: Path, format: str, architecture: Mapping[str, Any]) -> nn.Module:
    """Return the network that an architecture builds, with the tensors of a state dict or of a TorchScript archive."""
    if architecture["file"] is None:
        module = import_module(architecture["module"])
    else:
        spec = spec_from_file_location("architecture", architecture["file"])
        assert spec is not None and spec.loader is not None  # it ends in .py
        module = sys.modules["architecture"] = module_from_spec(spec)  # where dataclasses look
        spec.loader.exec_module(module)
    build = getattr(module, architecture["callable"])
    network: nn.Module = build(**architecture["kwargs"])
    if format == "torchscript":
        script = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        held = script.state_dict()
        tensors = {key: held[key] for key in network.state_dict() if key in held}
    else:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


class _ThroughOnnx(nn.Module):
    """Runs an ONNX file; it can be tried and not traced."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.run = from_onnx(path, threads=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.run(image.numpy())[0])


def _make(network: nn.Module, options: Mapping[str, Any]) -> dict[str, Any]:
    """Write weights and test tensors; return sizes, halo, differences and what could not be made."""
    target = Path(options["target"])
    image = np.load(target / TEST_INPUT)
    facts: dict[str, Any] = {"failed": {}, "differences": {}, "bytes_per_pixel": _bytes_per_pixel(network, image)}
    facts["batch"] = _returns(network, np.concatenate([image, image]))
    multiple, least = _sizes(network, image, options["multiple"])
    facts |= {"multiple": multiple or 1, "free": multiple is not None}
    mended: nn.Module = WithProcessing(network, **options["around"], multiple=multiple or 1).eval()
    around = options["around"]["before"] or options["around"]["after"]
    if options["keep"] and not around and (multiple or 1) == 1:
        mended = network  # as it was trained: its tensors keep their names
        write_state_dict(mended, target / STATE_DICT)
        facts["state_dict"] = True
    if multiple is not None and least is not None:
        candidates = halos.GLOBAL_HALOS if options["measures"] else halos.HALOS
        halo, seams = halos.measure_halo(partial(_run, mended), image[:1], stride=multiple, candidates=candidates)
        reach = max(halo, options["radius"])
        tiling = choose_tiling(None, (multiple, multiple), (reach, reach))
        facts |= {"seam": seams[halo], "halo": tiling.halo[0], "minimum": max(tiling.minimum, least)}
        image = fitted(image, [*image.shape[:2], *(max(facts["minimum"], size) for size in image.shape[2:])])
    result = _run(mended, image)
    np.save(target / TEST_INPUT, image)
    np.save(target / TEST_OUTPUT, np.ascontiguousarray(result))
    images = [image] if multiple is None else [image, np.ascontiguousarray(image[..., 3:-2, 5:-6])]
    images += [np.concatenate([image, image[..., ::-1, :]])] if facts["batch"] else []
    example = torch.from_numpy(_example(image, free=facts["free"], batch=facts["batch"]))
    writers = (("torchscript", TORCHSCRIPT, write_torchscript, from_torchscript),
               ("onnx", ONNX, partial(write_onnx, free=_free(facts)), from_onnx))  # fmt: skip
    for name, file, write, read in writers:
        try:
            write(mended, target / file, example=example)
            run = read(target / file)
            facts["differences"][name] = max(difference(_run(mended, each), run(each)[0]) for each in images)
            if not facts["differences"][name] <= TOLERANCE:
                raise UserError(f"it is {facts['differences'][name]:.1e} of the range off what it was made of")
        except Exception as error:  # noqa: BLE001 -- a stranger's network may fail in any way
            (target / file).unlink(missing_ok=True)
            facts["failed"][name] = one_line(str(error))[:200]
    return facts


def _bytes_per_pixel(network: nn.Module, image: Array) -> float:
    """Return what a pixel takes, from the most memory that a small and a large image take; half of it is added."""
    peaks = []
    for side in _SIDES:
        _returns(network, slanted(image, (side, side)))
        peaks.append(peak_memory())
    return max(500.0, 1.5 * (peaks[1] - peaks[0]) / (_SIDES[1] ** 2 - _SIDES[0] ** 2))


def _free(facts: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the axes whose size an ONNX leaves free."""
    return (*((0,) if facts["batch"] else ()), *((2, 3) if facts["free"] else ()))


def _example(image: Array, *, free: bool, batch: bool) -> Array:
    """Return what is traced with: odd sizes, so that none of them hides as a constant, where sizes are free."""
    tall = image[..., : image.shape[-2] - 1 - image.shape[-2] % 2, : image.shape[-1] - 3 - image.shape[-1] % 2]
    one = np.ascontiguousarray(tall if free else image)
    return np.concatenate([one, one]) if batch else one


def _returns(network: nn.Module, image: Array) -> bool:
    """Say whether a network takes an image, and returns one of its height, width and number."""
    try:
        result = _run(network, image)
    except Exception:  # noqa: BLE001 -- that is the question
        return False
    return result.ndim == 4 and (result.shape[0], *result.shape[2:]) == (image.shape[0], *image.shape[2:])


def _sizes(network: nn.Module, image: Array, declared: int) -> tuple[int | None, int | None]:
    """Return what sizes must be a multiple of and the least size, in pixels; None twice where one size alone is taken.

    No less than the step that was declared is taken: a network may run at other sizes, and see another grid there.
    """
    least = LEAST
    while least <= MOST:
        for step in (step for step in STEPS if step % declared == 0 or step == declared):
            taken = [(least, least), (least + step, least + 3 * step), (least + 3 * step, least + 2 * step)]
            if all(_returns(network, slanted(image, size)) for size in taken):
                return step, least
        least *= 2
    return None, None
