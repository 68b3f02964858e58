"""W2S from stacks and normalised copies of its own layout."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.distributed import w2s
from helpers.own_images import every, names, refused

from training.data import DataSettings, open_dataset
from training.data.sets.w2s import Mean
from training.errors import UserError

MEAN, DEVIATION = 154.535390853, 66.02846351802853


def opened(root, channel="1", **options):
    data = DataSettings(dataset="w2s", data=root, channel=channel, options=options)
    return open_dataset(data, test_fraction=0.1, seed=0)


def test_fields_from_81_on_test_and_the_truth_is_the_mean_of_all(tmp_path):
    stacks = w2s(tmp_path)
    data = opened(tmp_path)
    assert names(data.test) == ["081_1", "082_1"]
    assert len(every(data)) == 5
    noisy, clean = data.test[0].pair()
    np.testing.assert_array_equal(noisy, stacks[81, 1][249])
    np.testing.assert_allclose(clean, stacks[81, 1].mean(0, dtype=float), rtol=1e-6)
    assert (data.name, data.source.dtype) == ("w2s_channel1", "uint16")
    assert "raw/Image081/wf_channel1.npy" in data.hashes()
    assert "without field 4, 5, 6, 7 and 111 more" in data.warnings()[0]
    assert len(every(opened(tmp_path, None))) == 15


@pytest.mark.parametrize("average", [2, 4, 8, 16])
def test_averages_are_of_the_published_captures(tmp_path, average):
    stacks = w2s(tmp_path, channels=[1])
    sample = opened(tmp_path, average=average).test[0]
    np.testing.assert_allclose(sample.frame(), stacks[81, 1][:average].mean(0), rtol=1e-6)
    part = (slice(3, 9), slice(2, 16))
    np.testing.assert_array_equal(sample.frame(part), sample.frame()[part])


@pytest.mark.parametrize(("average", "frames"), [(1, 400), (16, 25)])
def test_frames_are_averages_of_different_captures(tmp_path, average, frames):
    stack = w2s(tmp_path, channels=[1])[81, 1]
    sample = opened(tmp_path, average=average, repeats=True).test[0]
    assert len(sample.noisy) == frames
    all_of_them = np.mean([source.read() for source in sample.noisy], axis=0)
    np.testing.assert_allclose(all_of_them, stack.mean(0), rtol=1e-5)
    np.testing.assert_allclose(sample.frame(), stack[249] if average == 1 else stack[:16].mean(0), rtol=1e-6)


def test_normalised_copies_come_back_as_counts(tmp_path):
    counts = {}
    for level in ("avg1", "avg4", "avg400"):
        folder = tmp_path / "data" / "normalized" / level
        folder.mkdir(parents=True)
        for field in (1, 2, 81):
            counts[level, field] = np.random.default_rng(field).uniform(90, 300, (16, 16))
            np.save(folder / f"{field:03d}_2.npy", (counts[level, field] - MEAN) / DEVIATION)
    data = opened(tmp_path, "2", copies="normalized", average=4)
    noisy, clean = data.test[0].pair()
    np.testing.assert_allclose(noisy, counts["avg4", 81], rtol=1e-5)
    np.testing.assert_allclose(clean, counts["avg400", 81], rtol=1e-5)
    (tmp_path / "data/normalized/avg400/002_2.npy").unlink()
    refused("avg400/002_2.npy is missing", dataset="w2s", data=tmp_path, options={"copies": "normalized"})


class TestWhatDoesNotFit:
    def test_nothing_there(self, tmp_path):
        refused("holds no folder raw: unpack https://datasets.epfl.ch", dataset="w2s", data=tmp_path)
        (tmp_path / "raw").mkdir()
        refused("holds no images of channel 0, 1, 2", dataset="w2s", data=tmp_path)
        refused("`channel`='3' of `dataset` w2s", dataset="w2s", data=tmp_path, channel="3")
        refused("`option` average=3", dataset="w2s", data=tmp_path, options={"average": 3})

    @pytest.mark.parametrize(
        ("array", "told"),
        [
            (np.zeros((400, 16), "u2"), r"holds 400 x 16 of uint16, not captures x rows x columns of uint16"),
            (np.zeros((40, 16, 16), "u2"), r"holds 40 captures, not 400"),
            (np.zeros((400, 16, 16), "f4"), r"holds 400 x 16 x 16 of float32"),
            (np.array([{}, []], dtype=object), r"cannot be read as .npy"),
        ],
    )
    def test_arrays_of_another_shape_or_type(self, tmp_path, array, told):
        w2s(tmp_path)
        np.save(tmp_path / "raw/Image002/wf_channel1.npy", array)
        assert "Image002" in refused(told, dataset="w2s", data=tmp_path, channel="1")

    @pytest.mark.parametrize("size", [0, 50, 1000, 204_000])
    def test_cut_off_files(self, tmp_path, size):
        w2s(tmp_path)
        path = tmp_path / "raw/Image002/wf_channel1.npy"
        path.write_bytes(path.read_bytes()[:size])
        refused("wf_channel1.npy cannot be read as .npy, it is another file or cut off", dataset="w2s", data=tmp_path)

    def test_archives_under_the_name_of_a_stack(self, tmp_path):
        w2s(tmp_path)
        path = tmp_path / "raw/Image002/wf_channel1.npy"
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(3))
        refused("wf_channel1.npy cannot be read as .npy", dataset="w2s", data=tmp_path)

    def test_a_copy_with_holes(self, tmp_path):
        for level in ("avg1", "avg400"):
            (tmp_path / "normalized" / level).mkdir(parents=True)
            for field in (1, 2, 81):
                np.save(tmp_path / f"normalized/{level}/{field:03d}_0.npy", np.full((8, 8), np.nan))
        with pytest.raises(UserError, match=r"avg1/081_0.npy holds NaN"):
            opened(tmp_path, "0", copies="normalized").test[0].frame()


def test_only_the_captures_of_a_mean_are_read_and_few_at_a_time(tmp_path, monkeypatch):
    class Watched(np.memmap):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    asked = []
    path = tmp_path / "stack.npy"
    np.save(path, np.full((400, 64, 64), 7, "u2"))
    opening = np.lib.format.open_memmap
    monkeypatch.setattr(np.lib.format, "open_memmap", lambda *words, **how: opening(*words, **how).view(Watched))
    part = (slice(8, 24), slice(0, 16))
    np.testing.assert_array_equal(Mean(path, range(4), (64, 64)).read(part), np.full((16, 16), 7))
    assert asked == [(slice(0, 4), *part)]
    asked.clear()
    Mean(path, range(400), (64, 64)).read(part)
    frames = [index[0] for index in asked]
    assert [frame.stop for frame in frames[:-1]] == [frame.start for frame in frames[1:]]
    assert (frames[0].start, frames[-1].stop) == (0, 400)
    assert max(frame.stop - frame.start for frame in frames) <= 32


@pytest.mark.slow
def test_a_whole_stack_is_averaged_with_little_memory(tmp_path):
    """400 x 512 x 512 with at most 200 MB added, measured in a process of its own."""
    path = tmp_path / "stack.npy"
    stack = np.lib.format.open_memmap(path, "w+", np.uint16, (400, 512, 512))
    for number in range(400):
        stack[number] = number
    del stack
    code = (
        "import resource, sys, pathlib; from training.data.sets.w2s import Mean\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3\n"
        "before = peak(); mean = Mean(pathlib.Path(sys.argv[1]), range(400), (512, 512)).read()\n"
        "print(peak() - before, float(mean.min()), float(mean.max()))"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    ran = subprocess.run(
        [sys.executable, "-c", code, path], env=environment, capture_output=True, text=True, check=True
    )
    added, low, high = map(float, ran.stdout.split())
    assert (low, high) == (199.5, 199.5)
    assert added < 200
