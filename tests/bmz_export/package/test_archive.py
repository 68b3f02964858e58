"""A package is opened without trusting anything in it, and its zip is the same each time it is written."""

import os
import stat
import struct
import zipfile

import pytest

from bmz_export.package import archive
from bmz_export.package.archive import open_package, write_zip
from training.errors import UserError

RDF = "type: model\nformat_version: 0.5.4\nname: x\n"


def make_zip(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return path


def kinds(package):
    return {problem.kind for problem in package.problems}


def test_a_folder_is_read_where_it_stands(tmp_path):
    (tmp_path / "rdf.yaml").write_text(RDF)
    (tmp_path / "weights.pt").write_bytes(b"w")
    with open_package(tmp_path) as package:
        assert package.folder == tmp_path
        assert package.file("weights.pt") == tmp_path / "weights.pt"
        assert package.file("./weights.pt".removeprefix("./")) is not None


def test_the_description_itself_may_be_named(tmp_path):
    (tmp_path / "rdf.yaml").write_text(RDF)
    with open_package(tmp_path / "rdf.yaml") as package:
        assert package.path == tmp_path


def test_a_zip_is_unpacked_into_a_temporary_folder_that_goes_away(tmp_path):
    path = make_zip(tmp_path / "p.zip", {"rdf.yaml": RDF, "a/b.txt": "b"})
    before = sorted(tmp_path.iterdir())
    with open_package(path) as package:
        folder = package.folder
        assert (folder / "a" / "b.txt").read_text() == "b"
    assert not folder.exists()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "C:\\evil", "a\\b", "\\\\server\\x"])
def test_paths_that_leave_the_package_are_refused(tmp_path, name):
    path = make_zip(tmp_path / "p.zip", {"rdf.yaml": RDF, name: "x"})
    with pytest.raises(UserError, match=r"leaves the package.s folder|backslash"), open_package(path):
        pass
    assert not (tmp_path / "evil").exists()


def test_links_in_a_zip_are_refused(tmp_path):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("rdf.yaml", RDF)
        entry = zipfile.ZipInfo("link")
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(entry, "/etc/passwd")
    with pytest.raises(UserError, match="link"), open_package(path):
        pass


def test_links_that_leave_a_folder_are_refused_and_others_are_not(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "rdf.yaml").write_text(RDF)
    (folder / "inside").symlink_to("rdf.yaml")
    with open_package(folder):
        pass
    (tmp_path / "secret").write_text("s")
    (folder / "outside").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="link that leaves"), open_package(folder):
        pass


def test_a_file_outside_is_not_handed_out(tmp_path):
    (tmp_path / "secret").write_text("s")
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "rdf.yaml").write_text(RDF)
    with open_package(folder) as package:
        for name in ("../secret", str(tmp_path / "secret"), "https://example.org/x", "", "rdf.yaml\0", "..\\secret"):
            assert package.file(name) is None


def test_entries_that_are_there_twice_are_refused(tmp_path):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as made, pytest.warns(UserWarning, match="Duplicate"):
        made.writestr("rdf.yaml", RDF)
        made.writestr("rdf.yaml", RDF)
    with pytest.raises(UserError, match="twice"), open_package(path):
        pass


def test_an_archive_that_explodes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "BOMB_SIZE", 2**20)
    path = make_zip(tmp_path / "p.zip", {"rdf.yaml": RDF, "zeros": bytes(2**22)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="absurd"), open_package(path):
        pass


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path):
    path = make_zip(tmp_path / "p.zip", {"rdf.yaml": RDF, "zeros": bytes(2**16)}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    with pytest.raises(UserError, match="no honest archive"), open_package(path):
        pass


def test_an_encrypted_entry_is_refused(tmp_path):
    path = make_zip(tmp_path / "p.zip", {"rdf.yaml": RDF})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="encrypted"), open_package(path):
        pass


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a zip"), (b"hello", "not a zip"), (b"PK\x03\x04" + bytes(60), "not a zip")],
)
def test_what_is_no_zip_is_refused(tmp_path, content, words):
    (tmp_path / "p.zip").write_bytes(content)
    with pytest.raises(UserError, match=words), open_package(tmp_path / "p.zip"):
        pass


def test_a_truncated_zip_is_refused(tmp_path):
    path = make_zip(tmp_path / "p.zip", {"rdf.yaml": RDF, "w": os.urandom(5000)})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="not a zip"), open_package(path):
        pass


def test_no_description_is_no_package(tmp_path):
    with pytest.raises(UserError, match="no such package"), open_package(tmp_path / "nothing"):
        pass
    with pytest.raises(UserError, match=r"no rdf\.yaml"), open_package(tmp_path):
        pass
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "rdf.yaml").write_text(RDF)
    with pytest.raises(UserError, match="inner has one"), open_package(tmp_path):
        pass
    with pytest.raises(UserError, match=r"no rdf\.yaml"), open_package(make_zip(tmp_path / "p.zip", {"a": "b"})):
        pass


def test_a_nested_description_is_read_and_told(tmp_path):
    path = make_zip(tmp_path / "p.zip", {"model/rdf.yaml": RDF, "model/w.pt": "w"})
    with open_package(path) as package:
        assert kinds(package) == {"archive.nested"}
        assert package.file("w.pt") is not None


def test_what_tools_stumble_over_is_told(tmp_path):
    path = make_zip(
        tmp_path / "p.zip", {"rdf.yaml": RDF, "model.yaml": RDF, "A.txt": "", "a.txt": "", "con": ""}, zipfile.ZIP_BZIP2
    )
    with open_package(path) as package:
        assert kinds(package) == {"archive.method", "archive.case", "archive.windows", "archive.second-description"}


def test_a_written_zip_is_the_same_each_time(tmp_path):
    folder = tmp_path / "p"
    (folder / "sub").mkdir(parents=True)
    for name in ("rdf.yaml", "b.txt", "a.txt", "sub/c.txt"):
        (folder / name).write_text(RDF)
    first = write_zip(folder, tmp_path / "1.zip").read_bytes()
    os.utime(folder / "a.txt", (1, 1))
    (folder / "b.txt").chmod(0o600)
    assert write_zip(folder, tmp_path / "2.zip").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "1.zip") as made:
        assert made.namelist() == ["rdf.yaml", "a.txt", "b.txt", "sub/c.txt"]
        assert {entry.compress_type for entry in made.infolist()} == {zipfile.ZIP_STORED}
        assert not any(entry.flag_bits & 0x8 for entry in made.infolist())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.zip", "2.zip", "p"]
