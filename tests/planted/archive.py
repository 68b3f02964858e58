"""Archives and folders that lack a file, hold another one, or that some tool cannot unpack."""

import stat
import zipfile

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


@ARCHIVE.fault("hashes", "weights.onnx has sha256", tools=(ILASTIK, SITE, CORE), stale=True)
def a_wrong_hash(package):
    """The ONNX is another one than was hashed, if only by a name in it"""
    with package.onnx_graph() as model:
        model.producer_name = "somebody else"
