"""Files of a package are read and never run; whatever is wrong with one is its error, and none exhausts the machine."""

import os
import pickle
import struct
import warnings
import zipfile

import numpy as np
import onnx
import pytest
import torch
from helpers import small_package as small
from helpers.command_line import bmz_fmd
from helpers.hostile_archives import writing_archive
from onnx import TensorProto, helper, numpy_helper

from bmz_export.checking.runner import CheckOptions, Runner
from bmz_export.inspection import Inspection, pickles
from bmz_export.inspection.onnx_file import read_onnx
from bmz_export.inspection.pickles import read_pickle
from bmz_export.inspection.safety import hostile
from bmz_export.inspection.tensors import MAX_VALUES, read_tensor
from bmz_export.inspection.torchscript import read_archive
from bmz_export.package.archive import open_package
from bmz_export.package.external_data import refuse_outside_data


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return small.small_package(tmp_path_factory.mktemp("inspection") / "package")


# --- pickles ---------------------------------------------------------------------------------------------------------


class Touch:
    """Unpickled, makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def legacy(thing):
    """A file as torch before 1.6 wrote it."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {}, thing, []]
    return b"".join(pickle.dumps(part, 2) for part in parts)


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def write(path, named):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice, which is the point
        for name, data in named:
            archive.writestr(name, data)


def behind_another(path, evil):
    path.write_bytes(legacy(evil) + path.read_bytes())


def beside_another(name):
    def spoil(path, evil):
        named = entries(path)
        folder = named[0][0].partition("/")[0]
        write(path, [(f"{folder}/{name}", pickle.dumps(evil, 2)), *named])

    return spoil


def before_another_end(path, evil):
    """Two lists of entries: Python takes the one before the end, torch's reader the one that the end names."""
    honest = path.read_bytes()
    write(path, [(name, pickle.dumps(evil, 2) if name.endswith("data.pkl") else data) for name, data in entries(path)])
    evil_archive = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    end = bytearray(honest[-22:])
    end[16:20] = struct.pack("<I", start)
    path.write_bytes(evil_archive + honest[:-22] + bytes(end))


