"""Write the part of ``docs/trust.md`` on results: faults planted on sound results, and which verdicts find them.

    python ci/trust_results.py measure w2s1 --data w2s --work WORK
    python ci/trust_results.py table --work WORK

``measure`` takes a set: ``w2s0`` to ``w2s2``, a channel of W2S (``--data`` is the folder that holds channel0 to
channel2), or ``simulated0`` and so on, a seed of the simulation. It trains the set's network where WORK holds none yet
(five minutes on two cores), plants the faults of ``tests/planted/results.py`` on its results of images that it
never saw, and keeps what was measured, image by image: started again, it goes on. ``table`` judges what was kept and
writes the part. Channel 0 and seed 0 are those that the limits were fixed on.
"""

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "trust.md"
HEADING = "# What verdicts on results find"

sys.path.insert(0, str(ROOT / "tests"))

from planted.confirmed import confirmed  # noqa: E402
from planted.results import RESULT_FAULTS, Scene, change  # noqa: E402

import bmz_fmd  # noqa: E402
from bmz_fmd.judging import SHARE  # noqa: E402
from training.calibration.intensity import fit_affine  # noqa: E402
from training.calibration.noise import fit_noise  # noqa: E402
from training.data.sets.simulated import Simulated, Simulation  # noqa: E402
from training.evaluation.trust.intervals import Interval, errors_of, fix_interval  # noqa: E402
from training.evaluation.trust.measures import Measures, measure  # noqa: E402
from training.evaluation.trust.noise import noise_at  # noqa: E402
from training.evaluation.trust.symmetry import TURNED  # noqa: E402
from training.evaluation.trust.verdict import judge  # noqa: E402
from training.images import open_image, planes  # noqa: E402

FIELDS = range(65, 81)  # of view of W2S; the others train
FAULTY = 4  # images of a channel that faults are planted on; all are judged as they are
SIMULATED = 20  # images of a seed
FAULTY_SIMULATED = 6
SIDE = 256  # pixels: a quarter of an image of W2S
TURNS = ((0, False), *TURNED)
TUNED = ("w2s0", "simulated0")
FILAMENTS = "a network trained on filaments"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = arguments.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("set")
    measuring.add_argument("--data", type=Path)
    for command in (measuring, commands.add_parser("table")):
        command.add_argument("--work", type=Path, required=True)
    given = arguments.parse_args()
    if given.command == "measure":
        measure_set(given.set, given.data, given.work)
    else:
        write(given.work)


def measure_set(name: str, data: Path | None, work: Path) -> None:
    """Measure sound and faulty results of a set's images; a file an image."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    scenes, faulty = (w2s, FAULTY) if name.startswith("w2s") else (simulated, FAULTY_SIMULATED)
    errors = {}
    for number, (image, scene, others) in enumerate(scenes(name, data, work)):
        measures, maps = measure(scene.noisy, scene.denoised, denoise=scene.denoise)
        errors[image] = errors_of(scene.noisy, scene.denoised, scene.clean, maps)
        file = folder / f"{image}.jsonl"
        if file.is_file():
            continue
        rows = [row("sound", 0.0, error(scene), measures) | {"confirmed": confirmed(measures, scene)}]
        for fault in RESULT_FAULTS if number < faulty else ():
            for strength in fault.strengths:
                shown, got, should = fault.plant(scene, strength, random(image, fault.name, strength))
                noise = scene.noise * (strength if fault.name == "another camera's gain" else 1)
                rows.append(row(fault.name, strength, change(got, should, noise), measure(shown, got)[0]))
        for what, denoise in others.items() if number < faulty else ():
            got = denoise(scene.noisy)
            found = measure(scene.noisy, got, denoise=denoise)[0]
            rows.append(row(what, 1.0, change(got, scene.denoised, scene.noise), found))
        part = file.with_suffix(".part")
        part.write_text("".join(json.dumps(each) + "\n" for each in rows))
        part.rename(file)
        print(f"{name} {image}: {len(rows)} results", flush=True)
    apart = {image: each for image, each in errors.items() if scenes is simulated or image.endswith("_0")}
    bar = fix_interval(apart, share=SHARE)  # quarters of one field are not apart
    (folder / "interval.json").write_text(bar.model_dump_json())
    print(f"{name}: {bar.sentence()}", flush=True)


def row(fault: str, strength: float, size: float, measures: Measures) -> dict:
    return {"fault": fault, "strength": strength, "size": size, "measures": measures.model_dump(mode="json")}


def error(scene: Scene) -> float:
    """Return the root mean square of a result's error against the clean image, in standard deviations of the noise."""
    return float(np.sqrt(np.mean(((scene.denoised - scene.clean) / scene.noise) ** 2)))


def random(*words: object) -> np.random.Generator:
    """Return a generator that depends on the words alone."""
    return np.random.default_rng(int(hashlib.sha256(repr(words).encode()).hexdigest()[:8], 16))


