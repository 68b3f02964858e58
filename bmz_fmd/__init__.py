"""Fine-tune published Gaussian denoisers on fluorescence images, and export packages for Fiji, QuPath and others.

``train``, ``export``, ``check``, ``fix``, ``denoise``, ``evaluate``, ``trust``, ``methods``, ``study`` and ``upload``
do what the command line does; ``load`` makes a function of a run or a package. What is wrong with images, runs or
packages is said by an ``errors.UserError``.

Examples
--------
>>> import bmz_fmd
>>> denoise = bmz_fmd.load("packages/my-cells.zip")  # doctest: +SKIP
>>> denoised = denoise(image)  # doctest: +SKIP
"""

from bmz_fmd.baselines import baseline
from bmz_fmd.calibrated import zero_shot
from bmz_fmd.interface import denoise, evaluate, load, train, trust
from bmz_fmd.packages import check, export, fix, methods, upload
from bmz_fmd.prior import autodip
from bmz_fmd.studies import study, study_report
from training import errors
from training.errors import UserError

__all__ = [
    "UserError",
    "autodip",
    "baseline",
    "check",
    "denoise",
    "errors",
    "evaluate",
    "export",
    "fix",
    "load",
    "methods",
    "study",
    "study_report",
    "train",
    "trust",
    "upload",
    "zero_shot",
]
