from .about import About as About
from .about import read_about as read_about
from .archive import Package as Package
from .archive import open_package as open_package
from .builder import Built as Built
from .builder import build as build
from .description import Description as Description
from .reading import read_description as read_description