TRICKS = {
    "an evil file before an honest zip": behind_another,
    "an evil entry of the same name": beside_another("data.pkl"),
    "an evil entry of the same name in capitals": beside_another("DATA.PKL"),
    "an end that points elsewhere": before_another_end,
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_state_dict_with_two_faces_is_not_read(package, tmp_path, trick):
    folder = small.copy(package, tmp_path / "package")
    TRICKS[trick](folder / "weights.pth", {"a": Touch(tmp_path / "canary")})
    shown = read_pickle(folder / "weights.pth")
    assert shown.error or any("mkdir" in call for call in shown.calls)
    with open_package(folder) as opened:
        assert "state dict" in hostile(Inspection(opened), "pytorch_state_dict")
    assert not (tmp_path / "canary").exists()


def test_the_evil_file_before_an_honest_zip_would_run(package, tmp_path):
    """Torch looks at the first bytes, zip readers at the last: what is told is what would happen."""
    folder = small.copy(package, tmp_path / "package")
    behind_another(folder / "weights.pth", {"a": Touch(tmp_path / "canary")})
    torch.load(folder / "weights.pth", weights_only=False)
    assert (tmp_path / "canary").exists()


def test_what_is_called_safe_is_what_torch_calls_safe():
    from torch import _weights_only_unpickler as torch_reader

    allowed = torch_reader._get_allowed_globals()
    modules = {
        name: __import__(name, fromlist=["_"])
        for name in ("torch", "torch._utils", "torch.storage", "torch.cuda", "torch.nn.parameter", "torch._tensor",
                     "torch.serialization", "collections", "builtins", "_codecs")
    }  # fmt: skip
    safe = [f"{module}.{name}" for module, held in modules.items() for name in dir(held)
            if pickles._SAFE.fullmatch(f"{module} {name}")]  # fmt: skip
    assert len(safe) > 60
    assert [name for name in safe if name not in allowed] == []


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_an_ordinary_state_dict_is_safe(tmp_path, old):
    tensors = {
        "weight": torch.nn.Parameter(torch.rand(3, 3)),
        "half": torch.rand(3).half(),
        "count": torch.tensor(3),
        "complex": torch.rand(2).to(torch.complex64),
        "list": [torch.Size([1, 2]), torch.float32],
    }
    torch.save(tensors, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    shown = read_pickle(tmp_path / "a.pth")
    assert (shown.layout, shown.calls, shown.error) == ("legacy" if old else "zip", frozenset(), None)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("layout", ["zip", "legacy", "bare"])
def test_what_a_pickle_would_call_is_named_in_any_protocol(tmp_path, protocol, layout):
    evil = {"one": Touch(tmp_path / "canary"), "same again": Touch(tmp_path / "canary")}
    path = tmp_path / "a.pth"
    if layout == "bare":
        path.write_bytes(pickle.dumps(evil, protocol))
    else:
        torch.save(evil, path, pickle_protocol=protocol, _use_new_zipfile_serialization=layout == "zip")
    assert any("mkdir" in call for call in read_pickle(path).calls) or read_pickle(path).error
    assert protocol < 2 or any("mkdir" in call for call in read_pickle(path).calls)
    assert not (tmp_path / "canary").exists()


def test_a_torchscript_archive_in_the_place_of_a_state_dict_is_not_loaded(package, tmp_path):
    folder = small.copy(package, tmp_path / "package")
    writing_archive(folder / "weights.pth", tmp_path / "canary")
    with open_package(folder) as opened:
        assert "TorchScript" in hostile(Inspection(opened), "pytorch_state_dict")
    assert not (tmp_path / "canary").exists()


def corrupt(method):
    def spoil(path):
        named = entries(path)
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in named:
                archive.writestr(name, data)
            (place,) = [entry.header_offset for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
        data = bytearray(path.read_bytes())
        start = place + 30 + data[place + 26] + data[place + 28] + 6
        data[start : start + 30] = bytes(each ^ 0xFF for each in data[start : start + 30])
        path.write_bytes(data)

    return spoil


def encrypt(path):
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = -1
        while (place := data.find(mark, place + 1)) >= 0:
            data[place + flags] |= 1
    path.write_bytes(data)


DAMAGE = {
    "deflate": corrupt(zipfile.ZIP_DEFLATED),
    "bzip2": corrupt(zipfile.ZIP_BZIP2),
    "lzma": corrupt(zipfile.ZIP_LZMA),
    "encryption": encrypt,
    "nothing in it": lambda path: path.write_bytes(b""),
    "an empty zip": lambda path: write(path, []),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("name", "read"), [("weights.pth", read_pickle), ("weights.pt", read_archive)])
def test_damage_is_an_error(package, tmp_path, name, read, damage):
    folder = small.copy(package, tmp_path / "package")
    DAMAGE[damage](folder / name)
    assert read(folder / name).error


# --- exhaustion ------------------------------------------------------------------------------------------------------


def swapped(path, ending, data):
    named = [(name, content) for name, content in entries(path) if not name.endswith(ending)]
    folder = named[0][0].partition("/")[0]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in named:
            archive.writestr(name, content)
        archive.writestr(zipfile.ZipInfo(f"{folder}/{ending}"), data, zipfile.ZIP_DEFLATED)


BOMBS = {
    "many opcodes": ("weights.pth", "data.pkl", b"\x80\x02" + b"N0" * 2**20 + b"N.", read_pickle),
    "much pickle": ("weights.pth", "more.pkl", b"\x80\x02N0" * 2**21, read_pickle),
    "much code": ("weights.pt", "code/more.py", b"x=1\n" * 2**21, read_archive),
    "many objects": ("weights.pt", "data.pkl", b"\x80\x02" + b"}" * 2**22 + b".", read_archive),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.timeout(120)
def test_a_small_file_that_takes_much_to_read_is_an_error_soon(package, tmp_path, bomb):
    name, ending, data, read = BOMBS[bomb]
    folder = small.copy(package, tmp_path / "package")
    swapped(folder / name, ending, data)
    assert read(folder / name).error


# --- test tensors ----------------------------------------------------------------------------------------------------


def header(path, shape, descr="<f4", data=b""):
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
        stream.write(data)


@pytest.mark.parametrize(
    ("shape", "descr", "data", "words"),
    [
        ((-1, -6), "<f4", bytes(24), "its shape"),
        ((0, 3), "<f4", b"", "its shape"),
        ((1, 1, 2**13, 2**13), "|u1", b"", "its shape .* holds 67,108,864 values"),
        ((10**400,), "<f4", b"", "."),
        ((1, 1, 8, 8), "|V0", b"", "no real numbers"),
        ((2,), "<U4", bytes(32), "no real numbers"),
        ((2,), "|S4", bytes(8), "no real numbers"),
        ((2,), "<c8", bytes(16), "no real numbers"),
        ((2,), "<M8[s]", bytes(16), "no real numbers"),
        ((2,), [("a", "<f4")], bytes(8), "no real numbers"),
        ((2,), "|O", b"", "pickled Python objects"),
        ((2, 2), "<f4", bytes(3), "its header says"),
    ],
)
def test_a_test_tensor_that_is_none_is_an_error(tmp_path, shape, descr, data, words):
    header(tmp_path / "a.npy", shape, descr, data)
    shown = read_tensor(tmp_path / "a.npy")
    assert shown.array is None
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(shown.error)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int16", "bool", ">f4"])
def test_a_test_tensor_of_numbers_is_read(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.ones((1, 1, 5, 7), dtype))
    assert read_tensor(tmp_path / "a.npy").array.shape == (1, 1, 5, 7)
    assert MAX_VALUES > 4096 * 4096  # of a large camera


# --- ONNX ------------------------------------------------------------------------------------------------------------


def outside(name):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", "4")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def sparse(name="leak"):
    indices = numpy_helper.from_array(np.array([0], np.int64), f"{name}_index")
    found = onnx.SparseTensorProto(dims=[1], indices=indices)
    found.values.CopyFrom(outside(name))
    return found


def in_a_function(model):
    node = helper.make_node("Constant", [], ["y"], value=outside("leak"))
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Leak", [], ["y"], [node], imports))


def in_a_branch(model):
    node = helper.make_node("Constant", [], ["y"], value=outside("leak"))
    graph = helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=graph))


HIDDEN = {
    "an initializer": lambda model: model.graph.initializer.append(outside("leak")),
    "a sparse initializer": lambda model: model.graph.sparse_initializer.append(sparse()),
    "a constant": lambda model: model.graph.node.append(helper.make_node("Constant", [], ["y"], value=outside("leak"))),
    "a sparse constant": lambda model: model.graph.node.append(
        helper.make_node("Constant", [], ["y"], sparse_value=sparse())
    ),
    "a list of sparse tensors": lambda model: model.graph.node.append(
        helper.make_node("Any", [], ["y"], them=[sparse("a"), sparse("b")])
    ),
    "a function": in_a_function,
    "a branch": in_a_branch,
    "a training graph": lambda model: model.training_info.add().initialization.initializer.append(outside("leak")),
}


@pytest.mark.parametrize("place", HIDDEN)
def test_weights_outside_the_file_are_found_wherever_they_hide(package, tmp_path, place):
    folder = small.copy(package, tmp_path / "package")
    model = onnx.load(folder / "weights.onnx")
    HIDDEN[place](model)
    (folder / "weights.onnx").write_bytes(model.SerializeToString())
    assert read_onnx(folder / "weights.onnx").external == ("../secret",)
    with pytest.raises(ValueError, match=r"outside the package: \.\./secret"):
        refuse_outside_data(folder / "weights.onnx")
    with open_package(folder) as opened:
        assert "names other files" in hostile(Inspection(opened), "onnx")


def test_an_onnx_is_read_by_its_content_as_runtimes_do(package, tmp_path):
    model = onnx.load(package / "weights.onnx")
    model.graph.initializer.append(outside("leak"))
    (tmp_path / "weights.textproto").write_bytes(model.SerializeToString())
    assert read_onnx(tmp_path / "weights.textproto").external == ("../secret",)


@pytest.mark.parametrize("data", [b"", b"no graph", b"\x18\0\0\0ORTM" + bytes(64), b"\xff" * 100])
def test_an_onnx_that_cannot_be_read_is_not_run(package, tmp_path, data):
    folder = small.copy(package, tmp_path / "package")
    (folder / "weights.onnx").write_bytes(data)
    with open_package(folder) as opened:
        assert "cannot be read" in hostile(Inspection(opened), "onnx")


@pytest.mark.parametrize("file", ["weights.onnx", "test_input.npy"])
def test_the_page_for_a_person_loads_nothing_that_was_not_judged(package, tmp_path, file):
    folder = small.copy(package, tmp_path / "package")
    if file == "test_input.npy":
        np.save(folder / file, np.array([print]), allow_pickle=True)
    else:
        (folder / file).write_bytes(b"no graph")
    ended = bmz_fmd("engines", "view", folder, folder / "sample_input.tif", "--screenshot", tmp_path / "page.png")
    assert ended.code == 2 and "not loaded: " in ended.message


# --- the judgement ---------------------------------------------------------------------------------------------------


def test_a_sound_package_may_be_run(package):
    with open_package(package) as opened:
        runner = Runner(Inspection(opened), CheckOptions(), print)
        formats = ("pytorch_state_dict", "torchscript", "onnx")
        assert [runner.unsafe(name, processing=True) for name in formats] == [None, None, None]


def test_a_check_asks_the_same_judgement(package, tmp_path):
    folder = small.copy(package, tmp_path / "package")
    writing_archive(folder / "weights.pt", tmp_path / "canary")
    with open_package(folder) as opened:
        inspection = Inspection(opened)
        runner = Runner(inspection, CheckOptions(), print)
        assert runner.unsafe("torchscript", processing=False) == hostile(inspection, "torchscript")
        assert "reaches files" in hostile(inspection, "torchscript")
        assert "torch.save" in hostile(inspection, "torchscript")
        assert "not loaded" in inspection.torchscript.error
    assert not (tmp_path / "canary").exists()
