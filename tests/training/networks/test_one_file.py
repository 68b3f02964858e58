"""A network is added by one file: it trains by its own recipe, is exported, and tests are parametrised by it."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.registered import registered

from bmz_export.exporting import export
from bmz_export.opening import open_denoiser
from bmz_export.package.weights import compose_architecture
from training.checkpoints import default_checkpoint
from training.data.options import DatasetOptions
from training.data.sample import DataSource, Sample
from training.data.sets import DATASETS
from training.data.settings import DataSettings
from training.errors import SettingError
from training.fitting.start import Request, new_run
from training.fitting.trainer import train
from training.networks import NETWORKS, create, register
from training.runs.run import create_run
from training.runs.settings import Settings, load_recipe

DESCRIPTION = """DESCRIPTION = {
    "class": "Blend",
    "title": "Blend",
    "paper": "N. Nobody: A Blend of Blurs. https://example.org/blend",
    "source": "https://example.org/blend",
    "licence": "MIT",
    "stride": (2, 1),
    "noise_map": False,
    "bytes_per_pixel": 100,
    "settings": {"reach": 3},
    "small_settings": {"reach": 1},
    "recipe": {"epochs": 1, "batch": 2, "crop": 32, "lr": 1e-3},
}
"""
FILE = f'''"""A blur as wide as it is told to be."""

import torch
from torch import nn

{DESCRIPTION}

def receptive_radius(reach: int) -> tuple[int, int]:
    """Return how far the blur reaches."""
    return reach, reach


class Blend(nn.Module):
    """One convolution, and the image."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.blur = nn.Conv2d(1, 1, 2 * reach + 1, padding=reach)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the denoised image."""
        return image + 0.1 * self.blur(image)
'''


@pytest.fixture
def blend(tmp_path):
    """A network from a file outside of the tree, in the registry for one test."""
    path = tmp_path / "blend.py"
    path.write_text(FILE)
    with registered(path) as network:
        yield network
    assert "blend" not in NETWORKS


def test_a_network_of_one_file_is_trained_and_exported(blend, tmp_path):
    assert "blend" in NETWORKS
    assert (blend.stride, blend.radius({}), blend.axes) == ((2, 1), (3, 3), "YX")
    assert default_checkpoint("blend") is None
    settings = Settings(
        name="first",
        network="blend",
        network_settings=blend.small_settings,
        data=DataSettings(dataset="simulated", options={"images": 8, "size": 48}),
        recipe=load_recipe("blend"),
    )
    run = train(create_run(settings, tmp_path / "first"), device="cpu")
    assert [row["epoch"] for row in run.history()] == [0, 1]
    assert run.provenance.calibration["multiple"] == [2, 1]
    package = export(run, out=tmp_path / "packages")
    image = run.dataset().test[0].noisy[0].read()[None, None].astype(np.float32)
    expected = run.denoiser(device="cpu").predict(image)
    np.testing.assert_allclose(open_denoiser(package.archive).predict(image), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import torch\n", "has no DESCRIPTION"),
        (FILE.replace('"stride": (2, 1)', '"stride": tuple([2, 1])'), "DESCRIPTION is not right"),
        (FILE.replace('"stride": (2, 1)', '"stride": (2, 1, 1)'), "not one number for each of the axes YX"),
        (FILE.replace('    "paper"', '    "pages"'), "pages"),
    ],
)
def test_a_file_that_describes_no_network_is_named(tmp_path, text, says):
    path = tmp_path / "blend.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=says) as caught:
        register(path)
    assert "blend.py" in str(caught.value)
    assert "blend" not in NETWORKS


def test_a_file_that_cannot_be_joined_with_the_calibration_is_named(tmp_path):
    path = tmp_path / "blend.py"
    path.write_text(FILE + "\n\nclass Constants:\n    pass\n")
    with registered(path), pytest.raises(ValueError, match="both define"):
        compose_architecture("blend", {"network": {}, "calibration": {}})


def test_a_name_is_given_once(blend, tmp_path):
    with pytest.raises(ValueError, match="already"):
        register(tmp_path / "blend.py")
    with pytest.raises(ValueError, match="reach is a whole number"):
        create("blend", reach="far")


VOLUMES = (
    FILE.replace("Conv2d", "Conv3d")
    .replace('"stride": (2, 1)', '"stride": 1, "axes": "ZYX"')
    .replace("tuple[int, int]", "int")
    .replace("return reach, reach", "return reach")
)


class Stacks:
    """Five small volumes, as a data set."""

    options = DatasetOptions
    source = DataSource(dtype="float32")

    def __init__(self, name, options, *, test_fraction, seed):
        self.name = name
        rng = np.random.default_rng(0)
        clean = [50 + 100 * rng.random((8, 32, 32), np.float32) for _ in range(5)]
        samples = [
            Sample.of_arrays(f"v{i}", rng.normal(each, 9).astype(np.float32), each) for i, each in enumerate(clean)
        ]
        self.train, self.validation, self.test = samples[:3], samples[3:4], samples[4:]

    def hashes(self):
        return {}

    def warnings(self):
        return []


def test_volumes_train_a_network_of_volumes_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "stacks", Stacks)
    request = Request(data=DataSettings(dataset="stacks"), network="dncnn", checkpoint="none")
    with pytest.raises(SettingError, match="`network` dncnn denoises YX images, and v0 is ZYX"):
        new_run(request, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    (tmp_path / "blend.py").write_text(VOLUMES)
    with registered(tmp_path / "blend.py"):
        run, dataset, _ = new_run(replace(request, network="blend"), tmp_path / "runs")
        train(run, dataset=dataset, device="cpu")
