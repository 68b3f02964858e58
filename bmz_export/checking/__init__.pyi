from .certificate import Certificate as Certificate
from .check import certify as certify
from .runner import CheckOptions as CheckOptions
