"""Certify every network at its published size, with random weights, and keep the certificates.

    python ci/certify_networks.py [NAME ...] [--spline] [--small] [--out docs/certificates] [--keep packages]

Each becomes a package, halo measured, that every installed engine runs and every tool's tiling cuts. Takes from minutes
(DnCNN, DRUNet) to the better part of an hour (KBNet) on two cores. ``--small`` takes small networks, minutes for each,
and those of spandrel too: the table in docs/networks.md.
"""

import argparse
import shutil
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from bmz_export.checking.certificate import NAME, PICTURE
from bmz_export.checking.check import certify
from bmz_export.checking.report import detail_lines, summary, verdict_lines
from bmz_export.checking.runner import CheckOptions
from bmz_export.package.about import About
from bmz_export.package.builder import build
from bmz_export.package.halo import halo_of
from bmz_export.tools import scripts
from training.calibration.layer import SEGMENTS, Calibrated, Constants, stabilise
from training.data import DataSettings, open_dataset
from training.networks import NETWORKS, create, is_known

EXAMPLE = 160  # pixels a side of the test image: hours on two cores become minutes
SPANDREL = {
    "SwinIR": {"in_chans": 1, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2], "window_size": 8},
    "SCUNet": {"in_nc": 1, "config": [1, 1, 1, 1, 1, 1, 1]},
    "DnCNN": {"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 8, "act_mode": "R"},
}
GATES = {"ga1", "attgamma", "beta", "gamma", "temperature"}  # zero in a new KBNet: its blocks would do nothing


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("networks", nargs="*", default=["drunet", "restormer", "kbnet"], metavar="NAME")
    arguments.add_argument("--out", type=Path, default=Path("docs/certificates"))
    arguments.add_argument("--timeout", type=float, default=1800.0, help="seconds for each engine")
    arguments.add_argument("--no-tiles", action="store_true", help="leave out the tools' tilings of 800 x 620 pixels")
    arguments.add_argument(
        "--engines", nargs="*", metavar="ENGINE", help="those to run; all that are installed otherwise"
    )
    arguments.add_argument("--spline", action="store_true", help="behind a spline in place of the affine map")
    arguments.add_argument("--small", action="store_true", help="small networks in place of the published ones")
    arguments.add_argument("--keep", type=Path, help="a folder for the packages themselves; they go otherwise")
    given = arguments.parse_args()
    options = CheckOptions(timeout=given.timeout, engines=given.engines)
    codes = []
    for name in given.networks:
        with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as place:
            words = {"tiles": not given.no_tiles, "spline": given.spline, "small": given.small}
            codes.append(certificate_of(name, Path(place), given.out, options, **words))
    return max(codes)


def certificate_of(
    name: str, place: Path, out: Path, options: CheckOptions, *, tiles: bool, spline: bool, small: bool
) -> int:
    """Build a network's package in a folder, certify it and keep the certificate; return its exit code."""
    data = DataSettings(dataset="simulated", options={"size": EXAMPLE})
    noisy = open_dataset(data, test_fraction=0.1, seed=0).test[0].noisy[0].read()
    if not is_known(name):
        raise SystemExit(f"{name} is no network")
    network = NETWORKS[name]
    chosen = SPANDREL.get(network.class_name, {}) if not network.one_file else network.small_settings
    settings = {**network.settings, **(chosen if small else {})}
    model = random_model(name, noisy, settings, spline=spline)
    title = f"{network.title}{', behind a spline' * spline}, {'small' if small else 'published size'}, random weights"
    halo = halo_of(model, noisy, network, settings)
    print(f"{title}: halo {halo}", flush=True)
    called = name.replace(":", "-") + "-spline" * spline + "-small" * small
    folder = place / called
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = {"example_name": "a simulated image", "scripts": scripts(), "about": About(license="CC-BY-4.0")}
    built = build(folder, model, network=name, settings=settings, example=noisy, halo=halo, **words)
    certificate, addition = certify(folder, options, tiles=tiles, log=lambda line: print(f"  {line}", flush=True))
    built.attach(addition)
    print(*verdict_lines(certificate), *detail_lines(certificate), summary(certificate), sep="\n")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / NAME, out / f"{called}.json")
    shutil.copyfile(folder / PICTURE, out / f"{called}.png")
    section = addition.section.replace(f"({PICTURE})", f"({called}.png)").replace(f"`{NAME}`", f"`{called}.json`")
    (out / f"{called}.md").write_text(f"# {title}\n\n{section}", encoding="utf-8")
    return certificate.exit_code


def random_model(name: str, noisy: np.ndarray, settings: dict, *, spline: bool) -> Calibrated:
    """Return the network, every part of it at work, calibrated to the image."""
    torch.manual_seed(0)
    denoiser = create(name, **settings)
    with torch.no_grad():
        for key, values in denoiser.named_parameters():
            if key.rsplit(".", 1)[-1] in GATES:
                values.normal_(0.3, 0.1)
            elif values.dim() == 4 and not values.any():  # a new U-Net or DnCNN returns its image
                values.normal_(0, 0.1)
    network = NETWORKS[name]
    low, high = np.percentile(noisy, [0.1, 99.9])
    radius, stride = network.radius(settings), max(network.stride)
    curve = {}
    if spline:
        camera = {"pedestal": float(low), "gain": float(high - low) / 200}
        low, high = stabilise(torch.tensor([low, high]), camera["pedestal"], camera["gain"], 0.0).tolist()
        knots = np.linspace(low, high, SEGMENTS + 1)
        rises = np.random.default_rng(0).uniform(0.5, 1.5, SEGMENTS) * np.diff(knots)
        curve = {**camera, "transform": "spline", "knots": knots, "values": low + np.append(0, rises.cumsum())}
    return Calibrated(
        denoiser,
        Constants(
            **curve,
            offset=float(low),
            scale=float(high - low),
            sigma=25 / 255,
            noise_map=network.noise_map,
            multiple=stride,
            margin=32 if radius is None else -(-min(max(radius), 32) // stride) * stride,
        ),
    ).eval()


if __name__ == "__main__":
    sys.exit(main())
