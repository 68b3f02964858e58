from .provenance import Provenance as Provenance
from .run import Run as Run
from .run import create_run as create_run
from .run import newest_run as newest_run
from .run import open_run as open_run
from .settings import Recipe as Recipe
from .settings import Settings as Settings
from .settings import load_recipe as load_recipe
