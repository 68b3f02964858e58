"""TorchScript archives that write a file as soon as they are loaded, and archives whose code was edited."""

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


def edit_code(archive, old, new):
    """Replace text in the code of a TorchScript archive."""
    with zipfile.ZipFile(archive) as source:
        entries = [(entry, source.read(entry)) for entry in source.infolist()]
    found = 0
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for entry, content in entries:
            code = "/code/" in entry.filename and entry.filename.endswith(".py")
            found += code and content.count(old.encode())
            target.writestr(entry.filename, content.replace(old.encode(), new.encode()) if code else content)
    assert found, f"no {old!r} in the code of {archive}"
    return archive
