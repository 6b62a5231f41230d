"""Declaring settings: one dataclass field holds default, unit, limits and the reason of each.

``mesh.yaml``'s loader, its JSON Schema and the reference in the docs are all derived from these fields,
so a setting is written down once.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Any

__all__ = ["SETTING", "Setting", "setting"]

SETTING = "gitlab_mesh.setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known about one configurable field.

    Attributes:
        help: One sentence for people: what it does.
        unit: ``"duration"`` (text such as ``90s``, ``5m``, ``1h``; seconds inside), ``"ratio"`` (0–1, or text
            such as ``5%``), ``"percent"`` (0–100), ``"text"``, ``"count"``, ``"name"`` (a Kubernetes name),
            ``"label"`` (one without dots: a namespace, a container, a subset), ``""``.
        minimum: Smallest value allowed, in the unit used inside.
        maximum: Largest value allowed, in the unit used inside.
        choices: The allowed words, if it is a choice.
        why: Why this default, or why this limit; shown when the limit is broken.
        key: The key in YAML where it differs from the field's name (Istio's and Kubernetes' own words keep their
            spelling: ``virtualService``).
        secret: Never shown.
    """

    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    why: str = ""
    key: str = ""
    secret: bool = False


def setting(
    default: Any = MISSING,
    *,
    help: str,  # noqa: A002 - the word that every option library uses
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    why: str = "",
    key: str = "",
    secret: bool = False,
    factory: Any = MISSING,
) -> Any:
    """Declare a dataclass field with its ``Setting``; without default it is required."""
    about = Setting(help, unit, minimum, maximum, choices, why, key, secret)
    if factory is not MISSING:
        return field(default_factory=factory, metadata={SETTING: about})
    if default is MISSING:
        return field(metadata={SETTING: about})
    return field(default=default, metadata={SETTING: about})
