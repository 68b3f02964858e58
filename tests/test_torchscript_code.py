"""A TorchScript archive is judged from its code alone: what each libtorch knows of it, what it would compile."""

import pickle
import zipfile

import engine_packages as tiny
import pytest
import torch
from torch import nn

from bmz_export.engines.fusion import fusion_groups
from bmz_export.engines.torchscript import read_archive, unknown_operators
from training.errors import UserError

VERSIONS = ("1.13.1", "2.0.0", "2.5.1", "2.7.1")


def apart(tensor):
    """An operation that never joins a group."""
    return nn.functional.softmax(tensor, -1)


def product(first, second):
    return apart(first * second)


def each(first, second):
    return apart(first) + apart(second)


class Function(nn.Module):
    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, image):
        return self.function(self, image)


def traced(path, function, **layers):
    return tiny.save_torchscript(Function(function, **layers).eval(), path / "weights.pt")


def rewritten(archive, target, change):
    """Copy an archive with its files passed through ``change(name, data)``."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, change(name, source.read(name)))
    return target


def test_an_ordinary_network_is_known_everywhere(tmp_path):
    weights = tiny.save_torchscript(tiny.network(), tmp_path / "weights.pt")
    assert [unknown_operators(weights, version) for version in VERSIONS] == [[], [], [], []]


def test_newer_operators_are_named_for_the_libraries_that_lack_them(tmp_path):
    weights = traced(tmp_path, lambda self, x: nn.functional.rms_norm(x, (48,)))
    assert [unknown_operators(weights, version) for version in VERSIONS] == [
        ["aten::rms_norm"],
        ["aten::rms_norm"],
        [],
        [],
    ]


def test_a_known_operator_with_a_newer_argument_is_named_with_it(tmp_path):
    weights = traced(tmp_path, lambda self, x: nn.functional.scaled_dot_product_attention(x, x, x, scale=0.5))
    (found,) = unknown_operators(weights, "libtorch-2.0.0")
    assert "aten::scaled_dot_product_attention" in found
    assert "scale" in found
    assert unknown_operators(weights, "2.5.1") == []


def test_an_archive_newer_than_the_library_is_told(tmp_path):
    weights = traced(tmp_path, lambda self, x: x + 1)
    newer = rewritten(weights, tmp_path / "newer.pt", lambda name, data: b"11\n" if name.endswith("/version") else data)
    assert unknown_operators(newer, "1.13.1") == ["archive format 11 (it reads up to 10)"]


def test_a_version_without_a_table_is_an_error(tmp_path):
    weights = traced(tmp_path, lambda self, x: x + 1)
    with pytest.raises(ValueError, match=r"2\.7\.1"):
        unknown_operators(weights, "3.0.0")


DEPTHWISE = nn.Conv2d(4, 4, 3, padding=1, groups=4)
NO_BIAS = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)


@pytest.mark.parametrize(
    ("groups", "function"),
    [
        (0, lambda self, x: torch.sigmoid(x)),
        (1, lambda self, x: torch.relu(x * 2 + 1) / 3),
        (0, lambda self, x: nn.functional.relu_(x * 2).clamp_(0, 5)),
        (0, lambda self, x: torch.relu(apart(x * 2))),
        (2, lambda self, x: torch.relu(apart(torch.relu(x * 2))) * 2),
        (0, lambda self, x: apart(torch.relu(x)) + apart(torch.relu(x))),
        (0, lambda self, x: torch.ops.aten.alias(torch.ops.aten.alias(x * 2) + 1)),
        (1, lambda self, x: torch.relu(self.depthwise(torch.cat([apart(x)] * 4, 1)))),
        (0, lambda self, x: torch.relu(self.no_bias(apart(x.expand(-1, 4, -1, -1))))),
        (1, lambda self, x: product(*apart(torch.cat([x, x], 1)).chunk(2, 1))),
        (0, lambda self, x: each(*torch.relu(apart(torch.cat([x, x], 1))).chunk(2, 1))),
        (0, lambda self, x: apart(torch.unsqueeze(torch.relu(apart(x)), 0))[0]),
        (1, lambda self, x: nn.functional.pad(x * 2, (1, 1, 1, 1), mode="reflect") * 2 + x.sum()),
    ],
)  # each as torch 1.13.1 counts it in torch.jit.last_executed_optimized_graph() after three calls
def test_groups_are_counted_as_the_old_libraries_form_them(tmp_path, groups, function):
    assert fusion_groups(traced(tmp_path, function, depthwise=DEPTHWISE, no_bias=NO_BIAS)) == groups


def test_groups_are_counted_through_submodules(tmp_path):
    block = Function(lambda self, x: apart(torch.relu(x) * 2))
    weights = traced(tmp_path, lambda self, x: self.blocks(x), blocks=nn.Sequential(block, block, block))
    assert fusion_groups(weights) == 3


def test_a_pickle_that_would_run_something_only_loses_its_structure(tmp_path):
    proof = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (open, (str(proof), "w"))

    weights = traced(tmp_path, lambda self, x: torch.relu(x * 2 + 1))
    spoiled = rewritten(
        weights,
        tmp_path / "hostile.pt",
        lambda name, data: pickle.dumps(Hostile()) if name.endswith("data.pkl") else data,
    )
    assert unknown_operators(spoiled, "1.13.1") == []
    assert fusion_groups(spoiled) is None
    assert not proof.exists()


def test_what_is_no_archive_is_one_line(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"nothing")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("readme.txt", "x")
    for name in ("weights.pt", "other.pt", "missing.pt"):
        with pytest.raises(UserError, match=name):
            read_archive(tmp_path / name)
