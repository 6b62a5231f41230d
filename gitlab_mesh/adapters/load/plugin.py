"""The contract of a load engine plug-in, and the engine that needs no plug-in.

Others register a tuple of ``LoadEnginePlugin`` as entry point of the group ``gitlab_mesh.load_engines``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gitlab_mesh.ports import LoadGenerator

__all__ = ["BUILTIN", "ENGINE_API", "LoadEnginePlugin"]

ENGINE_API = 1
"""Raised when the contract changes; checked when a plug-in is loaded."""


@dataclass(frozen=True, slots=True)
class LoadEnginePlugin:
    """One engine: what ``load.engine`` names.

    Attributes:
        name: The word in ``mesh.yaml``.
        summary: One line for error messages.
        build: Makes the engine from the process's environment; no I/O.
        api: Must equal ``ENGINE_API``.
    """

    name: str
    summary: str
    build: Callable[[Mapping[str, str]], LoadGenerator]
    api: int = ENGINE_API


def _build_builtin(environ: Mapping[str, str]) -> LoadGenerator:
    del environ
    from gitlab_mesh.adapters.load.engine import BuiltinLoad

    return BuiltinLoad()


BUILTIN = LoadEnginePlugin("built-in", "open loop on asyncio, latency from the intended send", _build_builtin)
