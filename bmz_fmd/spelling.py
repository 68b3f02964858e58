"""The library's sentences in the command line's spelling: a parameter in backticks becomes the option of its name."""

import re

_OPTIONS = {
    "network_settings": "--network-set", "authors": "--author", "fetch": "--yes", "programs": "--program",
    "baselines": "--baseline",
}  # fmt: skip
_PARAMETER = re.compile(r"`([a-z][a-z_]*)`")


def as_options(text: str) -> str:
    """Return a message with each parameter in backticks as its option.

    Examples
    --------
    >>> as_options("`data_range` 0: give the peak; or train on with `epochs`=9")
    '--data-range 0: give the peak; or train on with --set epochs=9'
    """
    from training.runs.settings import Recipe

    def option(found: re.Match[str]) -> str:
        name = found[1]
        if name in Recipe.model_fields:
            return f"--set {name}"
        return _OPTIONS.get(name) or f"--{name.replace('_', '-')}"

    return _PARAMETER.sub(option, text) if "`" in text else text
