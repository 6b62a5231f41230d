"""The open-loop load engine: requests leave on schedule, whatever the answers do, and latency counts from the schedule.

``run_load(LoadPlan(...)) -> LoadResult`` in this process, ``python -m gitlab_mesh.adapters.load`` in one of its own.
"""

from gitlab_mesh.adapters.load.command import load_command
from gitlab_mesh.adapters.load.engine import BuiltinLoad, LoadEngine, run_load
from gitlab_mesh.core.load.histogram import Histogram
from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.result import LoadResult

__all__ = ["BuiltinLoad", "Histogram", "LoadEngine", "LoadPlan", "LoadResult", "load_command", "run_load"]
