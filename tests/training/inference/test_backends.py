"""A network in this process: as a module, as TorchScript, as ONNX."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from training.errors import UserError
from training.inference.backends import convolve_channels_last, from_module, from_onnx, from_torchscript
from training.networks import create

IMAGES = np.random.default_rng(0).random((2, 1, 21, 34)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create("dncnn", depth=3, width=8).eval()


@pytest.fixture(scope="module")
def archive(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    torch.jit.trace(network, torch.from_numpy(IMAGES)).save(path)
    return path


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("channels_last", [False, True])
def test_torchscript_gives_what_the_module_gives(network, archive, channels_last):
    (result,) = from_torchscript(archive, channels_last=channels_last)(IMAGES)
    assert_allclose(result, from_module(network)(IMAGES), rtol=1e-4, atol=1e-5)


def test_channels_last_changes_nothing_but_rounding_in_two_and_three_dimensions():
    for layer, shape in ((torch.nn.Conv2d, (1, 1, 9, 8)), (torch.nn.Conv3d, (1, 1, 5, 9, 8))):
        model = torch.nn.Sequential(layer(1, 4, 3), layer(4, 1, 3)).eval()
        image = np.random.default_rng(0).random(shape).astype(np.float32)
        before = from_module(model)(image)
        convolve_channels_last(model)
        assert_allclose(from_module(model)(image), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("load", [from_torchscript, from_onnx])
def test_a_file_of_something_else_is_one_line(tmp_path, load):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"weights\.bin: not .* that this .* loads") as refused:
        load(path)
    assert "\n" not in str(refused.value)
