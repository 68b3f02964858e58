"""``bmz-fmd denoise``."""


def command() -> None:
    """Not built yet."""
    raise NotImplementedError
