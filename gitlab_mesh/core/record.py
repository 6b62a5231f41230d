"""The rollout record: everything that a later job needs, kept in a ConfigMap of the cluster.

It is written BEFORE each weight change (S2), is readable by a person with kubectl, and stays under 64 KiB.
Nothing in it is compared with a wall clock; times are for people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gitlab_mesh.errors import ConflictError, UsageError

__all__ = [
    "HISTORY_LENGTH",
    "MAX_BYTES",
    "SCHEMA",
    "WAITING_PHASES",
    "Driver",
    "PastRelease",
    "Record",
    "SideIdentity",
    "is_newer",
    "parse_record",
    "render_record",
]

SCHEMA = 1
MAX_BYTES = 64 * 1024
WAITING_PHASES = ("paused", "awaiting-promotion", "held")
HISTORY_LENGTH = 20
"""Releases that the record remembers; Kubernetes forgets its Events after an hour."""


@dataclass(frozen=True, slots=True)
class Driver:
    """Who drives the rollout: ids of pipeline and job as GitLab gives them, and the job's address."""

    pipeline: str = ""
    job: str = ""
    url: str = ""
    commit: str = ""

    @property
    def holder(self) -> str:
        """Identity for the Lease: the same CI job (``after_script``) has the same one; a retry is a new job."""
        return f"{self.pipeline or 'local'}/{self.job or 'local'}"

    @property
    def who(self) -> str:
        """Who drives, for people: pipeline, job, address."""
        return f"pipeline {self.pipeline or '–'}, job {self.job or '–'} {self.url}".rstrip()


@dataclass(frozen=True, slots=True)
class SideIdentity:
    """What ran on one side when it was recorded."""

    workload: str
    image: str = ""
    digests: tuple[str, ...] = ()
    template_hash: str = ""
    replicas: int = 0


