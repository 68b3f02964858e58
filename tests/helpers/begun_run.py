"""A run on simulated images before and after training."""

import torch

from training.data.settings import DataSettings
from training.runs.run import create_run
from training.runs.settings import Recipe, Settings

SMALL = {"depth": 3, "width": 8}


RECIPE = {"epochs": 3, "batch": 2, "crop": 32, "lr": 1e-3}


def begun(folder, *, checkpoint=None, network="dncnn", network_settings=None, images=8, **recipe):
    """A run folder on simulated images, with settings only."""
    settings = Settings(
        name=folder.name,
        network=network,
        network_settings=SMALL if network_settings is None else network_settings,
        checkpoint=checkpoint,
        data=DataSettings(dataset="simulated", options={"images": images, "size": 48}),
        recipe=Recipe(**(RECIPE | recipe)),
    )
    return create_run(settings, folder)


def weights(run, which="best"):
    return torch.load(run.checkpoint(which), weights_only=True)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