def w2s(name: str, data: Path | None, work: Path):
    """Yield the quarters of each test field of a channel, with the result of DnCNN trained as a user does.

    The first quarters of all fields come first, so that faults are planted on as many fields as images.
    """
    if data is None:
        raise SystemExit("--data is missing: the folder that holds channel0 to channel2 of W2S")
    channel = data / f"channel{name.removeprefix('w2s')}"
    run = work / "runs" / name
    if not (run / "panel.png").is_file():
        folders = {"noisy": channel / "low", "clean": channel / "high"}
        train(run, **folders, test_fraction=0.2, intensity_fit="image")
    denoise = bmz_fmd.load(run, device="cpu").denoiser.tiled()
    fields = {}
    for field in FIELDS:
        noisy, clean = (
            np.asarray(next(planes(open_image(channel / kind / f"fov_{field:03}.tif")))[1], np.float32)
            for kind in ("low", "high")
        )
        slope, offset = fit_affine(clean, noisy)
        fields[field] = (
            noisy,
            slope * clean + offset,
            results(work / "results" / f"{name}_fov_{field:03}", noisy, denoise),
        )
    for quarter, (row, column) in enumerate(np.ndindex(2, 2)):
        part = (slice(row * SIDE, (row + 1) * SIDE), slice(column * SIDE, (column + 1) * SIDE))
        for field, (noisy, clean, made) in fields.items():
            pairs = zip(TURNS, made, strict=True)
            known = {turn(noisy[part], *how).tobytes(): turn(result[part], *how) for how, result in pairs}
            again = partial(remembered, known, denoise)
            yield f"fov_{field:03}_{quarter}", scene_of(noisy[part], clean[part], again), {}


def results(file: Path, noisy, denoise):
    """Return the results of an image and of its turns, turned back; they are kept in a file."""
    file = file.with_suffix(".npy")
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        made = [(turn(denoise(turn(noisy, *how)), -how[0]), how[1]) for how in TURNS]
        np.save(file, [back[..., ::-1] if mirrored else back for back, mirrored in made])
    return np.load(file)


def turn(image, turns: int, mirrored: bool = False):
    """Mirror and turn an image as the measure of disagreement does."""
    return np.ascontiguousarray(np.rot90(image[..., ::-1] if mirrored else image, turns, axes=(-2, -1)))


def remembered(known: dict, denoise, image):
    """Return the result of an image that is known, or denoise it."""
    return known.get(image.tobytes()) if image.tobytes() in known else denoise(image)


def simulated(name: str, data: Path | None, work: Path):
    """Yield images of a seed, with the result of a small network trained on seed 0 of other fields."""
    seed = int(name.removeprefix("simulated"))
    small = {"depth": 8, "width": 32}
    options = {"images": 48, "size": 192, "seed": 0}
    learning = {"epochs": 120, "lr": 1e-3, "loss": "mse", "network_settings": small, "checkpoint": "none"}
    both, one = work / "runs" / "simulated", work / "runs" / "filaments"
    if not (both / "panel.png").is_file():
        train(both, dataset="simulated", options=options, **learning)
    if not (one / "panel.png").is_file():
        train(one, **filaments(work / "pairs" / "filaments", options), **learning)
    denoise, other = (bmz_fmd.load(run, device="cpu").denoiser.tiled() for run in (both, one))
    samples = drawn({"images": SIMULATED, "size": SIDE, "seed": 1000 + seed})
    for sample in samples:
        noisy, clean = sample.pair()
        yield sample.name, scene_of(noisy, on_noisy_scale(clean), denoise), {FILAMENTS: other}


def train(run: Path, **given) -> None:
    """Train DnCNN into a run folder, by the recipe where nothing else is given."""
    import os

    before = Path.cwd()
    run.parent.parent.mkdir(parents=True, exist_ok=True)
    os.chdir(run.parent.parent)
    try:
        bmz_fmd.train(**given, network="dncnn", name=run.name, fetch=True, device="cpu")
    finally:
        os.chdir(before)


def filaments(folder: Path, options: dict) -> dict:
    """Write the simulated filaments as files and return where."""
    from tifffile import imwrite

    for sample in drawn(options | {"images": 2 * options["images"]}):
        if "filaments" in sample.name:
            for kind, image in zip(("noisy", "clean"), sample.pair(), strict=True):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                imwrite(folder / kind / f"{sample.name}.tif", image)
    return {"noisy": folder / "noisy", "clean": folder / "clean"}


def drawn(options: dict):
    dataset = Simulated("simulated", Simulation(**options), test_fraction=0.2, seed=0)
    return sorted([*dataset.train, *dataset.validation, *dataset.test], key=lambda sample: sample.name)


