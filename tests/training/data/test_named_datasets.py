"""The data sets that have a name: the published ones, and those that are registered."""

import hashlib

import numpy as np
import pytest
from helpers.own_images import names, own, picture, refused, save
from pydantic import Field

from training.data import DATASETS, DataSettings, Sample, open_dataset, register
from training.data.options import DatasetOptions
from training.data.sample import ArraySource, DataSource
from training.data.sets.hagen import NAMES
from training.data.splits import split
from training.fitting.trainer import train
from training.runs.run import create_run, open_run
from training.runs.settings import Recipe, Settings


class TestHagen:
    @pytest.fixture
    def stacks(self, tmp_path):
        def write(name, frames=20, shape=(16, 16), folder="03-any/deep", dtype="u2"):
            stacks = [picture((frames, *shape), dtype) for _ in range(2)]
            for side, stack in zip(("low", "high"), stacks, strict=True):
                save(tmp_path / folder / f"{name}-{side}snr.tif", stack, metadata=None)
            return stacks

        return write

    def open(self, tmp_path, name, **settings):
        return open_dataset(DataSettings(dataset=name, data=tmp_path, **settings), test_fraction=0.1, seed=0)

    @pytest.mark.parametrize("name", NAMES)
    def test_ten_names_are_found_below_a_folder_and_split_as_published(self, tmp_path, stacks, name):
        low, high = stacks(name)
        data = self.open(tmp_path, name)
        assert data.name == name
        assert [pair.field for pair in data.test] == ["frame_018", "frame_019"]
        assert (len(data.train), len(data.validation)) == (16, 2)
        np.testing.assert_array_equal(data.test[1].pair(), [low[19], high[19]])
        assert data.source.licence == "CC0-1.0"
        assert data.source.doi == "10.1093/gigascience/giab032"

    @pytest.mark.parametrize(("frames", "tests"), [(104, 11), (79, 8), (100, 10), (84, 9)])
    def test_the_published_numbers_of_test_frames(self, tmp_path, stacks, frames, tests):
        stacks("nucleus", frames, (4, 4))
        data = self.open(tmp_path, "nucleus")
        assert len(data.test) == tests
        assert data.test[0].field == f"frame_{int(0.9 * frames):03d}"

    @pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
    def test_of_any_type(self, tmp_path, stacks, dtype):
        stacks("membrane", dtype=dtype)
        assert self.open(tmp_path, "membrane").source.dtype == np.dtype(dtype)

    def test_hashes_are_of_the_files_by_their_place(self, tmp_path, stacks):
        stacks("nucleus")
        hashes = self.open(tmp_path, "nucleus").hashes()
        assert list(hashes) == ["03-any/deep/nucleus-lowsnr.tif", "03-any/deep/nucleus-highsnr.tif"]
        for name, told in hashes.items():
            assert told == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()

    def test_links_to_folders_are_followed_and_may_run_in_circles(self, tmp_path, stacks):
        low, _ = stacks("nucleus", folder="elsewhere")
        (tmp_path / "data" / "deep").mkdir(parents=True)
        (tmp_path / "data" / "deep" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "circle").symlink_to(tmp_path / "data")
        data = self.open(tmp_path / "data", "nucleus")
        assert list(data.hashes()) == [f"deep/link/nucleus-{side}snr.tif" for side in ("low", "high")]
        np.testing.assert_array_equal(data.test[0].pair()[0], low[18])
        (tmp_path / "data" / "again").symlink_to(tmp_path / "elsewhere")
        assert len(self.open(tmp_path / "data", "nucleus").hashes()) == 2

    def test_quarters_stay_in_their_frame(self, tmp_path, stacks):
        low, high = stacks("actin-confocal", 4, (1024, 1024), dtype="u1")
        data = self.open(tmp_path, "actin-confocal", preparation="quarter")
        assert [len(part) for part in (data.train, data.validation, data.test)] == [8, 4, 4]
        assert {pair.field for pair in data.test} == {"frame_003"}
        pieces = [pair.pair() for pair in data.test]
        for side, stack in enumerate((low, high)):
            whole = np.block([[pieces[0][side], pieces[1][side]], [pieces[2][side], pieces[3][side]]])
            np.testing.assert_array_equal(whole, stack[3])

    def test_the_quarters_of_the_middle(self, tmp_path, stacks):
        low, _ = stacks("membrane", 3, (2048, 2048), dtype="u1")
        data = self.open(tmp_path, "membrane", preparation="c-quarter")
        pieces = [pair.pair()[0] for pair in data.test]
        whole = np.block([[pieces[0], pieces[1]], [pieces[2], pieces[3]]])
        np.testing.assert_array_equal(whole, low[2, 512:1536, 512:1536])

    @pytest.mark.parametrize("preparation", ["quarter", "c-quarter"])
    def test_quarters_of_another_size_are_refused(self, tmp_path, stacks, preparation):
        stacks("nucleus")
        refused(
            f"`preparation` {preparation} takes .* holds 16 x 16",
            dataset="nucleus",
            data=tmp_path,
            preparation=preparation,
        )

    def test_an_unknown_preparation(self, tmp_path, stacks):
        stacks("nucleus")
        refused("the names are whole, quarter, c-quarter", dataset="nucleus", data=tmp_path, preparation="half")

    def test_no_folder_said_or_there(self, tmp_path):
        refused("needs `data` DIR", dataset="nucleus")
        refused("is no folder", dataset="nucleus", data=tmp_path / "no")

    def test_the_file_is_not_there(self, tmp_path, stacks):
        refused("download it", dataset="nucleus", data=tmp_path)
        stacks("membrane")
        refused("nucleus-lowsnr.tif is nowhere below .*: it has membrane-highsnr.tif", dataset="nucleus", data=tmp_path)

    def test_the_file_is_there_twice(self, tmp_path, stacks):
        stacks("nucleus")
        stacks("nucleus", folder="copy")
        line = refused("have the same name", dataset="nucleus", data=tmp_path)
        assert "copy" in line
        assert "03-any" in line

    def test_stacks_of_unequal_length(self, tmp_path, stacks):
        stacks("nucleus", 5)
        save(tmp_path / "03-any/deep/nucleus-highsnr.tif", picture((4, 16, 16)), metadata=None)
        refused("hold 5 and 4 planes", dataset="nucleus", data=tmp_path)

    def test_one_frame(self, tmp_path, stacks):
        stacks("nucleus", 1)
        refused("one image only", dataset="nucleus", data=tmp_path)


