from .start import Request as Request
from .start import new_run as new_run
from .start import resumed_run as resumed_run
from .trainer import train as train
