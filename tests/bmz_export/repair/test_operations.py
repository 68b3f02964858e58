"""Operations inside a network compute what bioimageio.core computes around it."""

import numpy as np
import pytest
import torch
from bioimageio.core.digest_spec import create_sample_for_model, get_member_ids
from bioimageio.core.proc_setup import setup_pre_and_postprocessing
from bioimageio.core.tensor import Tensor
from bioimageio.spec.model import v0_5

from bmz_export.repair.network import WithProcessing
from training.errors import UserError

OPERATIONS = [
    ("scale_linear", {"gain": 0.5, "offset": 60.0}),
    ("scale_linear", {"gain": [0.5, 2.0], "offset": [60.0, -1.0], "axis": "channel"}),
    ("fixed_zero_mean_unit_variance", {"mean": 100.0, "std": 20.0}),
    ("fixed_zero_mean_unit_variance", {"mean": [100.0, 90.0], "std": [20.0, 30.0], "axis": "channel"}),
    ("clip", {"min": 90.0, "max": 130.0}),
    ("sigmoid", {}),
    ("binarize", {"threshold": 100.0}),
    ("zero_mean_unit_variance", {"axes": ["channel", "y", "x"]}),
    ("zero_mean_unit_variance", {"axes": ["y", "x"]}),
    ("scale_range", {"axes": ["channel", "y", "x"], "min_percentile": 1.0, "max_percentile": 99.8}),
    ("scale_range", {"axes": ["y", "x"], "min_percentile": 0.35, "max_percentile": 100.0}),
    ("scale_range", {"axes": ["x"], "min_percentile": 5.0, "max_percentile": 95.0}),
]


def around(operations, image):
    """What bioimageio.core makes of an image (batch, channel, y, x) before a network."""
    axes = [
        v0_5.BatchAxis(),
        v0_5.ChannelAxis(channel_names=["one", "two"]),
        *(v0_5.SpaceInputAxis(id=name, size=size) for name, size in (("y", 20), ("x", 30))),
    ]
    tensor = v0_5.InputTensorDescr.model_construct(
        id="input", axes=axes, preprocessing=[_described(*each) for each in operations], optional=False
    )
    model = v0_5.ModelDescr.model_construct(inputs=[tensor], outputs=[])
    sample = create_sample_for_model(
        model, inputs={"input": Tensor.from_numpy(image, dims=["batch", "channel", "y", "x"])}
    )
    for each in setup_pre_and_postprocessing(model, []).pre:
        each(sample)
    return np.asarray(sample.members[get_member_ids([tensor])[0]].data.data)


def _described(name, kwargs):
    from pydantic import TypeAdapter

    return TypeAdapter(v0_5.PreprocessingDescr).validate_python({"id": name, **({"kwargs": kwargs} if kwargs else {})})


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each[0])
def test_an_operation_gives_the_pixels_of_the_reference(operation):
    image = np.random.default_rng(0).normal(110, 25, (1, 2, 20, 30)).astype(np.float32)
    inside = WithProcessing(torch.nn.Identity(), before=[operation])(torch.from_numpy(image)).numpy()
    wanted = around([operation], image).astype(np.float32)
    assert np.abs(inside - wanted).max() <= 1e-5 * max(np.ptp(wanted), 1)


def test_what_is_measured_before_the_network_is_the_image_as_it_came():
    image = np.random.default_rng(0).normal(110, 25, (1, 2, 20, 30)).astype(np.float32)
    chain = [OPERATIONS[0], OPERATIONS[7]]
    inside = WithProcessing(torch.nn.Identity(), before=chain)(torch.from_numpy(image)).numpy()
    assert np.allclose(inside, around(chain, image), atol=1e-5)


def test_an_image_of_one_value_has_no_deviation():
    inside = WithProcessing(torch.nn.Identity(), before=[("zero_mean_unit_variance", {})])
    assert not inside(torch.full((1, 1, 96, 120), 65535.0)).any()


def test_each_image_of_a_batch_is_measured_by_itself():
    images = torch.rand(2, 1, 20, 30) * torch.tensor([1.0, 50.0]).reshape(2, 1, 1, 1)
    inside = WithProcessing(torch.nn.Identity(), before=[OPERATIONS[9]])
    assert torch.equal(inside(images)[1:], inside(images[1:]))


@pytest.mark.parametrize(
    "operation",
    [("custom", {}), ("scale_range", {"reference_tensor": "other"}), ("clip", {"min_percentile": 1.0}),
     ("scale_linear", {"gain": [1.0, 2.0], "axis": "x"})],
)  # fmt: skip
def test_an_operation_that_cannot_stand_inside_is_named(operation):
    with pytest.raises(UserError, match=operation[0]):
        WithProcessing(torch.nn.Identity(), before=[operation])


def test_sizes_that_the_network_does_not_take_are_mirrored_up_and_cropped():
    doubling = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Upsample(scale_factor=4))
    assert WithProcessing(doubling, multiple=4)(torch.rand(1, 1, 21, 30)).shape == (1, 1, 21, 30)
