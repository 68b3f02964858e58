"""A TorchScript archive is judged from its text before torch loads it; the rest torch tells in a process of its own."""

import json
import warnings
import zipfile

import pytest
import torch
from helpers import engine_packages as tiny
from helpers.hostile_archives import rewritten
from torch import nn

from bmz_export.inspection.torchscript import ask_torch, graph, read_archive, unknown_operators
from bmz_export.inspection.torchscript.archive import reaching

VERSIONS = ("1.13.1", "2.0.0", "2.5.1", "2.7.1")
F = nn.functional


class Function(nn.Module):
    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, image):
        return self.function(self, image)


def saved(path, function, **layers):
    return tiny.save_torchscript(Function(function, **layers).eval(), path / "weights.pt")


def scripted(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module.eval()).save(str(path / "weights.pt"))
    return path / "weights.pt"


def held(weights):
    """Return what the process that asks torch would answer, without the process."""
    assert read_archive(weights).error is None
    assert read_archive(weights).reaches == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (answer,) = graph.load({"weights": str(weights)})(None)
    return json.loads(bytes(answer))


def unknown(weights, *versions):
    calls = held(weights)["calls"]
    return [unknown_operators(calls, read_archive(weights).format, version) for version in versions or VERSIONS]


# --- what each libtorch knows ----------------------------------------------------------------------------------------


def test_an_ordinary_network_is_known_everywhere(tmp_path):
    assert unknown(tiny.save_torchscript(tiny.network(), tmp_path / "weights.pt")) == [[], [], [], []]


def test_newer_operators_are_named_for_the_libraries_that_lack_them(tmp_path):
    weights = saved(tmp_path, lambda self, x: F.rms_norm(x, (48,)))
    assert unknown(weights) == [["aten::rms_norm"], ["aten::rms_norm"], [], []]


def test_a_known_operator_with_a_newer_argument_is_named_with_it(tmp_path):
    weights = saved(tmp_path, lambda self, x: F.scaled_dot_product_attention(x, x, x, scale=0.5))
    (found,), nothing = unknown(weights, "2.0.0", "2.5.1")
    assert "aten::scaled_dot_product_attention" in found
    assert "scale" in found
    assert nothing == []


