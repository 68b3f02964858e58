"""Rules on the description: its form, its tensors and their axes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from bmz_export.inspection import Inspection
from bmz_export.package.description import Operation, Tensor, Weights
from bmz_export.tools import finders
from bmz_export.tools.rule import Found, Rule
from bmz_export.tools.specification import departures

MAX_DEPARTURES = 20
"""More of them are one and the same mistake, or no description at all."""


def _malformed(inspection: Inspection) -> Iterator[str]:
    return (problem.message for problem in inspection.description.problems)


def _not_a_model(inspection: Inspection) -> Iterator[str | Found]:
    description = inspection.description
    if description.type != "model":
        yield f"type is {description.type!r}, not 'model'"
    if not re.fullmatch(r"\d+\.\d+\.\d+", description.format_version, re.ASCII):
        yield Found(f"format_version is {description.format_version!r}, not three numbers in quotes",
                    "the tool does not know how to read the description",
                    'write the format that the fields follow, such as "0.5.4"')  # fmt: skip


def _departures(inspection: Inspection) -> Iterator[str]:
    reported = {problem.where for problem in inspection.description.problems}
    found = (f"{where}: {what}" for where, what in departures(inspection.description) if where not in reported)
    return islice(found, MAX_DEPARTURES)


def _ids(inspection: Inspection) -> Iterator[str]:
    names = [tensor.id for _, tensor in finders.images(inspection)]
    for name in names:
        if names.count(name) > 1 or not name:
            yield f"the tensor id {name!r} is there {names.count(name)} times" if name else "a tensor has no id"
    for where, tensor in finders.images(inspection):
        axes = [axis.id for axis in tensor.axes]
        if len(set(axes)) < len(axes) or "" in axes:
            yield f"{where}: its axes have the ids {', '.join(axis or '(none)' for axis in axes)}"


AS_SPECIFIED = Rule("as-specified", "the description is refused",
                    "bioimageio.spec 0.5.12: its schema, and what its code checks beside it",
                    "write the field as bioimage.io's specification has it, or leave it out", _departures)  # fmt: skip
IDS = Rule("ids", "the description is refused", "bioimageio.spec 0.5.12", "an id for each tensor and axis, each once",
           _ids)  # fmt: skip
WELL_FORMED = Rule("well-formed", "the description is refused as invalid",
                   "bioimageio.spec checks each field's type; Java casts it and throws",
                   "correct the field in rdf.yaml", _malformed)  # fmt: skip
IS_A_MODEL = Rule("is-a-model", "the package is not listed among the models",
                  "bioimageio.spec: type and format_version choose the format",
                  "write `type: model`", _not_a_model)  # fmt: skip


def _several(inspection: Inspection) -> Iterator[str]:
    for side, tensors in (("inputs", inspection.description.inputs), ("outputs", inspection.description.outputs)):
        if len(tensors) > 1:
            names = ", ".join(tensor.id for tensor in tensors)
            yield f"{len(tensors)} {side} ({names})"


ONE_IN_ONE_OUT = Rule("one-in-one-out", "the model is refused",
                      "QuPath's BioimageIoTools and ilastik's tiktorch take one input and one output",
                      "a model of one input and one output", _several)  # fmt: skip


def _newest_objects(inspection: Inspection) -> Iterator[str]:
    raw = inspection.description.raw
    for name in ("documentation", "license"):
        if isinstance(raw.get(name), dict):
            yield f"{name} is an object, not a string (formats from 0.5.11 on write it so)"
    covers = raw.get("covers")
    if isinstance(covers, list) and any(isinstance(cover, dict) for cover in covers):
        yield "covers is a list of objects, not of strings (formats from 0.5.11 on write it so)"


PLAIN_STRINGS = Rule("plain-strings", "the model does not load: the parser throws",
                     "read from the parsers of both and run: documentation and covers of the newest format are objects",
                     "write rdf.yaml as format_version 0.5.4 with plain strings", _newest_objects)  # fmt: skip


def _not_float32(inspection: Inspection) -> Iterator[str]:
    for where, tensor in finders.images(inspection):
        if tensor.dtype != "float32":
            yield f"{where} is {tensor.dtype or 'of no type'}, not float32"


FLOAT32 = Rule("float32", "the network is given another type than it expects, or its output is refused",
               "deepImageJ and QuPath feed float32; ilastik takes float32 both ways", "declare and export float32",
               _not_float32)  # fmt: skip


def _empty_clip(operation: Operation, tensor: Tensor) -> str | None:
    del tensor
    low, high = operation.kwargs.get("min"), operation.kwargs.get("max")
    if operation.id == "clip" and isinstance(low, int | float) and isinstance(high, int | float) and not low < high:
        return f"has the min {low:g}, which is not below its max {high:g}"
    return None


CLIP_LIMITS = Rule("clip-limits", "a blank image: every pixel has the same value",
                   "each tool cuts at min and at max, as bioimageio.core's Clip does, and none looks whether min is "
                   "the lower", "a min below the max", finders.operations(_empty_clip))  # fmt: skip


def _shifted_grid(inspection: Inspection) -> Iterator[str]:
    for where, axis, source in finders.output_axes(inspection):
        if axis.type == "space" and source and source.step and axis.halo % source.step:
            yield f"{where}: a halo of {axis.halo} is no multiple of {source.step}"


HALO_OF_STEPS = Rule("halo-multiple-of-step",
                     "a network with strides gives other pixels in each tile: its grid begins a halo before the tile "
                     "does",
                     "JDLL 0.6.1's TileMaker and tiktorch's blocks begin a halo early [run: 21 % of the range off in a "
                     "U-Net of stride 16 with halo 8, 0 with 16]",
                     "a halo that is a multiple of the step, or a step of 1 where the network pads itself",
                     _shifted_grid, "warning")  # fmt: skip


def _odd_outputs(inspection: Inspection) -> Iterator[str]:
    for where, axis, source in finders.output_axes(inspection):
        if axis.reference is not None and source is None:
            yield f"{where} follows {'.'.join(axis.reference)}, which is not there"


def _crossed(inspection: Inspection) -> Iterator[str]:
    for where, axis, source in finders.output_axes(inspection):
        if axis.type == "space" and source and source.letter != axis.letter:
            yield f"{where} takes its size from the input's {source.letter}"


SAME_AXES = Rule("same-axes", "height and width are exchanged on images that are not square",
                 "each tool makes the output as large as the axis that it refers to",
                 "let each output axis refer to the input axis of its own name", _crossed)  # fmt: skip
REFERENCES_EXIST = Rule("references-exist", "the model is refused",
                        "bioimageio.spec and JDLL look the referenced axis up",
                        "refer to an input and an axis by their ids", _odd_outputs)  # fmt: skip


def _parents(inspection: Inspection) -> Iterator[str | Found]:
    weights = inspection.description.weights
    roots = [name for name, entry in weights.items() if entry.parent is None]
    # format 0.4 lets them stand side by side
    if weights and len(roots) != 1 and inspection.description.version >= (0, 5):
        yield f"{len(roots)} weights entries have no parent ({', '.join(roots) or 'none'})"
    for name, entry in weights.items():
        if entry.parent is not None and entry.parent not in weights:
            way_out = "name the entry that it was made from, or leave the parent of the original out"
            yield Found(f"weights.{name} has the parent {entry.parent!r}, which is not there", way_out=way_out)
        elif _is_own_ancestor(name, weights):
            yield f"weights.{name} descends from itself"


def _is_own_ancestor(name: str, weights: Mapping[str, Weights]) -> bool:
    above = weights[name].parent
    for _ in weights:
        if above is None or above not in weights or above == name:
            break
        above = weights[above].parent
    return above == name


ONE_ROOT = Rule("one-parent", "the description is refused",
                "bioimageio.spec: one entry is the original, each other names what it was made from",
                "give every entry but the original a parent", _parents)  # fmt: skip


def _github(inspection: Inspection) -> Iterator[str]:
    for field in ("authors", "maintainers"):
        people = inspection.description.raw.get(field)
        for person in people if isinstance(people, list) else ():
            if isinstance(person, dict) and person.get("github_user"):
                yield f"{field} names the GitHub user {person['github_user']}, which is looked up online"


GITHUB_USER = Rule("github-user", "fails offline, or where the name is unknown",
                   "bioimageio.spec 0.5.12, as a library and on the site", "leave github_user out", _github,
                   "warning")  # fmt: skip


def unlicensed(inspection: Inspection) -> Iterator[str]:
    """Yield that there is no licence, where there is none; what follows from it differs from tool to tool."""
    if inspection.description.raw.get("license") is None:
        yield "there is no license"
