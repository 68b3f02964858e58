"""A device by name, and how many of its kind."""

import pytest
import torch

from training.errors import UserError
from training.util.devices import choose_device, choose_devices


def test_a_device_that_is_not_here_is_one_line():
    assert choose_device("cpu") == "cpu"
    with pytest.raises(UserError, match="`device` tpu: not on this machine"):
        choose_device("tpu")


@pytest.mark.parametrize(
    ("device", "devices", "message"),
    [
        ("auto", 3, "`devices` 3: this machine has 2 GPUs"),
        ("cuda", 3, "`devices` 3: this machine has 2 GPUs"),
        ("cuda:1", 2, "`device` cuda:1 `devices` 2: that is one device"),
    ],
)
def test_more_devices_than_there_are_is_one_line(monkeypatch, device, devices, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=message):
        choose_devices(device, devices)
    assert choose_devices("auto") == choose_devices("cuda", 2) == ("cuda", 2)
    assert choose_devices("cuda:1") == choose_devices("cuda:1", 1) == ("cuda:1", 1)


def test_without_a_gpu_only_the_cpu_can_be_shared(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="`devices` 2: this machine has no GPU"):
        choose_devices("auto", 2)
    assert choose_devices("auto") == choose_devices("auto", 1) == ("cpu", 1)
    assert choose_devices("cpu", 2) == ("cpu", 2)
