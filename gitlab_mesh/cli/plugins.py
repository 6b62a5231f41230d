"""Plug-ins: jobs, metric sources and notifiers register through entry points; their API integer is checked here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gitlab_mesh.errors import UsageError
from gitlab_mesh.job import JOB_API, Job

__all__ = ["LOAD_ENGINE_API", "METRIC_SOURCE_API", "NOTIFIER_API", "load_group", "load_jobs"]

LOAD_ENGINE_API = 1
METRIC_SOURCE_API = 1
NOTIFIER_API = 1


@cache
def load_jobs() -> dict[str, Job]:
    """Return every registered job by name."""
    return load_group("gitlab_mesh.jobs", JOB_API)


def load_group(group: str, api: int, *, find: Callable[..., Iterable[EntryPoint]] = entry_points) -> dict[str, Any]:
    """Load one plug-in group; each entry point yields a tuple of plug-ins with ``name`` and ``api``.

    Raises:
        UsageError: A plug-in does not load, was made for another API, or takes a name that is taken.
    """
    found: dict[str, Any] = {}
    for entry in find(group=group):
        try:
            plugins = entry.load()
        except Exception as error:
            raise UsageError(
                f"plug-in {entry.name} of {group} cannot be loaded: {error}",
                hint=f"reinstall or remove the package that provides {entry.value}",
            ) from error
        for plugin in plugins:
            if plugin.api != api:
                raise UsageError(
                    f"plug-in {plugin.name} of {group} was made for API {plugin.api}; this is API {api}",
                    hint="install the version of the plug-in that fits this gitlab-mesh",
                )
            if plugin.name in found:
                raise UsageError(f"two plug-ins of {group} are named {plugin.name}", hint="remove one of the packages")
            found[plugin.name] = plugin
    return found
