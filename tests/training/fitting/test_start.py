"""What a training starts from: published weights are fetched where that is allowed, and never by the way."""

import pytest

from training.data.settings import DataSettings
from training.errors import CheckpointError
from training.fitting.start import Request, new_run


@pytest.fixture(autouse=True)
def fetched(tmp_path, monkeypatch):
    """The addresses that were fetched; nothing is."""
    addresses = []
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("training.checkpoints.download._download", lambda url, *_: addresses.append(url))
    return addresses


def asked(**more):
    return Request(data=DataSettings(dataset="simulated", options={"images": 5, "size": 40}), **more)


@pytest.mark.parametrize("confirm", [None, lambda checkpoint: False])
def test_without_leave_nothing_is_fetched_and_the_three_ways_are_said(tmp_path, fetched, confirm):
    with pytest.raises(CheckpointError, match=r"dncnn_25 with `fetch` .*, .*`checkpoint` FILE, .*`checkpoint` none"):
        new_run(asked(network="dncnn"), tmp_path / "runs", confirm=confirm)
    assert fetched == []
    assert not (tmp_path / "runs").exists()


def test_with_leave_the_published_weights_are_fetched(tmp_path, fetched):
    questions = []
    run, _, note = new_run(
        asked(network="dncnn"), tmp_path / "runs", confirm=lambda checkpoint: not questions.append(checkpoint.summary)
    )
    assert run.settings.checkpoint == "dncnn_25"
    assert "dncnn_25" in note
    assert fetched == [fetched[0]]
    assert "dncnn_25.pth" in questions[0]


def test_weights_that_no_program_may_fetch_are_named_with_their_place(tmp_path):
    with pytest.raises(CheckpointError, match=r"download gau_gray_25\.pth from https://.*`checkpoint` FILE.* none"):
        new_run(asked(network="kbnet"), tmp_path / "runs", confirm=lambda checkpoint: True)


def test_from_scratch_is_said_aloud_or_the_only_way(tmp_path, fetched):
    run, _, note = new_run(asked(network="dncnn", checkpoint="none"), tmp_path / "runs")
    assert (run.settings.checkpoint, note) == (None, None)
    run, _, note = new_run(asked(network="dncnn", network_settings={"depth": 3}, name="small"), tmp_path / "runs")
    assert run.settings.checkpoint is None
    assert "no weights are published for its changed settings" in note
    assert fetched == []
