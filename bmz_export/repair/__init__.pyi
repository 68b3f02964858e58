from .mending import Mended as Mended
from .mending import mend as mend
