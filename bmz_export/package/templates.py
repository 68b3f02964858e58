"""Fill a text file, of a package or of a paper's methods, from its template in ``rdf_templates``."""

import json
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

from training.util.text import counted


def fill(name: str, /, **values: object) -> str:
    """Return the template ``name`` filled with ``values``.

    Parameters
    ----------
    name : str
        File in ``rdf_templates``, for example ``"rdf.yaml.j2"``.
    **values
        What the template names; a name that it uses and that is not given is an error.

    Returns
    -------
    str
        The text, ending in one newline.
    """
    environment = Environment(
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters |= {"yaml": _yaml, "counted": counted}
    return environment.get_template(name).render(**values).rstrip("\n") + "\n"


def _source(name: str) -> str:
    return files("rdf_templates").joinpath(name).read_text(encoding="utf-8")


def _yaml(value: object) -> str:
    """Write a value as YAML of one line: JSON is YAML, and quotes whatever a title or a name may hold."""
    return json.dumps(value, ensure_ascii=False)
