"""Which files are denoised and where results go: an input is never replaced, by no name and through no link."""

import os

import pytest

from training.errors import UserError
from training.inference.files import ImageFile, check_space, images_in, results_for, unfinished
from training.inference.record import RECORD, Record


@pytest.fixture
def folder(tmp_path):
    for name in ("b.tif", "a.png", "c.OME.TIFF", ".hidden.tif", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_folder_means_its_visible_images_by_name(folder):
    found = [(each.path, str(each.place)) for each in images_in([folder / "c.OME.TIFF", folder])]
    names = ["c.OME.TIFF", "a.png", "b.tif", "c.OME.TIFF"]
    assert found == [(folder / name, name) for name in names]


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


def test_results_keep_the_subfolders(folder):
    (folder / "day10" / ".cache").mkdir(parents=True)
    (folder / "day2").mkdir()
    for name in ("day10/a.png", "day2/a.tif", "day10/.cache/thumb.png"):
        (folder / name).write_bytes(name.encode())
    results = results_for(images_in([folder], recursive=True), folder / "out")
    names = ["a.tif", "b.tif", "c.OME.TIFF", "day2/a.tif", "day10/a.tif"]
    assert [path.relative_to(folder / "out").as_posix() for path in results] == names
    for result in results:
        result.parent.mkdir(parents=True, exist_ok=True)
        result.write_bytes(b"")
    assert len(images_in([folder], recursive=True, out=folder / "out")) == 5
    with pytest.raises(UserError, match="nor do its subfolders"):
        images_in([folder / "out"], recursive=True, out=folder / "out")


def files(*paths):
    return images_in(paths)


def test_two_inputs_of_one_name_are_refused(folder):
    (folder / "a.TIF").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.png and .*a\.TIF would both become"):
        results_for(files(folder / "a.png", folder / "a.TIF"), folder / "out")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_input_is_not_replaced_through_a_link(folder, link):
    (folder / "out").mkdir()
    link(folder / "b.tif", folder / "out" / "b.tif")
    with pytest.raises(UserError, match="an input is never replaced"):
        results_for(files(folder / "b.tif"), folder / "out")


def test_another_input_is_not_replaced_either(folder):
    (folder / "a.tif").write_bytes(b"")
    with pytest.raises(UserError, match="an input is never replaced"):
        results_for(files(folder / "a.tif", folder / "b.tif"), folder)


def test_a_linked_folder_is_the_folder(folder):
    (folder / "again").symlink_to(folder)
    with pytest.raises(UserError, match="an input is never replaced"):
        results_for(files(folder / "b.tif"), folder / "again")


@pytest.fixture
def finished(folder):
    """An image, its result, and the record that holds it."""
    (folder / "out").mkdir()
    result = folder / "out" / "b.tif"
    result.write_bytes(b"denoised")
    Record(folder / "out", {"model": "m"}).add(folder / "b.tif", result, result)
    return files(folder / "b.tif"), [result]


def test_a_finished_result_is_kept_and_any_other_file_needs_overwrite(folder, finished):
    inputs, results = finished
    record = Record(folder / "out", {"model": "m"})
    assert unfinished(inputs, results, record) == []
    assert unfinished(inputs, results, record, overwrite=True) == []  # an interrupted one goes on
    with pytest.raises(UserError, match=r"b\.tif exists.*`overwrite`"):
        unfinished(inputs, results, Record(folder / "out", {"model": "other"}))
    results[0].write_bytes(b"touched")
    with pytest.raises(UserError, match=r"b\.tif exists.*`overwrite`"):
        unfinished(inputs, results, record)
    assert unfinished(inputs, results, record, overwrite=True) == [(folder / "b.tif", results[0])]
    results[0].unlink()
    assert unfinished(inputs, results, record) == [(folder / "b.tif", results[0])]


def test_a_line_that_was_cut_off_costs_no_other(folder, finished):
    inputs, results = finished
    path = folder / "out" / RECORD
    path.write_text(path.read_text() + '\n{"result": "c.t')
    result = folder / "out" / "a.tif"
    result.write_bytes(b"denoised too")
    Record(folder / "out", {"model": "m"}).add(folder / "a.png", result, result)
    inputs.append(ImageFile(folder / "a.png", folder / "a.png"))
    assert unfinished(inputs, [*results, result], Record(folder / "out", {"model": "m"})) == []


@pytest.mark.parametrize("out", ["notes.txt", "notes.txt/below"])
def test_a_file_in_the_place_of_the_folder_is_named(folder, out):
    with pytest.raises(UserError, match=r"`out` .*notes\.txt.* is a file"):
        results_for(files(folder / "b.tif"), folder / out)


def test_a_folder_in_the_place_of_a_result_is_named(folder):
    (folder / "out" / "b.tif").mkdir(parents=True)
    with pytest.raises(UserError, match="is a folder where a result would go"):
        results_for(files(folder / "b.tif"), folder / "out")


def test_too_little_space_on_the_disk_is_said_before_any_work(folder):
    check_space(folder / "out", 10)
    with pytest.raises(UserError, match=r"need 1000000000 GB and its disk has"):
        check_space(folder / "out", 10**18)
