"""Archives and folders that lack a file, hold another one, or that some tool cannot unpack."""

import stat
import zipfile

import numpy as np
import tifffile

from planted.spoiling import Family, remove

ARCHIVE = Family("archive")
FIJI, QUPATH, ILASTIK, SITE, CORE, BROWSER = (
    "Fiji (deepImageJ)", "QuPath", "ilastik", "BioImage.IO", "bioimageio.core", "browser",
)  # fmt: skip


@ARCHIVE.fault("rdf-at-root", "package/rdf.yaml", tools=(FIJI, QUPATH, ILASTIK, SITE, CORE, BROWSER))
def a_folder_inside_the_zip(package):
    """The zip holds a folder that holds the package"""
    return package.zip(inside="package/")


@ARCHIVE.fault("zip-for-java", "bzip2", tools=(FIJI, QUPATH))
def a_method_that_java_lacks(package):
    """The zip is compressed with bzip2, which Java cannot read"""
    return package.zip(method=zipfile.ZIP_BZIP2)


@ARCHIVE.fault("refused", "leaves the package's folder", refused=True)
def a_path_out_of_the_zip(package):
    """An entry of the zip is called ../canary: unpacked, it lies beside the package"""
    return package.zip_with("../canary", b"here")


@ARCHIVE.fault("refused", "is a link", refused=True)
def a_link_in_the_zip(package):
    """An entry of the zip is a symbolic link to a file of the machine"""
    return package.zip_with("notes.txt", b"/etc/hostname", mode=stat.S_IFLNK | 0o777)


@ARCHIVE.fault("weights-present", "weights.pt is not in the package", tools=(FIJI, QUPATH))
def a_missing_file(package):
    """The TorchScript is named and not there"""
    remove(package / "weights.pt")


LIBRARY = (ILASTIK, SITE, CORE)


@ARCHIVE.fault("files-present", "covers: cover.png is not in the package", tools=LIBRARY)
def a_missing_cover(package):
    """The cover is named and not there"""
    remove(package / "cover.png")


@ARCHIVE.fault("files-present", "attachments: sample_input.tif is not in the package", tools=LIBRARY)
def a_missing_attachment(package):
    """The sample image is named as an attachment and not there"""
    remove(package / "sample_input.tif")


@ARCHIVE.fault("files-present", "documentation: README.md is a folder", tools=LIBRARY)
def a_folder_for_a_file(package):
    """The README is a folder"""
    remove(package / "README.md")
    (package / "README.md").mkdir()


@ARCHIVE.fault("files-present", "environment.yaml is not in the package", tools=LIBRARY)
def a_missing_environment(package):
    """The state dict's environment file is named and not there"""
    with package.rdf() as raw:
        raw["weights"]["pytorch_state_dict"]["dependencies"] = {"source": "environment.yaml"}


@ARCHIVE.fault("files-present", "lies outside the package", tools=LIBRARY)
def a_file_outside(package):
    """An attachment is named that lies beside the package's folder"""
    (package.where / "notes.txt").write_text("here")
    with package.rdf() as raw:
        raw["attachments"].append({"source": "../notes.txt"})


@ARCHIVE.fault("files-inside", "icon: https", tools=LIBRARY, severity="warning", library="it would fetch an address")
def an_address_for_a_file(package):
    """The icon is an address"""
    with package.rdf() as raw:
        raw["icon"] = "https://example.org/icon.png"


@ARCHIVE.fault("hashes", "sample_input.tif has sha256", tools=LIBRARY, stale=True)
def a_wrong_hash_of_an_attachment(package):
    """The sample image is another one than was hashed"""
    with package.rdf() as raw:
        entry = next(each for each in raw["attachments"] if each["source"] == "sample_input.tif")
        entry["sha256"] = "0" * 64


@ARCHIVE.fault("cover", "cover.png cannot be opened", tools=(SITE,), severity="warning")
def a_cover_that_is_no_image(package):
    """The cover is cut off, as after a broken download"""
    package.cut("cover.png", 0.3)


@ARCHIVE.fault("sample-image", "sample_input.tif cannot be opened", tools=(FIJI,), severity="warning")
def a_sample_that_is_no_image(package):
    """The sample image is a text by the name of a TIFF"""
    (package / "sample_input.tif").write_text("no image")


@ARCHIVE.fault("sample-image", "has 3 along c, the input 1", tools=(FIJI,), severity="warning")
def a_sample_in_colour(package):
    """The sample image has three channels, and the network takes one"""
    tifffile.imwrite(package / "sample_input.tif", np.zeros((96, 120, 3), np.uint8), photometric="rgb")


@ARCHIVE.fault("hashes", "weights.onnx has sha256", tools=(ILASTIK, SITE, CORE), stale=True)
def a_wrong_hash(package):
    """The ONNX is another one than was hashed, if only by a name in it"""
    with package.onnx_graph() as model:
        model.producer_name = "somebody else"
