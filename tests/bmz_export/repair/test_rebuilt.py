"""A TorchScript archive is run again operation by operation, and can be traced and exported anew."""

import numpy as np
import onnxruntime
import pytest
import torch
from planted.spoiling import quiet

from bmz_export.package.rebuilt import Rebuilt
from bmz_export.package.weights import write_onnx, write_torchscript


def plain():
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(4)
    norm.running_mean.uniform_(-0.2, 0.2)
    last = torch.nn.ConvTranspose2d(4, 1, 2, stride=2)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), norm, torch.nn.MaxPool2d(2), last)


class Varied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = plain()
        self.norms = torch.nn.Sequential(torch.nn.InstanceNorm2d(1), torch.nn.LeakyReLU(0.1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        values = self.norms(self.inner(image))
        half = torch.nn.functional.interpolate(values, scale_factor=0.5, mode="bilinear", align_corners=False)
        return values + torch.nn.functional.interpolate(half, size=[image.shape[2], image.shape[3]])


class OnADevice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = plain()

    def forward(self, image):
        places = torch.arange(0, 2 * image.shape[-1], 2) * torch.full((image.shape[-1],), 0.5)
        places = places + torch.linspace(0, 1, image.shape[-1])
        return torch.nn.functional.dropout(self.inner(image), 0.0, True) + places + torch.zeros(1)


MODELS = {"varied": Varied, "on a device": OnADevice}


def archive_of(kind, way, path):
    model = MODELS[kind]().eval().requires_grad_(False)
    image = torch.rand(1, 1, 64, 64)
    with quiet():
        script = torch.jit.script(model) if way == "scripted" else torch.jit.trace(model, image, check_trace=False)
        script.save(path)
        return model, torch.jit.load(path)


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize(("kind", "way"), [("varied", "traced"), ("varied", "scripted"), ("on a device", "traced")])
def test_it_computes_the_same_and_can_be_exported_for_every_tool(kind, way, tmp_path):
    model, script = archive_of(kind, way, tmp_path / "old.pt")
    rebuilt = Rebuilt(script).eval()
    with quiet():
        write_torchscript(rebuilt, tmp_path / "new.pt", example=torch.rand(2, 1, 66, 94))
        write_onnx(rebuilt, tmp_path / "new.onnx", example=torch.rand(2, 1, 66, 94))
    image = torch.rand(1, 1, 96, 72)
    wanted = model(image)
    again = torch.jit.load(tmp_path / "new.pt")
    assert torch.allclose(again(image), wanted, atol=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "new.onnx", providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(None, {"raw": image.numpy()})[0], wanted, atol=1e-4)
    code = again.inlined_graph
    assert "Device = prim::Constant" not in str(code)
    assert "lanczos" not in str(code)
    assert "dropout" not in str(code)