def on_noisy_scale(clean):
    exposures = Simulation()
    shorter = exposures.noisy_exposure / exposures.clean_exposure
    return ((clean - exposures.offset) * shorter + exposures.offset).astype(np.float32)


def scene_of(noisy, clean, denoise) -> Scene:
    model = fit_noise(noisy, clean)
    zero = model.pedestal - (model.read_noise**2 / model.gain if model.gain else 0.0)
    return Scene(noisy, denoise(noisy), noise_at(clean, model), zero, denoise, clean.astype(np.float32))


def write(work: Path) -> None:
    """Judge what was measured and write the part of the page."""
    found = defaultdict(list)
    for file in sorted(work.glob("*/*.jsonl")):
        for line in file.read_text().splitlines():
            each = json.loads(line)
            judgement = judge(file.stem, Measures.model_validate(each.pop("measures")))
            found[file.parent.name in TUNED].append(each | {"set": file.parent.name, "judgement": judgement})
    before = TARGET.read_text(encoding="utf-8").split(HEADING)[0].rstrip()
    bars = {file.parent.name: Interval.model_validate_json(file.read_text()) for file in work.glob("*/interval.json")}
    TARGET.write_text(f"{before}\n\n{part(found[False], found[True], bars)}", encoding="utf-8")


def part(rows: list, tuned: list, bars: dict[str, Interval]) -> str:
    sets = sorted({each["set"] for each in rows})
    lines = [
        HEADING,
        "",
        *HEAD.format(
            tuned=" and ".join(map(title, TUNED)),
            sets=", ".join(map(title, sets)),
            first=FIELDS[0],
            last=FIELDS[-1],
            side=SIDE,
            faulty=FAULTY,
            faulty_simulated=FAULTY_SIMULATED,
            simulated=SIMULATED,
        ).splitlines(),
        "",
        "| | faults beyond the noise, found | weaker, found | results as they are, alarms | confirmed | false alarms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for label, group in [
        (f"fixed on: {', '.join(map(title, TUNED))}", tuned),
        ("**judged on: all others**", rows),
        *((title(name), [each for each in rows if each["set"] == name]) for name in sets),
    ]:
        strong, weak, sound = split(group)
        bad, good = [each for each in sound if true_alarm(each)], [each for each in sound if not true_alarm(each)]
        lines.append(f"| {label} | {share(strong)} | {share(weak)} | {share(sound)} | {len(bad)} | {share(good)} |")
    lines += [
        "",
        "By fault, on what they were judged on (change: the median over images, in standard deviations of the noise):",
        "",
        "| fault | strength | change | found | beyond the noise, found | by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    titles = {fault.name: fault.title for fault in RESULT_FAULTS} | {FILAMENTS: "shown nuclei and filaments"}
    groups = defaultdict(list)
    for each in rows:
        if each["fault"] != "sound":
            groups[each["fault"], each["strength"]].append(each)
    order = list(titles)
    for (fault, strength), group in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        strong = [each for each in group if each["size"] > 1]
        by = defaultdict(int)
        for each in group:
            for finding in each["judgement"].findings:
                by[finding.measure] += 1
        main = ", ".join(name for name, _ in sorted(by.items(), key=lambda item: -item[1])[:3]) or "-"
        size = np.median([each["size"] for each in group])
        lines.append(
            f"| {fault}: {titles[fault]} | {strength:g} | {size:.2f} | {share(group)} | {share(strong)} | {main} |"
        )
    strong, weak, sound = split(rows)
    lines += ["", "## Missed", ""]
    missed = [each for each in strong if each["judgement"].verdict == "green"]
    lines += [f"- {name(each)}: change {each['size']:.2f}" for each in missed]
    lines += [] if missed else ["No fault beyond the noise was missed."]
    lines += ["", "## Alarms on results as they are", "", *ALARMS.splitlines(), ""]
    alarms = [each for each in sound if each["judgement"].verdict != "green"]
    for name in sets:
        own = [each for each in sound if each["set"] == name]
        kinds = [[each["size"] for each in own if (each in alarms) == alarmed] for alarmed in (False, True)]
        lines.append(f"- {title(name)}: " + ", ".join(f"{np.median(kind):.2f}" if kind else "-" for kind in kinds))
    for heading, true in (("False:", False), ("Confirmed by the clean image:", True)):
        lines += ["", heading, ""]
        lines += [
            f"- {title(each['set'])}, error {each['size']:.2f}, {each['judgement'].sentence()}"
            for each in alarms
            if true_alarm(each) == true
        ] or ["None."]
    lines += ["", "## The error bar", "", *BARS.splitlines(), ""]
    lines += [f"- {title(name)}: {bar.sentence().removeprefix('Error bar: ')}." for name, bar in sorted(bars.items())]
    others = [bar for name, bar in bars.items() if name not in TUNED]
    kept = [(held >= bar.share, bar.images) for bar in others for held in bar.held.values()]
    done, promised = 100 * np.mean(kept, axis=0)
    lines += ["", f"Of the {len(kept)} images of the other sets {done:.0f} % kept a promise for {promised:.0f} %."]
    return "\n".join([*lines, "", *LIMITATIONS]) + "\n"


HEAD = """\
`bmz-fmd trust` judges results without a clean image. Here faults are planted on results, and its verdicts counted:
amber and red find a fault. A fault is *beyond the noise* where the change that it makes is larger than one standard
deviation of the input's noise: the root mean square of change over noise, where the change is at least a tenth of its
largest. On a result as it is, amber and red are an alarm. The clean image, which verdicts do not see, tells whether it
is true: *confirmed* where it bears out at least half of what a finding states, at the same place, intensity or spatial
frequency ([tests/planted/confirmed.py](../tests/planted/confirmed.py)); else the alarm is false. False alarms are
counted of the results that are not confirmed to be faulty.

Limits were fixed on {tuned}, and judged on
{sets}:
results of DnCNN-25 trained by the defaults of `bmz-fmd train` with `--set intensity_fit=image`, for each file was
scaled from 0 to 255 and has a gain of its own (fields 1 to 64 of a channel; fields {first} to {last} judge, in quarters
of {side} x {side} pixels, of which those of one field are alike), and of a small DnCNN trained on seed 0 for a minute
(other fields). All results are judged as they are; faults are planted on a quarter of {faulty} fields each, and on the
first {faulty_simulated} of {simulated} simulated images."""

ALARMS = """\
No fault was planted on these results. The root mean square of denoised minus clean, in standard deviations of the
noise; medians of the results that are green, and of those that are not:"""

BARS = """\
Fixed on half of a set's images, one of a field, and checked on the others (`--clean`). What is promised: if the next
image is of the same kind as those that fixed it, the chance that it holds the stated share of its clean pixels within
the bar is as high as is said. Nothing is promised for a single pixel, nor for images of another kind:"""

LIMITATIONS = """## What cannot be seen

- A plausible invention within the noise: structure that changes the result by less than the noise of the pixels that it
  covers, averaged over them. The noisy image holds nothing against it.
  The table's weaker faults show where that begins: of spots as bright as the noise fewer than half are found, those
  that are some pixels wide; of twice as bright ones nearly all are, as long as they are no finer than the blur.
- What a network makes of structure that it was not trained on, as long as it stays within the noise: one trained on
  filaments alone moves nuclei by a quarter of a standard deviation (last row), and nothing in one noisy image tells.
- Structure that is lost where it lies below the noise, for the same reason: contrast by frequency is judged only where
  two halves of the image, or two frames, have structure in common.
- A loss of contrast of less than about a third. Of one frame the contrast kept comes out up to a tenth too high, for
  each half of the result has seen the noise of the other; of two frames (`--repeats`) it does not.
- A point of one pixel that was taken away: a hot pixel looks the same.
- What is already wrong in the noisy image: blur, drift, background, saturation.
- An image of fewer than some hundred blocks of 8 x 8 pixels, or without visible noise, is amber: it cannot be judged.
- The network's own doubt is asked by turned and mirrored inputs alone. Several fine-tunings would ask more, and take
  as many trainings; they are left out. A network that invents the same at every turn is not shown by it.

Written by `ci/trust_results.py`, which plants and judges all of it; the planters are in `tests/planted/results.py`:

    python ci/trust_results.py measure SET --data w2s --work WORK    # w2s0 w2s1 w2s2 simulated0 simulated1 ...
    python ci/trust_results.py table --work WORK""".splitlines()


def true_alarm(each: dict) -> bool:
    """Return whether the clean image confirms a finding of a result that no fault was planted on."""
    return any(each["confirmed"].get(finding.measure, False) for finding in each["judgement"].findings)


def split(rows: list) -> tuple[list, list, list]:
    faulty = [each for each in rows if each["fault"] != "sound"]
    strong = [each for each in faulty if each["size"] > 1]
    weak = [each for each in faulty if each["size"] <= 1]
    return strong, weak, [each for each in rows if each["fault"] == "sound"]


def share(rows: list) -> str:
    caught = sum(each["judgement"].verdict != "green" for each in rows)
    part = f" ({100 * caught / len(rows):.1f} %)" if len(rows) >= 20 else ""
    return f"{caught} of {len(rows)}{part}" if rows else "-"


def title(name: str) -> str:
    kind = "W2S channel " if name.startswith("w2s") else "simulation seed "
    return kind + name.removeprefix("w2s").removeprefix("simulated")


def name(each: dict) -> str:
    return f"{title(each['set'])}, {each['judgement'].name}: {each['fault']} {each['strength']:g}"


if __name__ == "__main__":
    main()
