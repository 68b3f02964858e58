"""A TorchScript archive is judged from its code alone: what each libtorch knows of it, what it would compile."""

import pickle
import warnings
import zipfile

import pytest
import torch
from helpers import engine_packages as tiny
from torch import nn

from bmz_export.inspection.torchscript import fusion_groups, read_torchscript, unknown_operators
from bmz_export.inspection.torchscript.archive import read_archive

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
    return read_archive(saved(path, function, **layers))


def saved(path, function, **layers):
    return tiny.save_torchscript(Function(function, **layers).eval(), path / "weights.pt")


def rewritten(archive, target, change):
    """Copy an archive with its files passed through ``change(name, data)``."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, change(name, source.read(name)))
    return target


def test_an_ordinary_network_is_known_everywhere(tmp_path):
    weights = read_archive(tiny.save_torchscript(tiny.network(), tmp_path / "weights.pt"))
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
    weights = saved(tmp_path, lambda self, x: x + 1)
    newer = rewritten(weights, tmp_path / "newer.pt", lambda name, data: b"11\n" if name.endswith("/version") else data)
    assert unknown_operators(read_archive(newer), "1.13.1") == ["archive format 11 (it reads up to 10)"]


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

    weights = saved(tmp_path, lambda self, x: torch.relu(x * 2 + 1))
    spoiled = rewritten(
        weights,
        tmp_path / "hostile.pt",
        lambda name, data: pickle.dumps(Hostile()) if name.endswith("data.pkl") else data,
    )
    archive = read_archive(spoiled)
    assert unknown_operators(archive, "1.13.1") == []
    assert fusion_groups(archive) is None
    assert not proof.exists()


def test_what_is_no_archive_is_one_line(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"nothing")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("readme.txt", "x")
    for name in ("weights.pt", "other.pt", "missing.pt"):
        error = read_torchscript(tmp_path / name).error
        assert error
        assert len(error.splitlines()) == 1


def coded(path, statements):
    """Return the facts of an archive whose ``forward`` begins with these statements, and its file."""

    def change(name, data):
        head, mark, tail = data.decode(errors="replace").partition(") -> Tensor:\n")
        body = "".join(f"    {line}\n" for line in statements)
        return f"{head}{mark}{body}{tail}".encode() if name.endswith(".py") and mark else data

    weights = rewritten(saved(path, lambda self, image: image + 1), path / "coded.pt", change)
    return read_torchscript(weights), weights


def loaded(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(weights)


DISGUISES = {
    "plainly": ["torch.save(image, FILE)"],
    "in its namespace": ["ops.aten.save(image, FILE)"],
    "with spaces": ["torch . save(image, FILE)"],
    "under another name": ["f = torch.save", "f(image, FILE)"],
    "with torch under another name": ["t = torch", "t.save(image, FILE)"],
    "with the namespace under another name": ["o = ops.aten", "o.save(image, FILE)"],
    "through getattr": ['getattr(torch, "save")(image, FILE)'],
    "through getattr on the namespace": ['getattr(ops.aten, "save")(image, FILE)'],
    "through autograd": ["torch.autograd.save(image, FILE)"],
    "beside a name that Python keeps for itself": ["async = image", "torch.save(async, FILE)"],
    "under a name that Python keeps for itself": ["lambda = torch.save", "lambda(image, FILE)"],
    "beside a number that Python refuses": ["x = 007", "torch.save(image, FILE)"],
}


@pytest.mark.parametrize("way", DISGUISES)
def test_code_that_writes_a_file_is_told_however_it_is_written(tmp_path, way):
    target = tmp_path / "written"
    facts, weights = coded(tmp_path, [line.replace("FILE", f'"{target}"') for line in DISGUISES[way]])
    assert facts.reaches
    assert not target.exists()
    loaded(weights)(torch.zeros(2, 1, 40, 48))  # what is told is what would happen
    assert target.exists()


@pytest.mark.parametrize("word", ["async", "await", "except", "finally", "from", "lambda", "nonlocal", "try", "yield"])
def test_a_name_that_python_keeps_for_itself_is_read(tmp_path, word):
    facts, weights = coded(tmp_path, [f"{word} = torch.rms_norm(image, [48])  # {word}", f'print("{word} {word}")'])
    loaded(weights)
    assert facts.error is None
    assert facts.reaches == ()
    assert facts.returns == "Tensor"
    assert unknown_operators(facts.archive, "1.13.1") == ["aten::rms_norm"]


def test_an_attribute_that_python_keeps_for_itself_is_followed(tmp_path):
    layers = {"try": nn.Sequential(nn.ReLU(), nn.Sigmoid())}
    assert fusion_groups(traced(tmp_path, lambda self, x: getattr(self, "try")(x * 2), **layers)) == 1


def test_code_that_cannot_be_parsed_is_an_error(tmp_path):
    facts, _ = coded(tmp_path, ["x = 007"])
    assert "cannot be parsed" in facts.error
    assert facts.reaches == ()


def twice(source, target, name):
    """Copy an archive with its code once more under another name, which writes a file."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        for each in archive.namelist():
            copy.writestr(each, archive.read(each))
            if each.endswith(".py"):
                copy.writestr(name(each), archive.read(each).replace(b"return", b'torch.save(1, "x")\n    return'))
    return target


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", [lambda each: each.replace("code/", "CODE/"), lambda each: each], ids=["case", "same"])
def test_two_entries_that_libtorch_may_take_for_one_another_are_an_error(tmp_path, name):
    weights = saved(tmp_path, lambda self, image: image + 1)
    assert "twice" in read_torchscript(twice(weights, tmp_path / "twice.pt", name)).error


def test_an_archive_behind_something_else_is_an_error(tmp_path):
    weights = saved(tmp_path, lambda self, image: image + 1)
    (tmp_path / "behind.pt").write_bytes(b"0000PTMF" + weights.read_bytes())
    assert "before the zip" in read_torchscript(tmp_path / "behind.pt").error


@pytest.mark.timeout(120)
def test_code_that_would_take_for_ever_to_follow_is_given_up(tmp_path):
    endless = "".join(
        f"  def f{i}(self, x: Tensor) -> Tensor:\n    return self.f{i + 1}(self.f{i + 1}(x))\n" for i in range(60)
    )
    facts, weights = coded(tmp_path, ["image = self.f0(image)"])

    def add(name, data):
        return (
            data + f"{endless}  def f60(self, x: Tensor) -> Tensor:\n    return x\n".encode()
            if name.endswith(".py")
            else data
        )

    assert facts.error is None
    assert fusion_groups(read_archive(rewritten(weights, tmp_path / "endless.pt", add))) is None
