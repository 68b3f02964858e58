"""What a study says, in sentences: what is gained over what, how sure that is, and what more pairs would bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log10

import numpy as np
from numpy.typing import NDArray

from training.evaluation.comparison import Gain, gain
from training.evaluation.scoring import Evaluation
from training.studies.reading import Results
from training.studies.results import Result, Row

_LEAST = 4  # numbers of pairs that a curve is fitted through
_DRAWS = 200  # of the bootstrap over test images


@dataclass(frozen=True)
class Compared:
    """A difference between two results on the same test images: the mean PSNR of the first is above the second's."""

    experiment: str
    data: str
    first: str
    second: str
    gain: Gain

    def sentence(self) -> str:
        """Return it in words."""
        found = self.gain
        said = f"On {self.data}, {self.first} is {difference(found)} dB against {self.second}"
        if found.low is None or found.high is None:
            return f"{said}: {found.fields} fields are too few to say how sure that is."
        if found.low == found.high == 0:
            return f"On {self.data}, {self.first} and {self.second} gave the same images."
        if found.low <= 0 <= found.high:
            return f"{said}: no difference is certain."
        return f"{said}."


def difference(found: Gain) -> str:
    """Return a gain with its interval, to the digit that the interval bears.

    Examples
    --------
    >>> difference(Gain(mean=1.234, low=0.9, high=1.5, p=0.01, images=9, fields=9))
    '+1.2 [+0.9, +1.5]'
    """
    if found.low is None or found.high is None:
        return _signed(found.mean, 1)
    half = max((found.high - found.low) / 2, 1e-3)
    digits = min(max(ceil(-log10(half)), 1), 2)
    mean, low, high = (_signed(value, digits) for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # no -0.0


def title_of(row: Row) -> str:
    """Return a row in words: the network and what is compared.

    Examples
    --------
    >>> title_of(Row(experiment="", data="", network="DnCNN", compared={"pairs": 4}, choices=[], final=None))
    'DnCNN with 4 pairs'
    """
    said = []
    for factor, value in row.compared.items():
        if factor == "start":
            said.append({"pretrained": "pre-trained", "scratch": "from scratch"}[str(value)])
        elif factor == "pairs":
            said.append(f"with {value} pair{'' if value == 1 else 's'}")
        else:
            said.append(f"with {factor} {value}")
    return " ".join([row.network, *said])


def comparisons(results: Results) -> list[Compared]:
    """Return each tested row beside the baselines, and beside the other rows of its network and experiment.

    Two cells are compared once, however many experiments share them.
    """
    found: dict[tuple[str, str], Compared] = {}

    def add(row: Row, second: str, other: Result) -> None:
        first = row.final
        if first is None or first.evaluation is None or other.evaluation is None or first.cell.id == other.cell.id:
            return
        gained = over(first.evaluation, other.evaluation)
        compared = Compared(row.experiment, row.data, title_of(row), second, gained)
        found.setdefault((first.cell.id, other.cell.id), compared)

    for number, row in enumerate(results.rows):
        for baseline in results.baselines.get(row.data, ()):
            add(row, baseline.cell.network, baseline)
        for other in results.rows[number + 1 :]:
            alike = (other.experiment, other.data, other.network) == (row.experiment, row.data, row.network)
            if alike and other.final is not None:
                add(row, title_of(other), other.final)
    return [*found.values()]


def over(first: Evaluation, second: Evaluation) -> Gain:
    """Return what the first's PSNR is above the second's, test image by test image."""
    known = {image.name: image.psnr_denoised for image in second.images}
    both = [(image.name, image.psnr_denoised - known[image.name]) for image in first.images if image.name in known]
    return gain([value for _, value in both], [name for name, _ in both])


@dataclass(frozen=True)
class Curve:
    """PSNR over the number of pairs, of one network on one data set.

    ``scores`` is (numbers of pairs, test images); ``advice`` says in words what more pairs would bring.
    """

    data: str
    network: str
    pairs: tuple[int, ...]
    scores: NDArray[np.float64]
    advice: str


def few_shot(results: Results) -> Iterator[Curve]:
    """Yield a curve for each data set and network whose numbers of pairs were compared."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for row in results.rows:
        if "pairs" in row.compared and row.final is not None and row.final.evaluation is not None:
            groups.setdefault((row.experiment, row.data, row.network), []).append(row.final)
    for (_, data, network), finals in groups.items():
        ordered = sorted(finals, key=lambda final: final.pairs)
        tested = [final.evaluation for final in ordered if final.evaluation is not None]
        scores = np.array([[image.psnr_denoised for image in each.images] for each in tested])
        pairs = tuple(final.pairs for final in ordered)
        yield Curve(data, network, pairs, scores, _advice(pairs, scores, f"{network} on {data}"))


def _advice(pairs: Sequence[int], scores: NDArray[np.float64], what: str) -> str:
    """Return what as many pairs again would gain, by a power law that levels off, fitted to the means."""
    if len(pairs) < _LEAST:
        return f"{what}: {len(pairs)} numbers of pairs are too few to say what more would bring."
    more = max(pairs)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, scores.shape[1], scores.shape[1]) for _ in range(_DRAWS)]
    gains = [_expected(pairs, scores[:, images].mean(1), more) for images in drawn]
    known = [value for value in gains if value is not None]
    mean = _expected(pairs, scores.mean(1), more)
    if mean is None or len(known) < _DRAWS // 2:
        return f"{what}: PSNR does not follow the number of pairs, so that nothing can be said of more."
    low, high = np.percentile(known, (2.5, 97.5))
    return f"{what}: {more} more pairs would gain about {mean:.1f} dB [{low:.1f}, {high:.1f}]."


def _expected(pairs: Sequence[int], means: NDArray[np.float64], more: int) -> float | None:
    """Return the gain of ``more`` pairs over the most there are, by ``top - drop * pairs ** -power``."""
    from scipy.optimize import OptimizeWarning, curve_fit

    def law(count: NDArray[np.float64], top: float, drop: float, power: float) -> NDArray[np.float64]:
        return top - drop * count**-power

    import warnings

    counts = np.asarray(pairs, np.float64)
    start = (float(means.max()), max(float(np.ptp(means)), 1e-3), 0.5)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            found, _ = curve_fit(law, counts, means, p0=start, bounds=([-np.inf, 0, 0.05], [np.inf, np.inf, 3]))
    except RuntimeError:
        return None
    ends = law(np.array([counts.max(), counts.max() + more]), *found)
    return float(ends[1] - ends[0])
