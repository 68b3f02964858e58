"""Published data sets as they are distributed, small: the true layout and type, few images of few pixels."""

import numpy as np

from helpers.own_images import RNG, save

SIDE = 40


def scene(side=SIDE):
    """Something with structure, counts from 20 to 180."""
    y, x = np.mgrid[:side, :side] / side
    return 100 + 40 * np.sin(9 * x + 4 * y) + 40 * np.cos(7 * y)


def seen(truth, dtype="u1"):
    """What a noisy camera makes of it."""
    return np.clip(truth + RNG.normal(0, 8, truth.shape), 0, 255).astype(dtype)


def fmd(root, kind="Confocal_FISH", fields=(1, 2, 3, 18, 19, 20), captures=3, levels=("raw",)):
    """Some fields of a kind of FMD; returns the captures by level and field, and the means by field."""
    truth = {field: np.rint(scene() + field).astype("u1") for field in fields}
    noisy = {}
    for field, clean in truth.items():
        save(root / kind / "gt" / str(field) / "avg50.png", clean)
        for level in levels:
            noisy[level, field] = [seen(clean) for _ in range(captures)]
            for number, image in enumerate(noisy[level, field]):
                save(root / kind / level / str(field) / f"capture_{number:03d}.png", image)
    return noisy, truth


def fmd_mix(root, kinds=("Confocal_FISH", "WideField_BPAE_R"), level="raw"):
    """The mixed test set of FMD for some kinds, four images each."""
    for kind in kinds:
        for number in range(1, 5):
            clean = np.rint(scene()).astype("u1")
            save(root / "test_mix" / "gt" / f"{kind}_{number}.png", clean)
            save(root / "test_mix" / level / f"{kind}_{number}.png", seen(clean))
