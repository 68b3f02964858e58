from .camera import (
    CameraProfile as CameraProfile,
)
from .camera import (
    Estimate as Estimate,
)
from .camera import (
    measure_camera as measure_camera,
)
from .camera import (
    read_camera as read_camera,
)
from .camera import (
    write_camera as write_camera,
)
from .intensity import Intensity as Intensity
from .intensity import Range as Range
from .layer import Calibrated as Calibrated
from .layer import Constants as Constants
from .noise import (
    NoiseModel as NoiseModel,
)
from .noise import (
    fit_noise as fit_noise,
)
from .noise import (
    noise_level as noise_level,
)
from .search import find_constants as find_constants
from .statistics import Statistics as Statistics
from .statistics import measure as measure
from .transfer import correlation as correlation
