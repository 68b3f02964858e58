"""The networks are the published ones, and run in every tool: same keys, numbers and outputs, traced and exported."""

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.exported import onnx, traced

import training.networks
from training.calibration.layer import Calibrated, Constants
from training.networks import NETWORKS, create

PARAMETERS = {
    "dncnn": 555_137,
    "drunet": 32_638_656,
    "restormer": 26_109_076,
    "kbnet": 141_964_353,
    "nafnet": 29_158_561,
    "unet": 922_977,
}

# Our settings by those of the published code; what is not here is fixed by the gray denoising form.
OUR_SETTINGS = {
    "drunet": {"widths": "widths", "blocks": "blocks"},
    "restormer": {
        "dim": "width",
        "num_blocks": "blocks",
        "num_refinement_blocks": "refinement_blocks",
        "heads": "heads",
        "ffn_expansion_factor": "expansion",
    },
    "kbnet": {
        "width": "width",
        "enc_blk_nums": "encoder_blocks",
        "middle_blk_num": "middle_blocks",
        "dec_blk_nums": "decoder_blocks",
    },
}
FIXED = {"bias": False, "LayerNorm_type": "BiasFree", "img_channel": 1}

QUICK = [
    pytest.param(name, marks=pytest.mark.slow if name == "kbnet" else ()) for name in NETWORKS
]  # the formats of a package of each network are compared in test_weights.py


def small(name, seed=0):
    """The small network with every parameter random, also those that start at zero."""
    torch.manual_seed(seed)
    network = create(name, **NETWORKS[name].small_settings).eval().requires_grad_(False)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.3)
    return network


def wrapped(name):
    network = NETWORKS[name]
    return Calibrated(
        small(name),
        Constants(noise_map=network.noise_map, multiple=network.stride, offset=100, scale=900, sigma=0.1),
    ).eval()


def picture(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 1000, shape).astype(np.float32))


