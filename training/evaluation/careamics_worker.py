"""Trains and denoises a folder of planes: run by the Python of CAREamics, where nothing of this project is."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

_PATCH = 64
_BATCH = 16
_VALIDATION = 8  # patches, its default, where there are enough
_WHOLE = 1024  # pixels a side up to which a plane is denoised in one piece


def main(folder: Path) -> None:
    """Train as ``settings.json`` says and write ``result-N.npy`` for each ``images-N.npy``."""
    from careamics import CAREamist
    from careamics.config.factories import create_advanced_care_config, create_advanced_n2v_config

    settings = json.loads((folder / "settings.json").read_text())

    def planes(part: str) -> list[Any]:
        return [np.load(folder / f"{part}-{number}.npy").astype(np.float32) for number in range(settings[part])]

    noisy, clean = planes("noisy"), planes("clean")
    side = min(_PATCH, *(length // 8 * 8 for plane in noisy for length in plane.shape))
    patches = sum((plane.shape[0] // side) * (plane.shape[1] // side) for plane in noisy)
    create = create_advanced_care_config if clean else create_advanced_n2v_config
    config = create(
        experiment_name="baseline",
        data_type="array",
        axes="YX",
        patch_size=[side, side],
        batch_size=_BATCH,
        num_epochs=settings["epochs"],
        n_val_patches=max(1, min(_VALIDATION, patches // 4)),
        num_workers=0,
        seed=settings["seed"],
    )
    model = CAREamist(config, work_dir=folder / "model", enable_progress_bar=False)
    model.train(train_data=noisy, **({"train_data_target": clean} if clean else {}))
    for number, plane in enumerate(planes("images")):
        rows, columns = plane.shape
        padded = np.pad(plane, ((0, -rows % 4), (0, -columns % 4)), mode="symmetric")  # its U-Net halves sizes twice
        tiles = {"tile_size": (512, 512)} if max(padded.shape) > _WHOLE and min(padded.shape) >= 512 else {}
        result = np.asarray(model.predict([padded], **tiles)[0][0]).reshape(padded.shape)
        np.save(folder / f"result-{number}.npy", result[:rows, :columns].astype(np.float32))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
