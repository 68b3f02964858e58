"""The runtimes of the tools, each in the version that a tool ships, each job in a process of its own."""

from bmz_export.engines.base import GIB, Job, Outcome, Progress
from bmz_export.engines.browser import BROWSER_ENGINE
from bmz_export.engines.engine import Engine
from bmz_export.engines.java import JAVA_ENGINES
from bmz_export.engines.python import PYTHON_ENGINES

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (*JAVA_ENGINES, *PYTHON_ENGINES, BROWSER_ENGINE)}
"""Every engine by name."""

__all__ = ["ENGINES", "GIB", "Engine", "Job", "Outcome", "Progress"]