class TestRealFiles:
    @pytest.mark.parametrize("channel", [0, 1, 2])
    def test_w2s_is_split_by_field_and_was_scaled_file_by_file(self, shared, channel):
        root = shared("data/w2s") / f"channel{channel}"
        data = own(root / "low", root / "high", test_fraction=0.2)
        assert names(data.test) == [f"fov_{number:03d}" for number in range(65, 81)]
        told = data.warnings()
        assert any("scaled by itself" in line for line in told)
        assert not any("shifted" in line for line in told)
        assert len(data.hashes()) == 160

    @pytest.mark.parametrize("name", [name for name in NAMES if name != "actin-60x-noise2"])
    def test_hagen_frames_are_found(self, shared, name):
        refused(f"{name}-lowsnr.tif: one image only", dataset=name, data=shared("data/hagen_samples"))


class TestRegistry:
    def test_every_file_of_the_folder_is_found(self):
        others = {"biosr", "fmd", "folders", "joined", "pairs", "photographs", "shah", "simulated", "w2s"}
        assert others | set(NAMES) == DATASETS.keys()
        assert len(NAMES) == 10

    @pytest.fixture
    def ramps(self):
        """A data set that lies elsewhere, of three frames a field and with an option that is a list."""

        class RampOptions(DatasetOptions):
            heights: list[int]
            noise: float = Field(default=3.0, gt=0)

        class Ramps:
            options = RampOptions
            source = DataSource(dtype="float32")

            def __init__(self, name, options, *, test_fraction, seed):
                ramp = np.linspace(0, 1, 48, dtype="f4")[None] * np.ones((48, 1), "f4")
                rng = np.random.default_rng(0)
                samples = []
                for height in options.heights:
                    frames = [ArraySource(height * ramp + rng.normal(0, options.noise, ramp.shape)) for _ in range(3)]
                    clean = ArraySource(height * ramp)
                    samples.append(Sample(f"ramp_{height}", f"{height}", "YX", ramp.shape, tuple(frames), clean))
                parts = split(samples, where=name, test_fraction=test_fraction, seed=seed)
                self.name, self.train, self.validation, self.test = name, parts.train, parts.validation, parts.test

            def hashes(self):
                return {}

            def warnings(self):
                return []

        register("ramps", Ramps)
        yield Ramps
        DATASETS.pop("ramps", None)

    def test_another_data_set_has_options_of_its_own(self, ramps):
        settings = DataSettings(dataset="ramps", options={"heights": [100, 200, 300, 400]})
        assert settings.options == {"heights": [100, 200, 300, 400], "noise": 3.0}
        data = open_dataset(settings, test_fraction=0.1, seed=0)
        assert names(data.test) == ["ramp_400"]
        assert len(data.train[0].noisy) == 3
        refused(r"`option` noise=-1 of `dataset` ramps", dataset="ramps", options={"heights": [1], "noise": -1})
        refused("`dataset` ramps needs `option` heights", dataset="ramps")
        with pytest.raises(ValueError, match="there is a data set ramps already"):
            register("ramps", ramps)

    def test_it_trains(self, ramps, tmp_path):
        data = DataSettings(dataset="ramps", options={"heights": [100, 200, 300, 400]})
        recipe = Recipe(epochs=1, crop=16)
        settings = Settings(
            name="a", network="dncnn", network_settings={"depth": 3, "width": 4}, data=data, recipe=recipe
        )
        run = create_run(settings, tmp_path / "a")
        train(run, device="cpu")
        assert open_run(run.folder).provenance.data.splits["test"] == ["ramp_400"]

    def test_a_name_that_is_unknown_says_what_there_is(self):
        refused("`dataset` lysosomes: unknown; choose from .*nucleus.*simulated", dataset="lysosomes")

    def test_settings_of_a_data_set_that_is_not_there_can_still_be_read(self, ramps):
        settings = DataSettings(dataset="ramps", options={"heights": [1, 2]})
        DATASETS.pop("ramps")
        assert DataSettings.model_validate(settings.model_dump(mode="json")) == settings