class Varied(nn.Module):
    """What Python can be written in a scripted network."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()) for _ in range(2)])
        self.sizes: dict[str, int] = {"a": 2}

    def halves(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = x.chunk(2, dim=-1)
        return first, second

    def forward(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if image.dim() != 4 or image.shape[-1] % 2 == 1:
            raise ValueError(f"torch tensors of four axes, not {image.dim()}\n")
        kept: list[torch.Tensor] = []
        for index, block in enumerate(self.blocks):
            image = block(image)
            if index in self.sizes.values():
                kept.append(image)
        while len(kept) < 3 and not image.requires_grad:
            kept.append(torch.zeros_like(image, dtype=torch.float32) + float(len(kept)))
        first, second = self.halves(torch.stack([each * 2 for each in kept]).mean(0))
        result = torch.cat([first, second], -1)[..., :, 1:]
        return result if mask is None else result * mask.to(result.device)


def test_a_scripted_network_in_all_of_python_is_known_everywhere(tmp_path):
    weights = scripted(tmp_path, Varied())
    assert unknown(weights) == [[], [], [], []]
    assert held(weights)["arguments"] == 1  # what may be left out does not count


class Unused(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image

    @torch.jit.export
    def other(self, image: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(image, [4])


def test_an_operator_in_a_method_that_nobody_calls_counts_as_libtorch_compiles_it(tmp_path):
    assert unknown(scripted(tmp_path, Unused()), "1.13.1") == [["aten::rms_norm"]]


def test_an_archive_newer_than_the_library_is_told(tmp_path):
    weights = saved(tmp_path, lambda self, x: x + 1)
    newer = rewritten(weights, tmp_path / "newer.pt", lambda name, data: b"11\n" if name.endswith("/version") else data)
    told = unknown_operators([], read_archive(newer).format, "1.13.1")
    assert told == ["archive format 11 (it reads up to 10)"]


def test_a_version_without_a_table_is_an_error():
    with pytest.raises(ValueError, match=r"2\.7\.1"):
        unknown_operators([], 10, "3.0.0")


# --- what old versions compile at each new image size ----------------------------------------------------------------


def apart(tensor):
    """An operation that never joins a group."""
    return F.softmax(tensor, -1)


@pytest.mark.parametrize(
    ("groups", "function"),
    [
        (0, lambda self, x: torch.sigmoid(x)),
        (1, lambda self, x: torch.relu(x * 2 + 1) / 3),
        (0, lambda self, x: F.relu_(x * 2).clamp_(0, 5)),
        (0, lambda self, x: torch.relu(apart(x * 2))),
        (2, lambda self, x: torch.relu(apart(torch.relu(x * 2))) * 2),
        (0, lambda self, x: apart(torch.relu(x)) + apart(torch.relu(x))),
        (0, lambda self, x: torch.ops.aten.alias(torch.ops.aten.alias(x * 2) + 1)),
        (1, lambda self, x: F.pad(x * 2, (1, 1, 1, 1), mode="reflect") * 2 + x.sum()),
        (3, lambda self, x: self.blocks(x)),
    ],
)  # each as torch 1.13.1 counts it in torch.jit.last_executed_optimized_graph() after three calls
def test_groups_are_counted_as_the_old_libraries_form_them(tmp_path, groups, function):
    blocks = nn.Sequential(*(Function(lambda self, x: apart(torch.relu(x) * 2)) for _ in range(3)))
    assert held(saved(tmp_path, function, blocks=blocks))["fusion_groups"] == groups


# --- what torch tells besides ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("scaled_dot_product_attention", lambda self, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.2)),
        ("native_batch_norm", lambda self, x: torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)[0]),
        ("rrelu", lambda self, x: F.rrelu(x, training=True)),
        ("rrelu_with_noise", lambda self, x: torch.ops.aten.rrelu_with_noise(x, x.clone(), 0.1, 0.3, True)),
        ("dropout", lambda self, x: F.dropout(x, 0.5, True)),
        ("alpha_dropout", lambda self, x: F.alpha_dropout(x, 0.5, True)),
    ],
)
def test_what_stays_in_training_mode_is_told(tmp_path, name, function):
    assert held(saved(tmp_path, function))["training"] == [name]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("binomial", lambda self, x: torch.binomial(x.ceil(), x)),
        ("rand", lambda self, x: F.fractional_max_pool2d(x, 2, output_size=(3, 3))),
        ("rand_like", lambda self, x: x + torch.rand_like(x)),
        ("normal", lambda self, x: x.clone().normal_()),
        ("exponential", lambda self, x: F.gumbel_softmax(x)),
        ("bernoulli", lambda self, x: torch.bernoulli(x)),
    ],
)
def test_what_draws_random_numbers_is_told(tmp_path, name, function):
    assert held(saved(tmp_path, function))["random"] == [name]


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: F.scaled_dot_product_attention(x, x, x),
        lambda self, x: F.dropout(x, 0.5, False),
        lambda self, x: F.rrelu(x),
        lambda self, x: self.batch(self.instance(x)),
        lambda self, x: torch.linalg.norm(x, dim=1),
    ],
)
def test_what_is_the_same_each_time_is_not(tmp_path, function):
    layers = {"batch": nn.BatchNorm2d(1), "instance": nn.InstanceNorm2d(1)}
    told = held(saved(tmp_path, function, **layers))
    assert (told["training"], told["random"]) == ([], [])


def test_a_scripted_dropout_trains_where_the_archive_was_saved_in_training_mode(tmp_path):
    weights = scripted(tmp_path, nn.Sequential(nn.Dropout(0.1)))
    assert held(weights)["training"] == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Sequential(nn.Dropout(0.1)).train()).save(str(weights))
    assert held(weights)["training"] == ["dropout"]


def test_the_devices_in_the_code_are_told(tmp_path):
    assert held(saved(tmp_path, lambda self, x: x + torch.ones(48, device="cpu")))["devices"] == ["cpu"]


def test_torch_is_asked_in_another_process(tmp_path):
    told = ask_torch(saved(tmp_path, lambda self, x: (x, torch.relu(x * 2))))
    assert (told.error, told.arguments, told.fusion_groups) == (None, 1, 1)
    assert told.returns == "Tuple[Tensor, Tensor]"
    assert ("aten::mul", 2, ()) in told.calls


def test_an_archive_that_torch_does_not_load_is_one_line(tmp_path):
    _, weights = coded(tmp_path, ["image = torch.no_such_operator(image)"])
    told = ask_torch(weights)
    assert "torch does not load it" in told.error
    assert len(told.error.splitlines()) == 1
    assert told.fusion_groups is None


# --- what is not loaded ----------------------------------------------------------------------------------------------


def coded(path, statements):
    """Return what an archive whose ``forward`` begins with these statements shows, and its file."""

    def change(name, data):
        head, mark, tail = data.decode(errors="replace").partition(") -> Tensor:\n")
        body = "".join(f"    {line}\n" for line in statements)
        return f"{head}{mark}{body}{tail}".encode() if name.endswith(".py") and mark else data

    weights = rewritten(saved(path, lambda self, image: image + 1), path / "coded.pt", change)
    return read_archive(weights), weights


DISGUISES = {
    "plainly": ["torch.save(image, FILE)"],
    "in its namespace": ["ops.aten.save(image, FILE)"],
    "with spaces": ["torch . save(image, FILE)"],
    "in brackets": ["(torch).save(image, FILE)"],
    "over two lines": ["torch.\\", "    save(image, FILE)"],
    "under another name": ["f = torch.save", "f(image, FILE)"],
    "with torch under another name": ["t = torch", "t.save(image, FILE)"],
    "with the namespace under another name": ["o = ops.aten", "o.save(image, FILE)"],
    "through getattr": ['getattr(torch, "save")(image, FILE)'],
    "through getattr in letters by number": ['getattr(torch, "\\163ave")(image, FILE)'],
    "through getattr in two parts": ['getattr(torch, "sa" "ve")(image, FILE)'],
    "through getattr on the namespace": ['getattr(ops.aten, "save")(image, FILE)'],
    "through autograd": ["torch.autograd.save(image, FILE)"],
    "through autograd twice": ["torch.autograd.autograd.save(image, FILE)"],
    "beside a name that Python keeps for itself": ["async = image", "torch.save(async, FILE)"],
    "under a name that Python keeps for itself": ["lambda = torch.save", "lambda(image, FILE)"],
    "beside a number that Python refuses": ["x = 007", "torch.save(image, FILE)"],
    "between texts in single quotes": ["x = '\"'", "torch.save(image, FILE)", "x = '\"'"],
    "between texts in three quotes": ['x = """a" """', "torch.save(image, FILE)", 'x = """ "b"""'],
}


