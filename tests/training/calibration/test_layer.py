"""The wrapper keeps an image's units, size and borders, in Python as in a traced and an exported model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.exported import onnx, traced
from torch import nn

from training.calibration.layer import Calibrated, Constants, follow

SIZES = [(1, 1, 1, 1), (2, 1, 1, 1), (1, 1, 3, 2), (3, 1, 8, 8), (1, 1, 37, 5), (1, 1, 64, 90)]
CURVE = {
    "knots": tuple(np.linspace(2, 250, 129).tolist()),
    "values": tuple(np.cumsum(np.random.default_rng(0).uniform(0.5, 3, 129)).tolist()),
}
FORMS = {
    "affine": {"offset": 120.0, "scale": 900.0},
    "affine in multiples": {"offset": 120.0, "scale": 900.0, "multiple": 8},
    "affine with margin": {"offset": 120.0, "scale": 900.0, "multiple": 8, "margin": 5},
    "noise map": {"offset": 120.0, "scale": 900.0, "multiple": 16, "noise_map": True, "sigma": 0.07},
    "anscombe": {"transform": "anscombe", "pedestal": 100.0, "gain": 2.5, "read_noise": 4.0, "scale": 20.0},
    "spline": {"transform": "spline", "pedestal": 100.0, "gain": 2.5, "scale": 20.0, "margin": 3, **CURVE},
    "instance": {"statistics": "instance", "offset": -0.5, "scale": 3.0, "multiple": 4},
    "anscombe instance": {"transform": "anscombe", "gain": 3.0, "statistics": "instance", "scale": 2.0, "margin": 3},
}


class Probe(nn.Module):
    """A convolution without bias that sees every channel: it depends on borders and on a noise map."""

    def __init__(self, channels):
        super().__init__()
        self.convolution = nn.Conv2d(channels, 1, 3, padding=1, bias=False)

    def forward(self, image):
        return self.convolution(image)


class Keep(nn.Module):
    """Returns the first channel as it is and remembers what it was given."""

    def forward(self, image):
        self.seen = image
        return image[:, :1]


def probe(form):
    torch.manual_seed(0)
    return (
        Calibrated(Probe(1 + FORMS[form].get("noise_map", False)), Constants(**FORMS[form]))
        .eval()
        .requires_grad_(False)
    )


def picture(shape, seed=1, low=80.0, high=60000.0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32))


@pytest.mark.parametrize("transform", ["affine", "anscombe"])
@pytest.mark.parametrize("statistics", ["dataset", "instance"])
def test_with_a_denoiser_that_changes_nothing_16_bit_values_come_back(transform, statistics):
    module = Calibrated(
        Keep(),
        Constants(transform=transform, statistics=statistics, multiple=8, margin=4, offset=2.0, scale=0.7, gain=1.0),
    )
    image = torch.arange(65536, dtype=torch.float32).reshape(1, 1, 256, 256)
    # The unbiased inverse differs from the algebraic one by at most a quarter of a photo-electron.
    tolerance = 0.35 if transform == "anscombe" else 0.02
    assert torch.allclose(module(image), image, rtol=0, atol=tolerance)


@pytest.mark.parametrize("margin", [0, 1, 7, 30])
@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 20)])
def test_borders_are_mirrored_with_the_edge_pixel_repeated(size, multiple, margin):
    keep = Keep()
    image = picture((2, 1, *size))
    module = Calibrated(keep, Constants(multiple=multiple, margin=margin))
    returned = module(image)
    fill = [-(n + 2 * margin) % multiple for n in size]
    pad = [(0, 0), (0, 0), (margin, margin + fill[0]), (margin, margin + fill[1])]
    np.testing.assert_array_equal(keep.seen.numpy(), np.pad(image.numpy(), pad, mode="symmetric"))
    np.testing.assert_array_equal(returned.numpy(), image.numpy())


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 8), (9, 20, 7)])
def test_a_volume_is_extended_by_its_own_numbers_along_each_axis(size):
    keep = Keep()
    image = picture((2, 1, *size))
    multiple, margin = (1, 8, 4), (2, 5, 0)
    returned = Calibrated(keep, Constants(multiple=multiple, margin=margin))(image)
    pad = [(m, m + -(n + 2 * m) % k) for n, m, k in zip(size, margin, multiple, strict=True)]
    np.testing.assert_array_equal(keep.seen.numpy(), np.pad(image.numpy(), [(0, 0), (0, 0), *pad], mode="symmetric"))
    np.testing.assert_array_equal(returned.numpy(), image.numpy())


@pytest.mark.parametrize("form", [form for form in FORMS if form != "noise map"])
def test_a_volume_of_one_plane_is_the_plane(form):
    class Planes(nn.Module):
        """The network of the plane, over each plane of a volume."""

        def forward(self, volume):
            return flat.denoiser(volume[:, :, 0])[:, :, None]

    flat = probe(form)
    given = flat.constants
    multiple, margin = (1, given.multiple, given.multiple), (0, given.margin, given.margin)
    volume = Calibrated(Planes(), replace(given, multiple=multiple, margin=margin))
    image = picture((2, 1, 21, 30))
    assert torch.equal(volume(image[:, :, None])[:, :, 0], flat(image))


def test_statistics_of_a_volume_are_over_all_its_axes():
    keep = Keep()
    image = torch.cat([picture((1, 1, 3, 9, 9), 1), 0.001 * picture((1, 1, 3, 9, 9), 2)])
    Calibrated(keep, Constants(statistics="instance"))(image)
    expected = [(each - each.mean()) / each.std() for each in image.numpy()]
    np.testing.assert_allclose(keep.seen.numpy(), expected, atol=1e-5)


def test_a_traced_volume_holds_for_every_size():
    module = Calibrated(nn.Conv3d(1, 1, 3, padding=1), Constants("anscombe", multiple=(1, 4, 4), margin=(1, 3, 3)))
    module = module.eval().requires_grad_(False)
    loaded, code = traced(module, picture((2, 1, 3, 13, 11)))
    assert "torch.device(" not in code
    for shape in [(1, 1, 1, 1, 1), (1, 1, 5, 8, 30)]:
        torch.testing.assert_close(loaded(picture(shape)), module(picture(shape)), rtol=1e-5, atol=1e-2)


def test_the_denoiser_sees_the_stated_affine_units():
    keep = Keep()
    Calibrated(keep, Constants(offset=100.0, scale=50.0))(torch.tensor([[[[100.0, 150.0, 75.0]]]]))
    assert keep.seen.flatten().tolist() == [0.0, 1.0, -0.5]


def test_instance_statistics_are_of_each_image_alone():
    keep = Keep()
    image = torch.cat([picture((1, 1, 9, 9), 1), 0.001 * picture((1, 1, 9, 9), 2), torch.full((1, 1, 9, 9), 7.0)])
    returned = Calibrated(keep, Constants(statistics="instance", offset=0.5, scale=2.0))(image)
    expected = [(plane - plane.mean()) / (plane.std() or 1) / 2 - 0.25 for plane in image.numpy()]
    np.testing.assert_allclose(keep.seen.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(returned.numpy(), image.numpy(), rtol=1e-4)


def test_the_noise_map_holds_sigma_everywhere():
    keep = Keep()
    Calibrated(keep, Constants(noise_map=True, sigma=0.25, multiple=8))(picture((2, 1, 5, 9)))
    assert keep.seen.shape == (2, 2, 8, 16)
    assert bool((keep.seen[:, 1] == 0.25).all())


def test_anscombe_makes_the_noise_one_at_every_level():
    rng = np.random.default_rng(0)
    level = np.repeat([5.0, 20.0, 100.0, 5000.0], 40000).reshape(4, 1, 200, 200)
    noisy = 2.5 * rng.poisson(level) + 100 + rng.normal(0, 4, level.shape)
    keep = Keep()
    Calibrated(keep, Constants(transform="anscombe", gain=2.5, pedestal=100, read_noise=4))(
        torch.from_numpy(noisy).float()
    )
    np.testing.assert_allclose(keep.seen.std((1, 2, 3)).numpy(), 1, atol=0.05)


@pytest.mark.parametrize("read_noise", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("level", [0.3, 1.0, 3.0, 20.0, 1000.0])
def test_the_inverse_of_anscombe_is_unbiased(level, read_noise):
    class Mean(nn.Module):
        def forward(self, image):
            return image.mean((1, 2, 3), keepdim=True).expand_as(image)

    rng = np.random.default_rng(0)
    noisy = 2.5 * rng.poisson(level, (1, 1, 1000, 1000)) + rng.normal(0, 2.5 * read_noise, (1, 1, 1000, 1000)) + 100
    module = Calibrated(Mean(), Constants(transform="anscombe", gain=2.5, pedestal=100, read_noise=2.5 * read_noise))
    electrons = (float(module(torch.from_numpy(noisy).float())[0, 0, 0, 0]) - 100) / 2.5
    assert electrons == pytest.approx(level, rel=0.01, abs=0.06)


def test_values_beyond_any_range_give_numbers_and_gradients():
    for read_noise in (0.0, 30.0):
        keep = Calibrated(Keep(), Constants("anscombe", pedestal=100, gain=2, read_noise=read_noise, scale=10))
        image = torch.tensor([-1e6, -100.0, 0.0, 99.25, 100.0, 1e9]).reshape(1, 1, 2, 3).requires_grad_()
        returned = keep(image)
        returned.sum().backward()
        assert bool(torch.isfinite(returned).all())
        assert bool(torch.isfinite(image.grad).all())


def test_the_inverse_of_anscombe_increases_and_is_finite_over_all_numbers():
    class Answer(nn.Module):
        def forward(self, image):
            return answers

    answers = torch.linspace(-50, 50, 20001).reshape(1, 1, 1, -1).requires_grad_()
    returned = Calibrated(Answer(), Constants(transform="anscombe", read_noise=2))(torch.zeros(1, 1, 1, 20001))
    assert bool((returned.diff() >= 0).all())
    (slope,) = torch.autograd.grad(returned.sum(), answers)
    assert bool(torch.isfinite(slope).all())


def test_structure_and_state_dict_rebuild_it():
    structure = {"transform": "anscombe", "statistics": "instance", "noise_map": True, "multiple": (8, 4), "margin": 3}
    numbers = {"offset": 1.5, "scale": 2.0, "pedestal": 100.0, "gain": 0.5, "read_noise": 4.0, "sigma": 0.125}
    module = Calibrated(Keep(), Constants(**structure, **numbers))
    assert module.constants.structure == structure
    again = Calibrated(Keep(), Constants(**structure))
    again.load_state_dict(module.state_dict())
    assert again.constants == module.constants == Constants(**structure, **numbers)


def test_one_number_for_all_axes_is_the_same_as_one_number_an_axis():
    assert Constants(multiple=[8, 8], margin=(3, 3)) == Constants(multiple=8, margin=3)


def test_constants_travel_in_the_state_dict_and_nothing_else_of_the_wrapper():
    state = probe("affine with margin").state_dict()
    assert set(state) == {
        "offset", "scale", "pedestal", "gain", "read_noise", "sigma", "denoiser.convolution.weight"
    }  # fmt: skip
    other = Calibrated(Probe(1), Constants(multiple=8, margin=5)).eval()
    other.load_state_dict(state)
    image = picture((1, 1, 20, 20))
    assert torch.equal(other(image), probe("affine with margin")(image))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("transform", "log"),
        ("statistics", "tile"),
        ("multiple", 0),
        ("margin", -1),
        ("scale", 0.0),
        ("gain", -1.0),
        ("offset", float("nan")),
        ("sigma", float("inf")),
    ],
)
def test_a_constant_that_cannot_be_is_named(argument, value):
    with pytest.raises(ValueError, match=argument):
        Calibrated(Keep(), Constants(**{argument: value}))


@pytest.mark.parametrize("form", ["affine", "anscombe"])
def test_autocast_costs_the_calibration_no_precision(form):
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(1, 1, 1)

        def forward(self, image):
            return self.convolution(image) * 0 + 8

    module = Calibrated(Constant(), Constants(**FORMS[form])).eval()
    image = picture((1, 1, 16, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        returned = module(image)
    assert returned.dtype == torch.float32
    assert torch.equal(returned, module(image))


@pytest.mark.parametrize("form", FORMS)
def test_a_trace_holds_for_every_batch_and_size_and_names_no_device(form):
    module = probe(form)
    loaded, code = traced(module, picture((2, 1, 67, 93)))
    assert "torch.device(" not in code
    for shape in SIZES:
        image = picture(shape)
        torch.testing.assert_close(loaded(image), module(image), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_an_onnx_export_holds_for_every_batch_and_size(form):
    module = probe(form)
    run = onnx(module, picture((2, 1, 67, 93)))
    for shape in SIZES:
        image = picture(shape)
        torch.testing.assert_close(run(image), module(image), rtol=1e-5, atol=0.05)


def test_a_spline_is_the_anscombe_transform_at_its_start_whatever_its_knots():
    anscombe = Constants("anscombe", pedestal=100, gain=2.5, read_noise=4, scale=20)
    image = torch.linspace(0, 60000, 40000).reshape(1, 1, 200, 200)
    for curve in ({}, {"knots": CURVE["knots"], "values": CURVE["knots"]}):
        seen = [Keep(), Keep()]
        returned = [
            Calibrated(keep, constants)(image)
            for keep, constants in zip(seen, (anscombe, replace(anscombe, transform="spline", **curve)), strict=True)
        ]
        torch.testing.assert_close(seen[0].seen, seen[1].seen, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(*returned, rtol=1e-5, atol=0.05)


def test_a_spline_increases_goes_on_straight_beyond_its_knots_and_is_undone_exactly():
    knots, heights = (torch.tensor(CURVE[name], dtype=torch.float64) for name in ("knots", "values"))
    values = torch.linspace(-300, 900, 100_001, dtype=torch.float64)
    found = follow(values, knots, heights)
    assert bool((found.diff() > 0).all())
    torch.testing.assert_close(found, follow(values + 0.0, knots, heights))
    torch.testing.assert_close(follow(knots, knots, heights), heights)
    torch.testing.assert_close(follow(found, heights, knots), values, rtol=0, atol=1e-9)
    for beyond in (values < knots[0], values > knots[-1]):
        torch.testing.assert_close(found[beyond].diff(2), torch.zeros_like(found[beyond].diff(2)), rtol=0, atol=1e-9)


def test_a_spline_is_the_same_in_tiles_as_in_the_whole():
    module, image = probe("spline"), picture((1, 1, 60, 60))
    whole, part = module(image), module(image[..., :40, 20:])
    torch.testing.assert_close(whole[..., :30, 30:], part[..., :30, 10:], rtol=0, atol=0)


def test_a_splines_curve_travels_with_the_weights():
    module = probe("spline")
    structure = module.constants.structure
    assert not {"knots", "values"} & set(structure)
    empty = Calibrated(Probe(1), Constants(**structure))
    empty.load_state_dict(module.state_dict())
    assert empty.constants == module.constants


@pytest.mark.parametrize("curve", [{"knots": (1.0, 2.0)}, {"values": (*CURVE["values"][:-1], 0.0)}])
def test_a_curve_that_is_none_is_refused(curve):
    with pytest.raises(ValueError, match="are"):
        Constants("spline", **curve)
    with pytest.raises(ValueError, match="none of another transform"):
        Constants("anscombe", **CURVE)
