"""Reading an Istio object so that no field of it can be overlooked.

A reader takes each field by name; when it is done, whatever was not taken is an ``UntranslatableError``. So a
field that the sandbox does not know is loud, today's unknown ones and those of future versions of Istio alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from gitlab_mesh.sandbox.envoy.model import UntranslatableError

__all__ = ["Fields", "read_spec"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|us|µs|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def read_spec(body: Mapping[str, Any]) -> Fields:
    """Return the fields of an object's ``spec``."""
    meta = body.get("metadata", {})
    owner = f"{body.get('kind', 'object')} {meta.get('namespace', 'default')}/{meta.get('name', '?')}"
    return Fields(body.get("spec") or {}, owner, "spec")


class Fields:
    """A JSON object on the way down; leaving the ``with`` block refuses every field that was not taken.

    Args:
        value: The object; a field whose value is null counts as absent, as in protobuf's JSON.
        owner: "VirtualService shop/shop", for errors.
        path: JSON path of this object in its owner.
    """

    def __init__(self, value: Mapping[str, Any], owner: str, path: str) -> None:
        if not isinstance(value, Mapping):
            raise UntranslatableError(owner, path, f"an object is wanted, this is {type(value).__name__}")
        self._value = {key: item for key, item in value.items() if item is not None}
        self._taken: set[str] = set()
        self.owner = owner
        self.path = path

    def __enter__(self) -> Fields:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.finish()

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def __len__(self) -> int:
        return len(self._value)

    def finish(self) -> None:
        """Refuse what was not taken."""
        for key in self._value:
            if key not in self._taken:
                raise self.wrong(key, "the sandbox does not know this field", "remove it, or use a real cluster")

    def wrong(self, key: str, why: str, hint: str = "") -> UntranslatableError:
        """Build the error about one field of this object."""
        return UntranslatableError(self.owner, f"{self.path}.{key}" if key else self.path, why, hint)

    def take(self, key: str, kinds: type | tuple[type, ...], default: Any = None) -> Any:
        """Take a field of one of these Python types."""
        self._taken.add(key)
        value = self._value.get(key, default)
        if value is default:
            return default
        wanted = kinds if isinstance(kinds, tuple) else (kinds,)
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            names = " or ".join(kind.__name__ for kind in wanted)
            raise self.wrong(key, f"{value!r} is not {names}")
        return value

    def text(self, key: str, default: str = "") -> str:
        """Take a string."""
        value: str = self.take(key, str, default)
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Take a boolean."""
        value: bool = self.take(key, bool, default)
        return value

    def integer(self, key: str, default: int | None = None) -> int | None:
        """Take an integer that is not negative."""
        value: int | None = self.take(key, int, default)
        if value is not None and value < 0:
            raise self.wrong(key, f"{value} is negative")
        return value

    def choice(self, key: str, choices: Mapping[str, Any], default: Any) -> Any:
        """Take a word and return what it stands for; any other word is refused."""
        word = self.take(key, str)
        if word is None:
            return default
        if word not in choices:
            raise self.wrong(key, f"{word!r} is not translated", f"the sandbox knows {', '.join(choices)}")
        return choices[word]

    def duration(self, key: str) -> str | None:
        """Take a duration ("1h2m", "500ms") and return it as protobuf's JSON wants it ("0.5s")."""
        text = self.take(key, str)
        if text is None:
            return None
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) != text:
            raise self.wrong(key, f"{text!r} is not a duration", "write it like 500ms, 2s or 1m30s")
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"

    def texts(self, key: str) -> list[str]:
        """Take a list of strings."""
        values: list[Any] = self.take(key, list, [])
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self.wrong(f"{key}[{index}]", f"{value!r} is not a string")
        return values

    def text_map(self, key: str) -> dict[str, str]:
        """Take an object whose values are all strings."""
        values: dict[str, Any] = self.take(key, dict, {})
        for name, value in values.items():
            if not isinstance(value, str):
                raise self.wrong(f"{key}.{name}", f"{value!r} is not a string")
        return values

    def child(self, key: str) -> Fields | None:
        """Take an object; None if it is absent."""
        value = self.take(key, dict)
        return None if value is None else Fields(value, self.owner, f"{self.path}.{key}")

    def children(self, key: str) -> Iterator[Fields]:
        """Take a list of objects."""
        values: list[Any] = self.take(key, list, [])
        for index, value in enumerate(values):
            yield Fields(value, self.owner, f"{self.path}.{key}[{index}]")

    def named_children(self, key: str) -> Iterator[tuple[str, Fields]]:
        """Take an object whose values are objects; yields name and object."""
        values: dict[str, Any] = self.take(key, dict, {})
        for name, value in values.items():
            yield name, Fields(value or {}, self.owner, f"{self.path}.{key}.{name}")

    def one_of(self, *keys: str) -> str | None:
        """Return which one of these fields is present, None if none is; more than one is refused."""
        present = [key for key in keys if key in self]
        if len(present) > 1:
            raise self.wrong(present[1], f"{present[0]} is there as well, and only one of them is allowed")
        return present[0] if present else None

    def without_export(self) -> None:
        """Take ``exportTo``, of which only "everywhere" is emulated."""
        if self.texts("exportTo") not in ([], ["*"]):
            raise self.wrong("exportTo", "visibility between namespaces is not emulated")