@dataclass(frozen=True, slots=True)
class PastRelease:
    """One line of a service's history; times are for people."""

    id: str
    image: str = ""
    outcome: str = ""
    reason: str = ""
    started: str = ""
    ended: str = ""
    url: str = ""
    hotfix: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One rollout of one service.

    Attributes:
        id: Of the rollout, unique.
        fence: Fencing number, raised by every takeover.
        pipeline: Pipeline whose release this is; a job that only ends it becomes ``driver``, never this.
        phase: A word of ``core.rollout.Phase``.
        step: Index of the current step.
        followed: Share that requests surely followed when the last weight was written; 0 before the first weight,
            None where nobody knows.
        weight: Canary's share (0–1) that is intended, written before the route is.
        ending: Outcome that is decided while the way out is still to be walked; "promoted" is never undone by a net.
        outcome: A word of ``core.report.model.Outcome`` once finished, else "running".
        reason: Why it ended so, one sentence.
        originals: What the router needs to restore exactly: fragments by object ("VirtualService/ns/name").
        created: Objects that we made: "Deployment/shop/shop-canary".
        deadline_text: For people, RFC 3339.
        last_verdicts: Short, for ``status``: metric → "pass: …".
        judge_state: The judge's own state, ≤ 8 KiB.
        last_good: Identity of the last promoted release.
        rejected_digests: Digests that a verdict rejected; refused without ``--again``.
        pause_until: While paused, held or awaiting promotion: when nets end it, RFC 3339.
        settings: What ``recover`` needs of ``mesh.yaml`` (``driver.snapshot``): it works without a checkout.
        release: Hash of the pod template to release: a retried job must release the same.
        image: What is released, for people.
        pause_step: Index of the step that waits for ``--continue``; -1 if none.
        continued: Index of the last step whose pause is over; -1 if none.
        reasserted: How often foreign weights were overwritten so far.
        hotfix: Why it was released as a hotfix; "" for an ordinary release.
        previous_template: Stable's pod template before the last promotion, for ``rollback --to-previous``.
        history: The last releases, newest first.
    """

    id: str
    service: str
    namespace: str
    fence: int
    driver: Driver
    phase: str
    pipeline: str = ""
    step: int = 0
    weight: float = 0.0
    followed: float | None = None
    steps: tuple[float, ...] = ()
    ending: str = ""
    outcome: str = "running"
    reason: str = ""
    stable: SideIdentity | None = None
    canary: SideIdentity | None = None
    originals: Mapping[str, Any] = field(default_factory=dict)
    created: tuple[str, ...] = ()
    started: str = ""
    updated: str = ""
    deadline_text: str = ""
    pause_until: str = ""
    last_verdicts: Mapping[str, str] = field(default_factory=dict)
    judge_state: Mapping[str, Any] = field(default_factory=dict)
    last_good: SideIdentity | None = None
    rejected_digests: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    release: str = ""
    image: str = ""
    pause_step: int = -1
    continued: int = -1
    reasserted: int = 0
    hotfix: str = ""
    previous_template: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[PastRelease, ...] = ()

    @property
    def waits(self) -> bool:
        """True while it waits by plan for a person or a later job; nets leave it alone until ``pause_until``."""
        return not self.finished and self.phase in WAITING_PHASES

    @property
    def release_pipeline(self) -> str:
        """Pipeline whose release this is: ``driver`` may by now be somebody who only ended it."""
        return self.pipeline or self.driver.pipeline

    @property
    def finished(self) -> bool:
        """True once nothing of this rollout is left to do."""
        return self.outcome != "running"

    def with_(self, **changes: Any) -> Record:
        """Return a copy with the changes."""
        return replace(self, **changes)


def is_newer(there: str, ours: str) -> bool:
    """Whether the pipeline ``there`` is newer than ours; ids of GitLab only rise."""
    return there.isdecimal() and ours.isdecimal() and int(there) > int(ours)


def render_record(record: Record) -> dict[str, str]:
    """Render the record as a ConfigMap's ``data``: one readable JSON document under ``record.json``.

    What is only for people or for comfort gives way first: history, the template of the release before.

    Raises:
        UsageError: It would be larger than 64 KiB.
    """
    text = _dump(record)
    smaller: tuple[dict[str, Any], ...] = ({"history": record.history[:3]}, {"history": (), "previous_template": {}})
    for less in smaller:
        if len(text.encode()) <= MAX_BYTES:
            break
        text = _dump(record.with_(**less))
    if len(text.encode()) > MAX_BYTES:
        raise UsageError(
            f"rollout record of {record.namespace}/{record.service} would have {len(text.encode())} bytes",
            why=f"a record may have {MAX_BYTES}",
            hint="the route's own fragments are too large; move fewer HTTP routes at once (route.http)",
        )
    return {"record.json": text}


def _dump(record: Record) -> str:
    return json.dumps({"schema": SCHEMA, **asdict(record)}, indent=2, sort_keys=False, default=list)


def parse_record(data: Mapping[str, str], *, name: str) -> Record | None:
    """Parse a ConfigMap's ``data``; None where it holds no record.

    Unknown fields of a record of our own schema are ignored (a newer patch version wrote it).

    Raises:
        ConflictError: The record was written by a newer schema, or is not readable: nobody may guess.
    """
    text = data.get("record.json")
    if text is None:
        return None
    try:
        raw = json.loads(text)
        schema = raw["schema"]
        if schema > SCHEMA:
            raise ConflictError(
                f"rollout record {name} has schema {schema}; this gitlab-mesh knows {SCHEMA}",
                why="a newer gitlab-mesh drives this service",
                hint="use the same version, or a newer one",
            )
        known = {key: raw[key] for key in Record.__dataclass_fields__ if key in raw}
        return Record(
            **{
                **known,
                "driver": _parse(Driver, raw["driver"]),
                "steps": tuple(raw.get("steps", ())),
                "created": tuple(raw.get("created", ())),
                "rejected_digests": tuple(raw.get("rejected_digests", ())),
                "history": tuple(_parse(PastRelease, item) for item in raw.get("history", ())),
                **{side: _parse(SideIdentity, raw.get(side)) for side in ("stable", "canary", "last_good")},
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConflictError(
            f"rollout record {name} cannot be read",
            why=str(error),
            hint=f"look at it: kubectl get configmap {name} -o yaml; nothing was changed",
        ) from error


def _parse(kind: type[Any], raw: Any) -> Any:
    if raw is None:
        return None
    values = {key: raw[key] for key in kind.__dataclass_fields__ if key in raw}
    if "digests" in values:
        values["digests"] = tuple(values["digests"])
    return kind(**values)
