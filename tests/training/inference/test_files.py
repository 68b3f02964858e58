"""Which files are denoised and where results go: an input is never replaced, by no name and through no link."""

import os

import pytest

from training.errors import UserError
from training.inference.files import check_space, images_in, results_for


@pytest.fixture
def folder(tmp_path):
    for name in ("b.tif", "a.png", "c.OME.TIFF", ".hidden.tif", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_folder_means_its_visible_images_by_name(folder):
    assert images_in([folder / "c.OME.TIFF", folder]) == [
        folder / "c.OME.TIFF",
        folder / "a.png",
        folder / "b.tif",
        folder / "c.OME.TIFF",
    ]


def test_a_missing_path_and_a_folder_without_images_are_named(folder):
    with pytest.raises(UserError, match=r"none\.tif does not exist"):
        images_in([folder / "none.tif"])
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no"):
        images_in([folder / "empty"])


def test_results_are_tiffs_of_the_same_names(folder):
    results = results_for(images_in([folder]), folder / "out" / "deep")
    assert [path.name for path in results] == ["a.tif", "b.tif", "c.OME.TIFF"]
    assert not (folder / "out").exists()


def test_two_inputs_of_one_name_are_refused(folder):
    (folder / "a.TIF").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.png and .*a\.TIF would both become"):
        results_for([folder / "a.png", folder / "a.TIF"], folder / "out")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_input_is_not_replaced_through_a_link_even_with_overwrite(folder, link):
    (folder / "out").mkdir()
    link(folder / "b.tif", folder / "out" / "b.tif")
    with pytest.raises(UserError, match="an input is never replaced"):
        results_for([folder / "b.tif"], folder / "out", overwrite=True)


def test_another_input_is_not_replaced_either(folder):
    (folder / "a.tif").write_bytes(b"")
    with pytest.raises(UserError, match="an input is never replaced"):
        results_for([folder / "a.tif", folder / "b.tif"], folder, overwrite=True)


def test_a_linked_folder_is_the_folder(folder):
    (folder / "again").symlink_to(folder)
    with pytest.raises(UserError, match="an input is never replaced"):
        results_for([folder / "b.tif"], folder / "again", overwrite=True)


def test_an_existing_result_needs_overwrite(folder):
    (folder / "out").mkdir()
    (folder / "out" / "b.tif").write_bytes(b"older")
    with pytest.raises(UserError, match=r"b\.tif exists.*`overwrite`"):
        results_for([folder / "b.tif"], folder / "out")
    assert results_for([folder / "b.tif"], folder / "out", overwrite=True) == [folder / "out" / "b.tif"]


@pytest.mark.parametrize("out", ["notes.txt", "notes.txt/below"])
def test_a_file_in_the_place_of_the_folder_is_named(folder, out):
    with pytest.raises(UserError, match=r"`out` .*notes\.txt.* is a file"):
        results_for([folder / "b.tif"], folder / out)


def test_a_folder_in_the_place_of_a_result_is_named(folder):
    (folder / "out" / "b.tif").mkdir(parents=True)
    with pytest.raises(UserError, match="is a folder where a result would go"):
        results_for([folder / "b.tif"], folder / "out", overwrite=True)


def test_too_little_space_on_the_disk_is_said_before_any_work(folder):
    check_space(folder / "out", 10)
    with pytest.raises(UserError, match=r"need 1000000000\.0 GB and its disk has"):
        check_space(folder / "out", 10**18)
