from .checking.certificate import Certificate as Certificate
from .checking.check import certify as certify
from .checking.check import check as check
from .checking.runner import CheckOptions as CheckOptions
from .exporting import Exported as Exported
from .exporting import export as export
from .opening import open_denoiser as open_denoiser
