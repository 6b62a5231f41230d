"""The judge's state as JSON: a job that is retried decides as the one that was interrupted would have.

Numbers are packed as 8-byte floats in base 85, exactly: a resumed judge must not spend its error budget twice, and
not round itself over a threshold either.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from gitlab_mesh.core.judge.latency import Bound
from gitlab_mesh.core.judge.ledger import Ledger
from gitlab_mesh.core.metrics.counts import Histogram
from gitlab_mesh.errors import UsageError

__all__ = ["SCHEMA", "dump_ledger", "load_ledger"]

SCHEMA = 2
_SCALARS = ("weight", "rps", "peak", "peak_time")
_NONE = -1.7976931348623157e308
_COUNTS = ("step_requests",)
_TEXTS = ("crash", "layout_problem")


def _pack(numbers: Sequence[float]) -> str:
    return base64.b85encode(struct.pack(f"<{len(numbers)}d", *numbers)).decode("ascii")


def _unpack(text: str) -> list[float]:
    data = base64.b85decode(text)
    return list(struct.unpack(f"<{len(data) // 8}d", data))


def _pack_lists(lists: Sequence[Sequence[float]]) -> list[str]:
    return [_pack(numbers) for numbers in lists]


def dump_ledger(ledger: Ledger) -> dict[str, Any]:
    """Return the whole state, at most 8 KiB as JSON with seven comparisons and four metrics of the user's."""
    state: dict[str, Any] = {
        "schema": SCHEMA,
        "time": ledger.time,
        "scalars": _pack([getattr(ledger, name) for name in _SCALARS]),
        "counts": [getattr(ledger, name) for name in _COUNTS],
        "texts": [getattr(ledger, name) for name in _TEXTS],
        "baseline": _pack([ledger.baseline.requests, ledger.baseline.errors]),
        "errors": _pack_lists(ledger.errors.dump()),
        "harm": _pack(ledger.harm.dump()),
        "startup": _pack(ledger.startup.dump()),
        "recent": _pack(ledger.recent.dump()),
        "drift": _pack([*ledger.drift.dump(), *ledger.slowing.dump()]),
        "share": _pack(ledger.share.dump()),
        "user": [_pack([_NONE if value is None else value for value in track.dump()]) for track in ledger.user],
    }
    histogram = ledger.baseline.histogram
    if histogram is not None:
        state["histogram"] = [_pack(histogram.upper_bounds), list(histogram.counts)]
    if ledger.slo is not None:
        state["slo"] = _pack_lists([limit.dump() for limit in ledger.slo])
    if ledger.latency is not None:
        state["bounds"] = [_pack([float(value) for value in astuple(bound)]) for bound, _ in ledger.latency]
        state["latency"] = [_pack_lists(track.dump()) for _, track in ledger.latency]
    return state


def load_ledger(ledger: Ledger, state: Mapping[str, Any]) -> None:
    """Fill a new ledger with a state.

    Raises:
        UsageError: The state is damaged, of another version, or of other settings.
    """
    if state.get("schema") != SCHEMA:
        raise UsageError(
            "the judge's saved state cannot be read",
            why=f"its schema is {state.get('schema')!r}, this version writes {SCHEMA}",
            hint="start the release again with the same job, from its first step",
        )
    try:
        _fill(ledger, state)
    except (KeyError, TypeError, ValueError, struct.error, binascii.Error) as error:
        raise UsageError(
            "the judge's saved state does not fit these settings",
            why=str(error),
            hint="start the release again, from its first step",
        ) from error


def _fill(ledger: Ledger, state: Mapping[str, Any]) -> None:
    ledger.time = state["time"]
    for name, value in zip(_SCALARS, _unpack(state["scalars"]), strict=True):
        setattr(ledger, name, value)
    for name, count in zip(_COUNTS, state["counts"], strict=True):
        setattr(ledger, name, int(count))
    for name, text in zip(_TEXTS, state["texts"], strict=True):
        setattr(ledger, name, str(text))
    ledger.baseline.requests, ledger.baseline.errors = _unpack(state["baseline"])
    if "histogram" in state:
        bounds, counts = state["histogram"]
        ledger.baseline.histogram = Histogram(tuple(_unpack(bounds)), tuple(counts))
    ledger.errors.load([_unpack(text) for text in state["errors"]])
    ledger.harm.load(_unpack(state["harm"]))
    ledger.startup.load(_unpack(state["startup"]))
    ledger.recent.load(_unpack(state["recent"]))
    drift = _unpack(state["drift"])
    ledger.drift.load(drift[: len(drift) // 2])
    ledger.slowing.load(drift[len(drift) // 2 :])
    ledger.share.load(_unpack(state["share"]))
    if ledger.slo is not None:
        for limit, text in zip(ledger.slo, state["slo"], strict=True):
            limit.load(_unpack(text))
    for track, numbers in zip(ledger.user, state["user"], strict=True):
        track.load([None if number == _NONE else number for number in _unpack(numbers)])
    if "bounds" in state:
        chosen = [_unpack(text) for text in state["bounds"]]
        ledger.compare_bounds([Bound(a, b, c, d, e, f, bool(g)) for a, b, c, d, e, f, g in chosen])
        for (_, latency), texts in zip(ledger.latency or (), state["latency"], strict=True):
            latency.load([_unpack(text) for text in texts])
