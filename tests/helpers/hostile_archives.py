"""TorchScript archives that write a file as soon as they are loaded, and archives that were edited."""

import warnings
import zipfile

import torch


class Writes(torch.nn.Module):
    """The identity; loading it writes a file."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), state[0])


def writing_archive(target, canary):
    """Save an archive that creates ``canary`` when libtorch loads it, and see that it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Writes(str(canary)).eval()).save(str(target))
        torch.jit.load(str(target))
    canary.unlink()  # a FileNotFoundError here: the archive is not armed
    return target


def rewritten(archive, target, change):
    """Copy an archive with its files passed through ``change(name, data)``."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, change(name, source.read(name)))
    return target
