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


def w2s(root, fields=(1, 2, 3, 81, 82), channels=(0, 1, 2), side=16):
    """Stacks of W2S; returns them by field and channel."""
    stacks = {}
    for field in fields:
        for channel in channels:
            stack = RNG.integers(100, 220, (400, side, side)).astype("<u2")
            path = root / "raw" / f"Image{field:03d}" / f"wf_channel{channel}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, stack)
            stacks[field, channel] = stack
    return stacks


def mrc(path, stack, mode=6, extended=0, order="<"):
    """Write frames as an MRC file: x runs fastest, so an array (x, y, frame) lies in Fortran's order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytearray(1024)
    header[:16] = np.array([*stack.shape, mode], f"{order}i4").tobytes()
    header[28:40] = np.array(stack.shape, f"{order}i4").tobytes()
    header[64:76] = np.array([1, 2, 3], f"{order}i4").tobytes()
    header[92:96] = np.array([extended], f"{order}i4").tobytes()
    header[208:216] = b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
    kind = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2"}[mode]
    pixels = stack.astype(f"{order}{kind}").tobytes(order="F")
    path.write_bytes(bytes(header) + b"\xff" * extended + pixels)


def biosr(root, specimen="CCPs", cells=(1, 2, 3), levels=(1, 2, 9), shape=(20, 16, 9), **written):
    """Cells of BioSR, arrays (x, y, frame) by cell and level, the clean one under ``gt``."""
    stacks = {}
    for cell in cells:
        place = root / specimen / f"Cell_{cell:03d}"
        for level in (*levels, "gt"):
            stacks[cell, level] = RNG.integers(90, 400, shape)
            name = f"RawSIMData_{level if level == 'gt' else f'level_{level:02d}'}.mrc"
            if specimen == "ER":
                if level == "gt":
                    continue
                gt = stacks[cell, f"gt{level}"] = RNG.integers(90, 400, shape)
                mrc(place / "RawGTSIMData" / f"RawGTSIMData_level_{level:02d}.mrc", gt, **written)
                name = f"RawSIMData/{name}"
            mrc(place / name, stacks[cell, level], **written)
    return stacks


def shah(root, fields=(85, 90, 100), pages=9, side=24, **options):
    """Stacks of Shah et al. and a reference of each."""
    stacks, references = {}, {}
    for field in fields:
        stacks[field] = RNG.integers(90, 400, (pages, side, side)).astype("u2")
        references[field] = RNG.integers(90, 400, (side, side)).astype("u2")
        name = f"SIM_FOV_{field}_Timestamp_{{}}_number_{field * 25}.tif"
        save(root / "DataSet3/Noisy_ImageStacks" / name.format(176), stacks[field], metadata=None, **options)
        save(root / "DataSet3/Reference_Images" / name.format(1), references[field])
    return stacks, references