def reference_module(shared):
    spec = importlib.util.spec_from_file_location("reference_fill", shared("reference/fill.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "reference",
    [
        "drunet_small",
        "restormer_small",
        "kbnet_small",
        pytest.param("drunet_full", marks=pytest.mark.slow),
        pytest.param("restormer_full", marks=pytest.mark.slow),
        pytest.param("kbnet_full", marks=pytest.mark.slow),
    ],
)
def test_keys_numbers_and_outputs_equal_the_published_networks(shared, reference):
    name, size = reference.split("_")
    published = json.loads(shared("reference/keys.json").read_text())[reference]
    theirs = OUR_SETTINGS[name]
    assert all(FIXED[key] == value for key, value in published["settings"].items() if key not in theirs)
    settings = {theirs[key]: value for key, value in published["settings"].items() if key in theirs}
    network = create(name, **({} if size == "full" else settings)).eval().requires_grad_(False)

    state = network.state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == published["state_dict"]
    assert sum(parameter.numel() for parameter in network.parameters()) == published["parameters"]

    network.load_state_dict(reference_module(shared).fill(state, seed=0))
    arrays = np.load(shared(f"reference/{reference}.npz"))
    for kind in ("", "_odd"):
        expected = arrays[f"output{kind}"]
        returned = network(torch.from_numpy(arrays[f"input{kind}"])).numpy()
        np.testing.assert_allclose(returned, expected, rtol=1e-4, atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize("name", NETWORKS)
def test_published_settings_give_the_published_number_of_parameters(name):
    with torch.device("meta"):
        network = create(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


def test_nafnet_is_the_published_one_as_spandrel_carries_it():
    theirs = pytest.importorskip("spandrel.architectures.NAFNet", reason="needs spandrel, as bmz-fmd[spandrel] has it")
    network = small("nafnet")
    settings = NETWORKS["nafnet"].small_settings
    published = theirs.NAFNet(
        img_channel=1,
        width=settings["width"],
        enc_blk_nums=settings["encoder_blocks"],
        middle_blk_num=settings["middle_blocks"],
        dec_blk_nums=settings["decoder_blocks"],
    ).eval()
    published.load_state_dict(network.state_dict())
    image = torch.rand(1, 1, 32, 48)
    torch.testing.assert_close(network(image), published(image).detach())


def test_dncnn_has_the_published_keys(shared):
    published = torch.load(shared("data/weights/dncnn_25.pth"), weights_only=True)
    state = create("dncnn").state_dict()
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in published.items()}


@pytest.mark.parametrize(
    ("images", "psnr"),
    [
        pytest.param((7, 11), None, id="two of twelve"),
        pytest.param(range(12), 30.44, id="all", marks=pytest.mark.slow),
    ],
)
def test_dncnn_denoises_photographs_as_well_as_published(shared, images, psnr):
    from skimage.io import imread
    from skimage.metrics import peak_signal_noise_ratio

    network = create("dncnn").eval().requires_grad_(False)
    network.load_state_dict(torch.load(shared("data/weights/dncnn_25.pth"), weights_only=True))
    scores = []
    files = sorted(shared("data/set12").glob("*.png"))
    for path in [files[index] for index in images]:
        clean = imread(path).astype(np.float32) / 255
        if psnr is None:
            clean = clean[:128, :128]
        np.random.seed(0)
        noisy = (clean + np.random.normal(0, 25 / 255, clean.shape)).astype(np.float32)
        denoised = network(torch.from_numpy(noisy)[None, None])[0, 0].numpy().clip(0, 1)
        scores.append(peak_signal_noise_ratio(clean, denoised, data_range=1))
        assert scores[-1] > peak_signal_noise_ratio(clean, noisy, data_range=1) + 6
    if psnr is not None:
        assert round(float(np.mean(scores)), 2) == psnr


@pytest.mark.parametrize("name", QUICK)
def test_a_trace_holds_for_every_batch_and_size_and_names_no_device(name):
    module = wrapped(name)
    loaded, code = traced(module, picture((2, 1, 67, 93)))
    assert "torch.device(" not in code
    for shape in [(1, 1, 1, 1), (1, 1, 5, 70), (3, 1, 32, 48), (2, 1, 67, 93)]:
        torch.testing.assert_close(loaded(picture(shape)), module(picture(shape)), rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("name", QUICK)
def test_an_onnx_export_holds_for_every_batch_and_size(name):
    module = wrapped(name)
    run = onnx(module, picture((2, 1, 67, 93)))
    for shape in [(1, 1, 1, 1), (1, 1, 5, 70), (3, 1, 32, 48), (2, 1, 67, 93)]:
        torch.testing.assert_close(run(picture(shape)), module(picture(shape)), rtol=1e-5, atol=1e-2)


def test_kbnet_takes_any_size_by_itself():
    network = small("kbnet")
    image = torch.rand(1, 1, 19, 33)
    padded = torch.nn.functional.pad(image, (0, 15, 0, 13))
    torch.testing.assert_close(network(image), network(padded)[:, :, :19, :33])
    torch.testing.assert_close(traced(network, torch.rand(2, 1, 67, 93))[0](image), network(image))


@pytest.mark.parametrize("groups", [1, 3, 16, 40])
def test_kernel_attention_in_slices_is_the_attention_written_out(groups):
    sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
    try:
        from kbnet_memory import plainly
    finally:
        sys.path.pop(0)
    from training.networks.kbnet import _kernel_attention

    torch.manual_seed(0)
    arguments = [
        torch.rand(shape, dtype=torch.float64, requires_grad=True)
        for shape in [(2, 4 * groups, 5, 7), (2, 32, 5, 7), (1, 32, 144 * groups), (1, 32, 4 * groups)]
    ]
    ours, written_out = _kernel_attention(*arguments, groups), plainly(*arguments, groups)
    torch.testing.assert_close(ours, written_out)
    weights = torch.rand_like(ours)
    for slope, expected in zip(
        torch.autograd.grad((ours * weights).sum(), arguments),
        torch.autograd.grad((written_out * weights).sum(), arguments),
        strict=True,
    ):
        torch.testing.assert_close(slope, expected)


@pytest.mark.slow
def test_a_512_x_512_image_adds_at_most_a_quarter_of_the_memory_of_the_attention_written_out():
    script = Path(__file__).parents[3] / "benchmarks" / "kbnet_memory.py"
    answer = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True).stdout
    assert float(answer.split()[-1]) <= 0.25


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dncnn", {"depth": 2, "width": 4}),
        ("dncnn", {"depth": 9, "width": 4}),
        ("drunet", {"widths": (2, 2, 2, 2), "blocks": 1}),
        ("drunet", {"widths": (2, 2, 2, 2), "blocks": 2}),
        ("unet", {"width": 2, "levels": 2, "kernel": 3}),
        ("unet", {"width": 2, "levels": 1, "kernel": 5}),
    ],
)
def test_the_radius_is_how_far_a_pixel_reaches(name, settings):
    network = create(name, **settings).double()
    for parameter in network.parameters():
        parameter.data.fill_(0.1)  # positive, so that no path is cut off
    (radius, _), (stride, _) = NETWORKS[name].radius(settings), NETWORKS[name].stride
    size = 2 * (radius // stride + 2) * stride
    reach = 0
    for phase in range(stride):
        pixel = size // 2 - stride // 2 + phase
        image = torch.ones(1, 1 + NETWORKS[name].noise_map, size, stride, dtype=torch.float64, requires_grad=True)
        network(image)[0, 0, pixel, 0].backward()
        touched = image.grad[0, 0].any(1).nonzero().flatten()
        reach = max(reach, pixel - int(touched.min()), int(touched.max()) - pixel)
    assert reach == radius


@pytest.mark.parametrize(
    ("name", "radius"),
    [("dncnn", (17, 17)), ("drunet", (185, 185)), ("unet", (43, 43)), ("restormer", None), ("kbnet", None)],
)
def test_the_radius_of_the_published_settings(name, radius):
    assert NETWORKS[name].radius(NETWORKS[name].settings) == radius
    assert NETWORKS[name].radius({}) == radius


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns_from_the_start_or_soon_after(name):
    torch.manual_seed(0)
    network = create(name, **NETWORKS[name].small_settings)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    image = torch.rand(2, 1 + NETWORKS[name].noise_map, 32, 32)
    touched = set()
    for _ in range(4):
        optimiser.zero_grad()
        (network(image) - 0.5).square().mean().backward()
        optimiser.step()
        touched |= {key for key, value in network.named_parameters() if value.grad is not None and value.grad.any()}
    assert touched == {key for key, _ in network.named_parameters()}


def test_a_new_dncnn_starts_as_the_identity_and_learns_in_seconds():
    generator = torch.manual_seed(0)
    network = create("dncnn", depth=8, width=16)
    clean = torch.nn.functional.interpolate(torch.rand(32, 1, 6, 6, generator=generator), 24, mode="bilinear")
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
    before = float((network(noisy) - clean).detach().square().mean())
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(60):
        optimiser.zero_grad()
        loss = (network(noisy) - clean).abs().mean()
        loss.backward()
        optimiser.step()
    assert before == pytest.approx(0.01, rel=0.05)  # the noise's variance
    assert float((network(noisy) - clean).detach().square().mean()) < before / 4


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_file_imports_torch_alone(name):
    tree = ast.parse(Path(training.networks.__file__).with_name(f"{name}.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {name for node in imports for name in [getattr(node, "module", None) or node.names[0].name]}
    assert "__future__" not in modules
    assert {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) == {"torch"}


def test_the_registry_is_read_without_torch():
    code = (
        "import sys, training.networks as n; n.NETWORKS['drunet'].settings; "
        "print([m for m in ('torch', 'lightning') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", NETWORKS)
def test_an_entry_of_the_registry_says_where_the_network_comes_from(name):
    network = NETWORKS[name]
    assert network.name == name
    assert "doi:" in network.paper or "https://" in network.paper
    assert network.source.startswith("https://")
    assert network.title and network.licence


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("care", {}, "choose one of dncnn, drunet, kbnet, nafnet, restormer, unet"),
        ("dncnn", {"layers": 8}, "no setting 'layers'; it has depth, width"),
        ("dncnn", {"depth": 1}, "depth >= 2"),
        ("dncnn", {"depth": 8.0}, "depth is a whole number above 0 such as 17, not 8.0"),
        ("dncnn", {"width": True}, "width is a whole number"),
        ("drunet", {"widths": 64}, "widths is a list such as"),
        ("restormer", {"heads": [0, 2, 4, 8]}, "heads is a whole number above 0"),
        ("restormer", {"expansion": -1}, "expansion is a number above 0"),
        ("restormer", {"expansion": float("nan")}, "expansion is a number above 0"),
        ("drunet", {"widths": [8, 8]}, "four widths"),
        ("restormer", {"width": 9}, "even width"),
        ("restormer", {"heads": [1, 2, 4, 5]}, "its heads divide"),
        ("kbnet", {"width": 6}, "multiple of 4"),
        ("nafnet", {"encoder_blocks": [1, 1]}, "four encoder_blocks"),
        ("unet", {"levels": 3}, "levels 1 or 2"),
        ("unet", {"kernel": 4}, "an odd kernel"),
    ],
)
def test_what_makes_no_network_is_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        create(name, **settings)
