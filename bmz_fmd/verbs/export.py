"""``bmz-fmd export``."""


def command() -> None:
    """Not built yet."""
    raise NotImplementedError
