"""The grid search behind a table: every configuration on every calibration image, scored along the way.

One fit of the most iterations gives the scores of all stopping points. Each fit's scores are a file of their own beside
the table, so a search that was killed goes on, and one that is given more images or a larger grid computes what is new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from training.errors import DataError, SettingError
from training.evaluation.metrics import Fit, apply_convention, psnr
from training.prior import perceptual
from training.prior.configuration import Configuration
from training.prior.tables import Row, write_table
from training.prior.transfer import unit_range
from training.util.cluster import connect
from training.util.progress import Listener
from training.util.text import counted
from training.util.writing import clear_parts, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.data import Sample
    from training.prior.stopping import Iteration

_PARTS = "fits"
Scores = list[tuple[int, float, float | None]]
"""Iterations, PSNR in dB and LPIPS of one fit, by stopping point."""


@dataclass(frozen=True)
class Grid:
    """What is tried: all combinations, each with stopping points ``every`` so many iterations, up to ``iterations``."""

    depths: tuple[int, ...] = (4, 5, 6, 7, 8)
    widths: tuple[int | str, ...] = (16, 32, 64, 128, 256, "asc_to512")
    skips: tuple[int, ...] = (0, 4)
    iterations: int = 3000
    every: int = 100

    def configurations(self) -> list[Configuration]:
        """Return the combinations, with the most iterations.

        Raises
        ------
        UserError
            Where a value is none that a configuration can have.
        """
        found = []
        try:
            for depth, width, skip in product(self.depths, self.widths, self.skips):
                values = {"depth": depth, "width": width, "skip": skip, "iterations": self.iterations}
                found.append(Configuration.model_validate(values))
        except ValueError:
            raise SettingError(
                f"the grid of `depths` {self.depths}, `widths` {self.widths}, `skips` {self.skips} and `iterations` "
                f"{self.iterations}: give whole numbers, depths from 1 to 10, widths from 1 or asc_to512"
            ) from None
        return found


@dataclass(frozen=True)
class Job:
    """One fit: a noisy image, its clean one on the same scale, and how they are fitted and scored."""

    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]
    configuration: Configuration
    every: int
    seed: int
    convention: Fit
    perceptual: bool
    device: str

    def key(self) -> str:
        """Return a name that tells it from any job that would score otherwise."""
        settings = [self.configuration.model_dump(), self.every, self.seed, self.convention, self.perceptual]
        kind = self.device.partition(":")[0]
        settings += [] if kind == "cpu" else [kind]  # fits of earlier versions, on a CPU, keep their names
        found = hashlib.sha256(json.dumps(settings).encode())
        for image in (self.noisy, self.clean):
            found.update(repr(image.shape).encode() + image.tobytes())
        return found.hexdigest()[:20]

    def scores(self) -> Scores:
        """Fit, and score every stopping point; on one thread, so that it is the same wherever it runs."""
        import torch

        from training.prior.fitting import fit

        compare = perceptual.lpips() if self.perceptual else None
        found: Scores = []

        def score(iteration: Iteration) -> None:
            image = apply_convention(iteration.image, self.clean, self.convention)
            alike = None if compare is None else compare(self.clean, image)
            found.append((iteration.number, psnr(self.clean, image, data_range=1), alike))

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            fit(self.noisy, self.configuration, seed=self.seed, device=self.device, every=self.every, watch=score)
        finally:
            torch.set_num_threads(threads)
        return found


def calibrate(
    samples: Sequence[Sample],
    out: Path,
    grid: Grid,
    *,
    microscope: str = "",
    specimen: str = "",
    by: Sequence[str] = ("psnr", "lpips"),
    convention: Fit = "affine",
    seed: int = 0,
    workers: int = 1,
    scheduler: str | None = None,
    device: str = "cpu",
    listener: Listener | None = None,
) -> None:
    """Fit the whole grid to every image and write the table of scores that the transfer reads.

    Parameters
    ----------
    samples : sequence of Sample
        Noisy images (Y, X), each with its clean one.
    out : Path
        The table, ``.csv``; beside it a folder of its name with the noisy images and the scores of each fit.
    grid : Grid
    microscope, specimen : str
        What the images are of; noted in the table.
    by : sequence of str
        ``psnr``, ``lpips`` or both: what configurations are ranked by. Without its weights LPIPS is left out beside
        PSNR, which is noted, and refused alone.
    convention : {"affine", "raw"}
        Whether results are fitted to the clean image before they are scored.
    seed : int
        Of every fit.
    workers : int
        Processes on this machine, a thread each.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers fit instead; this package is installed there too.
    device : str
        In torch's words.
    listener : Listener, optional

    Raises
    ------
    UserError
        If there is no pair, none of the grid fits, or the scheduler cannot be reached.
    """
    listener = listener or Listener()
    perceived = _perceived(by, listener)
    if not samples:
        raise DataError("there is no pair of a noisy and a clean image to calibrate on")
    jobs: dict[str, tuple[str, Job]] = {}
    images = {}
    for sample in samples:
        noisy, clean = sample.pair()
        low, extent = float(noisy.min()), float(np.ptp(noisy))
        if extent == 0 or np.ptp(clean) == 0:
            raise DataError(f"{sample.name}: an image of one value has nothing to calibrate on: leave it out")
        images[sample.name] = unit_range(noisy)
        truth = ((clean - low) / extent).astype(np.float32)
        fitting = [each for each in grid.configurations() if each.depth <= each.largest_depth(noisy.shape)]
        if not fitting:
            grid.configurations()[0].check_fits(noisy.shape, sample.name)
        if len(fitting) < len(grid.configurations()):
            listener.note(f"{sample.name}: depths beyond {fitting[-1].largest_depth(noisy.shape)} are left out")
        for configuration in fitting:
            job = Job(images[sample.name], truth, configuration, grid.every, seed, convention, perceived, device)
            jobs[job.key() + sample.name] = sample.name, job
    folder = out.with_suffix("") / _PARTS
    folder.mkdir(parents=True, exist_ok=True)
    clear_parts(folder)
    place = {key: folder / f"{job.key()}.json" for key, (_, job) in jobs.items()}
    left = {key: job for key, (_, job) in jobs.items() if not place[key].is_file()}
    if len(left) < len(jobs):
        listener.note(f"{counted(len(jobs) - len(left), 'fit')} of {len(jobs)} done before")
    with listener.progress("Fitting", len(left)) as advance, closing(_run(left, workers, scheduler)) as finished:
        for key, scores in finished:
            write_text(place[key], json.dumps(scores))
            advance(1, f"{jobs[key][0]}, {jobs[key][1].configuration}")
    rows = []
    for key, (name, job) in jobs.items():
        for number, ratio, alike in json.loads(place[key].read_text(encoding="utf-8")):
            stopped = job.configuration.model_copy(update={"iterations": number})
            ranked = ratio if "psnr" in by or not perceived else None
            rows.append(Row(name, microscope.lower(), specimen.lower(), stopped, ranked, alike))
    write_table(out, rows, images)


def _perceived(by: Sequence[str], listener: Listener) -> bool:
    """Return whether LPIPS is computed; say where it is not though it was asked for."""
    if not by or set(by) - {"psnr", "lpips"}:
        raise SettingError(f"`by` {','.join(by)}: choose psnr, lpips or psnr,lpips")
    if "lpips" not in by:
        return False
    if perceptual.lpips() is not None:
        return True
    if "psnr" not in by:
        raise SettingError(f"`by` lpips: {perceptual.MISSING}; rank by psnr")
    listener.note(f"{perceptual.MISSING}: ranks are by PSNR alone")
    return False


def _run(jobs: dict[str, Job], workers: int, scheduler: str | None) -> Generator[tuple[str, Scores], None, None]:
    """Yield each job's scores as they come: from this process, from several, or from a cluster."""
    if scheduler is not None:
        yield from _on_cluster(jobs, scheduler)
    elif workers == 1 or len(jobs) < 2:
        for key, job in jobs.items():
            yield key, job.scores()
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(job.scores): key for key, job in jobs.items()}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _on_cluster(jobs: dict[str, Job], address: str) -> Generator[tuple[str, Scores], None, None]:
    with connect(address) as client:
        from distributed import as_completed as completed

        futures = {client.submit(Job.scores, job, key=key, pure=False): key for key, job in jobs.items()}
        for future in completed(futures):  # type: ignore[no-untyped-call]
            yield futures[cast(Any, future)], future.result()
