"""What goes wrong with a user's images, runs and packages: each error is one line for a person.

A message names the thing, the cause and the way out. A parameter of the Python interface stands in backticks
(`name`, `epochs`); the command line spells it as its option.
"""


class UserError(Exception):
    """Bad input, described in one line. The command line prints it and exits with code 2."""


class SettingError(UserError):
    """A setting has a value that it cannot have, or contradicts another."""


class ImageError(UserError):
    """An image file cannot be read, written or used as asked."""


class ImageWarning(UserWarning):
    """An image file can be read, but says of itself what does not fit."""


class TrainingWarning(UserWarning):
    """Something about the images or the trained model that a user should know before using it."""


class DataError(UserError):
    """Images do not make a data set: names, sizes, counts or values do not fit."""


class CheckpointError(UserError):
    """Weights cannot be fetched, read, or do not fit the network."""


class RunError(UserError):
    """A run folder is missing, damaged, in use, or cannot be gone on with."""


class ModelError(UserError):
    """A model cannot be run on an image, or gave what is no image."""


class PackageError(UserError):
    """A model package cannot be built, read or run."""


class EngineError(UserError):
    """A tool's engine is missing or cannot be installed."""


class DiskFullError(UserError):
    """A disk is full, or a quota used up, while something is written."""
