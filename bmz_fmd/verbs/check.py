"""``bmz-fmd check``."""


def command() -> None:
    """Not built yet."""
    raise NotImplementedError