@pytest.mark.parametrize("way", DISGUISES)
def test_code_that_writes_a_file_is_told_however_it_is_written(tmp_path, way):
    target = tmp_path / "written"
    shown, weights = coded(tmp_path, [line.replace("FILE", f'"{target}"') for line in DISGUISES[way]])
    assert shown.reaches
    assert not target.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(weights)(torch.zeros(2, 1, 40, 48))  # what is told is what would happen
    assert target.exists()


@pytest.mark.parametrize(
    "code",
    [
        "ops.c10d.broadcast_(image)",
        "ops.torchvision.nms(a, b, 0.5)",
        "ops.aten.from_file(name)",
        "def f(x: __torch__.torch.classes.rpc.Agent) -> int:",
        "x = 'torch.save'",
        'x = "torch',
    ],
)
def test_what_reaches_other_libraries_or_cannot_be_followed_is_told(code):
    assert list(reaching(code))


@pytest.mark.parametrize(
    "code",
    [
        "image = torch.add(image, 1)  # torch.save",
        'ops.prim.RaiseException("a torch.save(x) of \\"ops\\"\\n", "builtins.ValueError")',
        "def load(self: __torch__.torch.nn.modules.conv.Conv2d, save: Tensor) -> Tensor:",
        "return (self.load).save(image)",
        'x = getattr(self, "0")',
        "packed : __torch__.torch.classes.quantized.Conv2dPackedParamsBase",
    ],
)
def test_what_only_looks_like_it_is_not(code):
    assert list(reaching(code)) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("code", ["\\'''" * 2**20, '\\"' * 2**21, "torch . " * 2**19, "torch" + ".autograd" * 2**18])
def test_long_code_without_sense_is_read_soon(code):
    assert list(reaching(code))


def test_what_is_no_archive_is_one_line(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"nothing")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("readme.txt", "x")
    for name in ("weights.pt", "other.pt", "missing.pt"):
        error = read_archive(tmp_path / name).error
        assert error
        assert len(error.splitlines()) == 1


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
    assert "twice" in read_archive(twice(weights, tmp_path / "twice.pt", name)).error


def test_an_archive_behind_something_else_is_an_error(tmp_path):
    weights = saved(tmp_path, lambda self, image: image + 1)
    (tmp_path / "behind.pt").write_bytes(b"0000PTMF" + weights.read_bytes())
    assert "before the zip" in read_archive(tmp_path / "behind.pt").error
