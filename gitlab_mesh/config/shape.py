"""The shape of ``mesh.yaml``, read off the settings' dataclasses: one description for loader, schema and reference."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum, StrEnum
from typing import Any

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.fields import SETTING, Setting

__all__ = ["NAME_FIELD", "Many", "Shape", "ValueKind", "fields_of", "leaves_of", "service_fields", "shorthand_of"]

NAME_FIELD = "name"
"""The field of ``ServiceConfig`` that is the key under ``services``, not a key inside."""


class ValueKind(StrEnum):
    """What one value is."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    OBJECT = "object"


class Many(StrEnum):
    """How many values a field takes."""

    ONE = "one"
    LIST = "list"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class Shape:
    """One field.

    Attributes:
        attribute: Its name in the dataclass.
        key: Its name in YAML.
        about: Help, unit, limits, choices, reason.
        kind: What one value is.
        many: One, a list, or a map by free keys.
        optional: None is allowed.
        model: The dataclass of an object.
        enum: The enumeration whose values are the choices.
        default: The value that it has when nobody says one; MISSING if it is required.
    """

    attribute: str
    key: str
    about: Setting
    kind: ValueKind
    many: Many
    optional: bool
    model: type[Any] | None
    enum: type[Enum] | None
    default: Any

    @property
    def required(self) -> bool:
        """True if somebody must say a value."""
        return self.default is MISSING

    @property
    def is_section(self) -> bool:
        """True for an object whose keys are settings of their own, as opposed to a list of objects."""
        return self.kind is ValueKind.OBJECT and self.many is Many.ONE


_known: dict[type[Any], Mapping[str, Shape]] = {}


def fields_of(model: type[Any]) -> Mapping[str, Shape]:
    """Return the fields of a dataclass by YAML key, in their order.

    Raises:
        TypeError: A field has no ``Setting`` or a type that configuration cannot have (a bug, found by the tests).
    """
    if model not in _known:
        hints = typing.get_type_hints(model)
        found = (_shape(field, hints[field.name], model) for field in fields(model))
        _known[model] = {shape.key: shape for shape in found}
    return _known[model]


def service_fields() -> Mapping[str, Shape]:
    """Return the fields of one service as ``mesh.yaml`` has them: without its name."""
    return {key: shape for key, shape in fields_of(ServiceConfig).items() if shape.attribute != NAME_FIELD}


def leaves_of(shapes: Mapping[str, Shape], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Shape]]:
    """Yield every setting that has a value of its own, with its path; sections are walked through."""
    for key, shape in shapes.items():
        if shape.is_section and shape.model is not None:
            yield from leaves_of(fields_of(shape.model), (*path, key))
        else:
            yield (*path, key), shape


def shorthand_of(model: type[Any]) -> Shape | None:
    """Return the field that a bare value stands for: the single required one, if it is a scalar."""
    required = [shape for shape in fields_of(model).values() if shape.required]
    if len(required) == 1 and required[0].many is Many.ONE and required[0].kind is not ValueKind.OBJECT:
        return required[0]
    return None


def _shape(field: Field[Any], hint: Any, model: type[Any]) -> Shape:
    about = field.metadata.get(SETTING)
    if not isinstance(about, Setting):
        raise TypeError(f"{model.__name__}.{field.name} is no setting")
    hint, optional = _without_none(hint)
    many = Many.ONE
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        many, hint = Many.LIST, arguments[0]
    elif origin is not None and issubclass(origin, Mapping) and arguments[0] is str:
        many, hint = Many.MAP, arguments[1]
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    enum = hint if isinstance(hint, type) and issubclass(hint, Enum) else None
    return Shape(
        attribute=field.name,
        key=about.key or field.name,
        about=about,
        kind=_kind(hint, f"{model.__name__}.{field.name}"),
        many=many,
        optional=optional,
        model=hint if is_dataclass(hint) and isinstance(hint, type) else None,
        enum=enum,
        default=default,
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        rest = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


def _kind(hint: Any, where: str) -> ValueKind:
    if is_dataclass(hint):
        return ValueKind.OBJECT
    if isinstance(hint, type):
        for kind, found in (
            (bool, ValueKind.BOOLEAN),  # before int: a bool is one
            (int, ValueKind.INTEGER),
            (float, ValueKind.NUMBER),
            (str, ValueKind.TEXT),
        ):
            if issubclass(hint, kind):
                return found
    raise TypeError(f"{where}: configuration cannot have a {hint}")
