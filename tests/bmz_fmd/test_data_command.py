"""``bmz-fmd data``: what the published data sets are, and what of them is on disk."""

import pytest
from helpers.command_line import bmz_fmd
from helpers.distributed import biosr, fmd, shah, w2s
from PIL import Image

TINY = ("--network", "dncnn", "--network-set", "depth=3", "--network-set", "width=4", "--checkpoint", "none", "--set",
        "epochs=1", "--set", "crop=32", "--device", "cpu")  # fmt: skip


def test_the_list_names_each_data_set_once():
    listed = bmz_fmd("data", "list")
    assert listed.code == 0
    assert "fmd" in listed.out
    assert "nucleus, actin-confocal" in " ".join(listed.out.split())
    assert listed.out.count("CC0-1.0") == 1


@pytest.mark.parametrize("name", ["fmd", "membrane"])
def test_what_a_data_set_is(name):
    shown = bmz_fmd("data", "show", name)
    assert shown.code == 0
    for word in ("licence", "citation", "https://doi.org/10.", "below --data", "by hand"):
        assert word in shown.out


def test_what_is_there_and_what_is_missing(tmp_path):
    fmd(tmp_path)
    checked = bmz_fmd("data", "check", "fmd", "--data", tmp_path)
    assert checked.code == 0, checked.err
    lines = {line.split()[0]: line.split() for line in checked.out.splitlines() if line}
    assert lines["Confocal_FISH"][1:3] == ["24", "5020"]
    assert lines["WideField_BPAE_B"][1:] == ["0", "5020", "WideField_BPAE_B.tar"]
    assert "It opens as fmd: 12 for training, 3 for validation, 3 for test." in checked.out
    assert "without field 4, 5, 6, 7 and 10 more" in checked.err


def test_what_does_not_open_is_told(tmp_path):
    fmd(tmp_path)
    checked = bmz_fmd("data", "check", "fmd", "--data", tmp_path, "--option", "level=avg16")
    assert checked.code == 1
    assert "It does not open: " in checked.out
    assert "or take another --option level" in checked.out
    assert bmz_fmd("data", "check", "fmd", "--data", tmp_path / "no").code == 2
    next((tmp_path / "Confocal_FISH/raw/19").iterdir()).write_bytes(b"no PNG")
    checked = bmz_fmd("data", "check", "fmd", "--data", tmp_path)
    assert checked.code == 1
    assert "It does not open: " in checked.out
    assert "did you mean fmd?" in bmz_fmd("data", "check", "fmdd", "--data", tmp_path).message


def test_a_contact_sheet(tmp_path):
    fmd(tmp_path)
    sheet = tmp_path / "sheet.png"
    shown = bmz_fmd("data", "show", "fmd", "--data", tmp_path, "--out", sheet)
    assert shown.code == 0, shown.err
    with Image.open(sheet) as picture:
        assert picture.width > picture.height > 300
    assert "go together" in bmz_fmd("data", "show", "fmd", "--out", sheet).message


def test_captures_of_fmd_teach_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fmd(tmp_path / "fmd", fields=(1, 2, 3, 19))
    words = ("train", "--dataset", "fmd", "--data", "fmd", "--name", "a", "--method", "noise2noise", *TINY)
    trained = bmz_fmd(*words)
    assert trained.code == 0, trained.err
    assert "1 test image" in trained.out
    assert "repeats: true" in (tmp_path / "runs/a/settings.yaml").read_text()
    again = bmz_fmd(*words, "--resume")
    assert again.code == 0, again.err


def test_what_a_program_may_not_fetch_is_told(tmp_path):
    told = bmz_fmd("data", "fetch", "fmd", "--data", tmp_path / "fmd")
    assert told.code == 2
    assert "open https://drive.google.com" in told.message
    assert f"put into {tmp_path / 'fmd'} what it gives: the folders of its tars" in told.message
    assert not (tmp_path / "fmd").exists()


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [("w2s", w2s, "wf_channel"), ("biosr", biosr, "CCPs"), ("shah", shah, "Noisy_ImageStacks")],
)
def test_each_data_set_says_what_is_there(tmp_path, name, write, told):
    write(tmp_path)
    checked = bmz_fmd("data", "check", name, "--data", tmp_path)
    assert checked.code == 0, checked.out
    assert "It opens as " in checked.out
    assert told in checked.out + bmz_fmd("data", "show", name).out
