"""Classical denoisers to judge a network by, a file each: found by looking into this folder, others are registered.

A file that holds ``BASELINE``, a ``training.evaluation.baselines.baseline.Baseline``, is one.
"""

from importlib import import_module
from pkgutil import iter_modules

from training.evaluation.baselines.baseline import Baseline, Setting
from training.evaluation.baselines.choice import best_of_pairs, denoised

__all__ = ["BASELINES", "Baseline", "Setting", "best_of_pairs", "denoised", "register"]

BASELINES: dict[str, Baseline] = {}
"""What ``baseline`` may say."""


def register(baseline: Baseline) -> None:
    """Add a baseline that lies elsewhere; a name that is taken raises ``ValueError``.

    Examples
    --------
    >>> register(Baseline("nothing", "nothing at all", lambda plane: plane, stabilised=False))
    >>> BASELINES.pop("nothing").trials
    [{}]
    """
    if baseline.name in BASELINES:
        raise ValueError(f"there is a baseline {baseline.name} already")
    BASELINES[baseline.name] = baseline


for _found in iter_modules(__path__):
    _baseline = getattr(import_module(f"{__name__}.{_found.name}"), "BASELINE", None)
    if _baseline is not None:
        register(_baseline)
