"""Packages that would run code, read the machine's files or exhaust it. Each canary is a file that must not appear."""

import copy
import pickle
import zipfile

import numpy as np
import onnx
from helpers.hostile_archives import writing_archive

from planted.spoiling import Family

HOSTILE = Family("hostile")
FIJI, QUPATH, ILASTIK, SITE, CORE, BROWSER = (
    "Fiji (deepImageJ)", "QuPath", "ilastik", "BioImage.IO", "bioimageio.core", "browser",
)  # fmt: skip


class _Touch:
    """Unpickled, creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@HOSTILE.fault("state-dict-safe", r"would call (io|builtins|_io)\.open", tools=(SITE, CORE))
def a_state_dict_that_runs(package):
    """Unpickling the state dict would call a function of its author's choice"""
    with package.state_dict() as tensors:
        tensors["notes"] = _Touch(package.canary)


@HOSTILE.fault("state-dict-safe", r"would call (io|builtins|_io)\.open", tools=(SITE, CORE))
def a_bare_pickle_that_runs(package):
    """The state dict is a bare pickle that would call a function of its author's choice"""
    with (package / "weights.pth").open("wb") as stream:
        pickle.dump({"notes": _Touch(package.canary)}, stream)


@HOSTILE.fault("torchscript-stays-inside", "save", tools=(FIJI, QUPATH, ILASTIK), engines=("torch",))
def a_torchscript_that_writes_when_loaded(package):
    """The TorchScript writes a file in its __setstate__, which libtorch runs as soon as it loads it"""
    writing_archive(package / "weights.pt", package.canary)


@HOSTILE.fault("test-tensors", "pickled Python objects", tools=(FIJI, QUPATH, ILASTIK, SITE, CORE))
def a_test_tensor_that_runs(package):
    """The test input is an array of pickled objects, which would run when read"""
    np.save(package / "test_input.npy", np.array([_Touch(package.canary)], dtype=object), allow_pickle=True)


@HOSTILE.fault(
    "no-code-at-import", "would run at import: open", tools=(SITE, CORE), severity="warning", engines=("torch",)
)
def an_architecture_that_acts(package):
    """The architecture file creates a file when it is imported"""
    path = package / "architecture.py"
    path.write_text(path.read_text() + f"\n\nopen({str(package.canary)!r}, 'w').close()\n")


@HOSTILE.fault("no-code-at-import", "would run at import", tools=(SITE, CORE), severity="warning", engines=("torch",))
def an_architecture_that_acts_in_disguise(package):
    """The architecture file acts in the default of an argument, by a name that it looked up"""
    path = package / "architecture.py"
    trick = f"(lambda make: make({str(package.canary)!r}, 'w'))(torch.serialization.__dict__['__builtins__']['open'])"
    path.write_text(path.read_text() + f"\n\ndef helper(notes={trick}):\n    return notes\n")


@HOSTILE.fault("onnx-one-file", "a file outside the package", tools=(FIJI, BROWSER), engines=("onnxruntime",))
def an_onnx_that_reads_elsewhere(package):
    """The ONNX names a file outside the package as its weights: whatever lies there becomes pixels"""
    model = onnx.load(package / "weights.onnx")
    onnx.save(
        model, package / "weights.onnx", save_as_external_data=True, location="secret", size_threshold=0
    )  # fmt: skip
    (package / "secret").rename(package.where / "secret")
    with package.onnx_graph() as model:
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = "../secret"


@HOSTILE.fault("refused", "aliases multiply", refused=True, library="it would exhaust the machine")
def a_description_that_explodes(package):
    """The description's aliases multiply to a billion values"""
    laughs = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    laughs += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    path = package / "rdf.yaml"
    path.write_text(path.read_text() + "config:\n" + "".join(f"  {line}\n" for line in laughs))
    return package.folder


@HOSTILE.fault("refused", "absurd", refused=True, library="it would fill the disk")
def an_archive_that_explodes(package):
    """The zip unpacks to 8 GiB of zeros: its entries share one stretch of the file"""
    target = package.zip()
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("zeros_0", bytes(2**27))
        for index in range(1, 64):
            twin = copy.copy(archive.getinfo("zeros_0"))
            twin.filename = f"zeros_{index}"
            archive.filelist.append(twin)
    return target
