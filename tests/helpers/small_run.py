"""A run folder as training leaves it, around a small network, without training."""

from dataclasses import asdict

import torch

from training.calibration.intensity import Intensity
from training.calibration.layer import Calibrated, Constants
from training.data import open_dataset
from training.data.settings import DataSettings
from training.inference.statistics import TrainedOn
from training.networks import create
from training.runs.provenance import DataUsed, NetworkUsed, Provenance, now
from training.runs.run import create_run
from training.runs.settings import Recipe, Settings

NETWORK = {"depth": 3, "width": 4}
SIMULATED = DataSettings(dataset="simulated", options={"images": 10, "size": 48})


def small_run(folder, *, data=None, statistics="dataset"):
    """Make a run whose network (radius 3) has random weights, and return its folder."""
    torch.manual_seed(0)
    offset, scale = (0.0, 1.0) if statistics == "instance" else (100.0, 50.0)
    constants = Constants(statistics=statistics, margin=3, offset=offset, scale=scale)
    data = data or SIMULATED
    run = create_run(
        Settings(name=folder.name, network="dncnn", network_settings=NETWORK, data=data, recipe=Recipe()), folder
    )
    model = Calibrated(create("dncnn", **NETWORK), constants)
    for weights in model.parameters():  # the first weights of training change nothing: these do
        torch.nn.init.normal_(weights, std=0.2)
    torch.save({"state_dict": model.state_dict()}, run.checkpoint())
    dataset = open_dataset(data, test_fraction=run.settings.recipe.test_fraction, seed=run.settings.recipe.seed)
    run.write_provenance(
        Provenance(
            network=NetworkUsed(name="dncnn", settings=NETWORK),
            calibration=asdict(constants),
            checkpoint=None,
            trained_on=TrainedOn(dtype="uint16", low=50, high=400, noise=10),
            intensity_fit=Intensity(mode="dataset", slope=1, offset=0),
            data=DataUsed.of(dataset),
            recipe=run.settings.recipe,
            scored=True,
            seed=0,
            created=now(),
        )
    )
    return folder
