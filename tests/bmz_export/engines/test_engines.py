"""Each engine gives the network's own pixels, and whatever goes wrong in one becomes a line."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import engine_packages as tiny

from bmz_export.engines import ENGINES, GIB, Job
from bmz_export.engines.process import run_worker, workers_ended
from bmz_export.engines.viewer import write_screenshot
from bmz_export.package.archive import open_package
from training.evaluation.pictures import is_ours

SHAPES = ((1, 1, 64, 64), (1, 1, 48, 80), (2, 1, 40, 32))
WEIGHTS = {"pytorch_state_dict": "weights.pth", "torchscript": "weights.pt", "onnx": "weights.onnx"}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("tiny") / "package")


def job(package, weights_format, shapes=SHAPES, **more):
    return Job(
        package,
        weights_format,
        package / WEIGHTS[weights_format],
        tiny.images(*shapes),
        timeout=400,
        trust=True,
        **more,
    )


PAIRS = [(name, weights_format) for name, engine in ENGINES.items() for weights_format in engine.weights]


@pytest.mark.engine
@pytest.mark.parametrize(("name", "weights_format"), PAIRS)
def test_gives_the_networks_pixels_at_any_size_and_batch(package, name, weights_format):
    engine = ENGINES[name]
    if not engine.installed():
        pytest.skip(f"{name} is not installed: {engine.install_hint}")
    asked = job(package, weights_format)
    outcome = engine.run(asked)
    assert (outcome.error, outcome.skipped) == (None, None)
    assert [output.shape for output in outcome.outputs] == list(SHAPES)
    for image, output in zip(asked.inputs, outcome.outputs, strict=True):
        assert np.abs(output - tiny.expected(image)).max() < 1e-5 * np.ptp(output)
    assert len(outcome.seconds) == 3
    assert outcome.peak_memory > 10_000_000


def test_a_packages_own_python_runs_only_with_trust(package, tmp_path):
    hostile = tiny.build(tmp_path / "hostile")
    proof = tmp_path / "ran"
    (hostile / "net.py").write_text(f"open({str(proof)!r}, 'w')\n" + tiny.ARCHITECTURE)
    untrusted = dataclasses.replace(job(hostile, "pytorch_state_dict"), trust=False)
    outcome = ENGINES["bioimageio.core"].run(untrusted)
    assert "trust" in outcome.skipped
    assert outcome.error is None
    assert not proof.exists()


def test_what_worked_before_a_failure_is_kept_and_the_failing_shape_named(package):
    outcome = ENGINES["torch"].run(job(package, "torchscript", shapes=((1, 1, 32, 32), (1, 3, 32, 32))))
    assert len(outcome.outputs) == 1
    assert outcome.error.startswith("on an input of shape (1, 3, 32, 32): ")
    assert "channels" in outcome.error
    assert "\n" not in outcome.error


def test_a_broken_file_is_a_line(package, tmp_path):
    (tmp_path / "weights.pt").write_bytes((package / "weights.pt").read_bytes()[:1000])
    outcome = ENGINES["torch"].run(Job(tmp_path, "torchscript", tmp_path / "weights.pt", tiny.images((1, 1, 32, 32))))
    assert outcome.outputs == ()
    assert outcome.error
    assert "\n" not in outcome.error


class Greedy(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        held = [torch.ones(100_000_000 // 4)]
        while len(held) < 1_000:
            held.append(torch.ones(100_000_000 // 4) + len(held))
        return image + held[3][0]


class Endless(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        while bool(image.sum() < 1e30):
            image = image * 1.0
        return image


def scripted(module, path):
    module.eval()
    with pytest.warns(FutureWarning):
        torch.jit.script(module).save(str(path))
    return path


class Repeating(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[0, 0].expand(100_000, -1, -1)


class Talking(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        while bool(image.sum() < 1e30):
            print(image)
        return image


def test_a_result_that_would_fill_the_disk_is_refused(tmp_path):
    weights = scripted(Repeating(), tmp_path / "weights.pt")
    outcome = ENGINES["torch"].run(Job(tmp_path, "torchscript", weights, tiny.images((1, 1, 32, 32))))
    assert "returns 100000x32x32, 391 MB: too much for an image of 1024 values" in outcome.error
    assert outcome.outputs == ()


def test_what_a_network_prints_is_not_kept(tmp_path):
    weights = scripted(Talking(), tmp_path / "weights.pt")
    job = Job(tmp_path, "torchscript", weights, tiny.images((1, 1, 32, 32)), timeout=5, disk_limit=2**20)
    assert ENGINES["torch"].run(job).error.endswith("no answer within 5 s of processor time")


def test_a_worker_that_fills_the_disk_is_stopped(tmp_path, monkeypatch):
    (tmp_path / "writing_runtime.py").write_text(
        "import sys\ndef load(task):\n    while True:\n        sys.stderr.write('x' * 100_000)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    asked = Job(tmp_path, "onnx", tmp_path / "x", (), timeout=60, disk_limit=GIB // 10)
    assert run_worker("writing_runtime", asked).error == "stopped: it wrote more than 0.1 GiB"


def test_a_network_that_never_ends_is_stopped(tmp_path):
    weights = scripted(Endless(), tmp_path / "weights.pt")
    outcome = ENGINES["torch"].run(Job(tmp_path, "torchscript", weights, tiny.images((1, 1, 32, 32)), timeout=6))
    assert outcome.error.endswith("no answer within 6 s of processor time")
    assert outcome.out_of_time


def worker_that(tmp_path, monkeypatch, what, **limits):
    (tmp_path / "odd_runtime.py").write_text(
        f"import time\ndef load(task):\n    {what}\n    return lambda image: [image]\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return run_worker("odd_runtime", Job(tmp_path, "onnx", tmp_path / "x", tiny.images((1, 1, 8, 8)), **limits))


def test_a_worker_that_waits_has_more_time_than_one_that_computes(tmp_path, monkeypatch):
    waited = worker_that(tmp_path, monkeypatch, "time.sleep(5)", timeout=4)
    assert waited.error is None
    assert len(waited.outputs) == 1
    computed = worker_that(tmp_path, monkeypatch, "while True: pass", timeout=4)
    assert computed.error == "no answer within 4 s of processor time"
    assert computed.out_of_time


def test_a_worker_that_waits_for_ever_is_stopped(tmp_path, monkeypatch):
    outcome = worker_that(tmp_path, monkeypatch, "time.sleep(600)", timeout=2)
    assert "in which it computed for" in outcome.error
    assert outcome.out_of_time


def test_a_network_that_takes_all_memory_is_stopped(tmp_path):
    weights = scripted(Greedy(), tmp_path / "weights.pt")
    outcome = ENGINES["torch"].run(
        Job(tmp_path, "torchscript", weights, tiny.images((1, 1, 32, 32)), memory_limit=2 * GIB)
    )
    assert outcome.error.endswith("stopped: it held more than 2.0 GiB of memory")
    assert outcome.peak_memory > 2 * GIB


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process crashed (SIGSEGV)"),
        ("import os; os._exit(3)", "the process ended early (exit code 3)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "for want of memory"),
        ("raise ValueError('first\\nsecond')", "first"),
    ],
)
def test_a_crash_is_a_line(tmp_path, monkeypatch, code, line):
    (tmp_path / "broken_runtime.py").write_text(f"def load(task):\n    {code}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = run_worker("broken_runtime", Job(tmp_path, "onnx", tmp_path / "x", tiny.images((1, 1, 8, 8))))
    assert line in outcome.error


def test_the_worker_sees_none_of_the_users_settings(tmp_path, monkeypatch):
    (tmp_path / "curious_runtime.py").write_text(
        "import os, pathlib\n"
        "def load(task):\n"
        "    pathlib.Path('left_behind').write_text('x')\n"
        "    raise ValueError(str(sorted(k for k in os.environ if 'SECRET' in k)) + os.environ['HOME'])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("MY_SECRET", "1")
    outcome = run_worker("curious_runtime", Job(tmp_path, "onnx", tmp_path / "x", ()))
    assert "[]" in outcome.error
    assert not (tmp_path / "left_behind").exists()


def test_weights_outside_the_package_are_refused(package, tmp_path):
    import onnx

    model = onnx.load(str(package / "weights.onnx"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", "144")):
        tensor.external_data.add(key=key, value=value)
    (tmp_path / "secret.bin").write_bytes(bytes(144))
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "weights.onnx").write_bytes(model.SerializeToString())
    outcome = ENGINES["onnxruntime"].run(Job(folder, "onnx", folder / "weights.onnx", tiny.images((1, 1, 32, 32))))
    assert "outside the package: ../secret.bin" in outcome.error


@pytest.mark.engine
def test_the_browsers_page_shows_an_image_before_and_after(package, tmp_path):
    from PIL import Image

    engine = ENGINES["onnxruntime-web"]
    if not engine.installed():
        pytest.skip(f"{engine.name} is not installed: {engine.install_hint}")
    target = tmp_path / "page.png"
    for _ in range(2):  # the second takes the place of the first
        with open_package(package) as opened:
            write_screenshot(opened, tiny.images((90, 120))[0], target, title="cells.tif")
        assert is_ours(target)
    with Image.open(target) as picture:
        assert picture.size == (2880, 1800)
        colours = picture.convert("RGB").getcolors(maxcolors=2**24)
    assert len(colours) > 200
    assert [path.name for path in tmp_path.iterdir()] == ["page.png"]


def test_after_an_interrupted_check_workers_run_again(package):
    with pytest.raises(KeyboardInterrupt), workers_ended():
        raise KeyboardInterrupt
    assert ENGINES["onnxruntime"].run(job(package, "onnx")).error is None
