"""The ports: what jobs need of the outside, as small Protocols.

Jobs get them as arguments; only the CLI builds adapters. Fakes for all of them ship in
``gitlab_mesh.testing``, and one contract suite runs on each fake and its real adapter.
Every method that does I/O raises only errors of ``gitlab_mesh.errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.core.mesh.route import Operation, RouteChange, RouteState
from gitlab_mesh.core.metrics.counts import SideTarget, Snapshot
from gitlab_mesh.core.record import Driver, Record
from gitlab_mesh.core.report.model import Report
from gitlab_mesh.core.report.review import Review

__all__ = [
    "Access",
    "AccessRule",
    "Artifacts",
    "Clock",
    "Cluster",
    "Commands",
    "Console",
    "Deployments",
    "Files",
    "HttpAnswer",
    "LeaseState",
    "LoadGenerator",
    "Lock",
    "MergeRequestNotes",
    "MetricSource",
    "Notifier",
    "Object",
    "PodProxy",
    "RolloutStore",
    "SignalCheck",
    "Signals",
    "TrafficRouter",
]

Object = dict[str, Any]
"""A Kubernetes object as JSON: ``apiVersion``, ``kind``, ``metadata``, …"""


class Clock(Protocol):
    """Time. Waits use the monotonic clock; wall time is for people only and is never compared."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never jumps."""

    def now(self) -> datetime:
        """Return the wall time, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait; a pending signal ends the wait early."""


class Cluster(Protocol):
    """The one door to objects of the Kubernetes API. ``kind`` is a word of ``core.kinds``.

    Raises (all methods):
        ObjectMissingError: 404.
        ConflictError: 409, or a JSON Patch ``test`` that failed (422).
        AccessDeniedError: 401, 403; names verb and resource.
        TransientError: Network, timeout, 429, 5xx.
        UsageError: The server says that the object is invalid (400, 422).
    """

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Read one object."""

    def list(self, kind: str, namespace: str, *, label_selector: str = "") -> list[Object]:
        """List objects of a namespace (all namespaces: ""); follows paging."""

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; ConflictError if it exists."""

    def update(self, body: Object) -> Object:
        """Replace an object; with ``metadata.resourceVersion`` the write is conditional."""

    def patch(
        self, kind: str, namespace: str, name: str, operations: Sequence[Operation], *, dry_run: bool = False
    ) -> Object:
        """Apply an RFC 6902 JSON Patch, all or nothing."""

    def delete(self, kind: str, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Delete in the background; ``uid`` makes it conditional. Missing is fine (returns)."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a pod answered."""

    status: int
    body: bytes


class PodProxy(Protocol):
    """HTTP to a pod through the Kubernetes API (``pods/proxy``): no network to the pods is needed."""

    def get_path(self, namespace: str, pod: str, port: int, path: str, *, timeout: float) -> HttpAnswer:
        """GET ``path`` of ``pod:port``.

        Raises:
            ObjectMissingError: No such pod.
            AccessDeniedError: No right on pods/proxy.
            TransientError: The pod did not answer.
        """

    def get_log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False, timeout: float
    ) -> str:
        """Return the last lines of a container's log (``pods/log``), of its run before this one if ``previous``.

        Raises:
            ObjectMissingError: No such pod.
            AccessDeniedError: No right on pods/log.
            GitlabMeshError: The server has none (a container that never started).
        """


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One right: ``verb`` on ``resource`` (plural, with subresource: "pods/proxy") of API ``group``."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""


class Access(Protocol):
    """What are we allowed to do?"""

    def denied(self, rules: Iterable[AccessRule]) -> list[AccessRule]:
        """Return the rules that the API server does not grant (SelfSubjectAccessReview)."""


class TrafficRouter(Protocol):
    """One kind of route (Istio VirtualService, Gateway API HTTPRoute, a plug-in's).

    ``plan_`` methods are pure: they only look at the state given. ``fence`` is the text of the annotation
    (``<rollout id>/<fence number>``); every planned patch tests it.
    """

    def read(self) -> RouteState:
        """Read the live route. Raises UsageError where it is missing or ambiguous."""

    def plan_prepare(self, state: RouteState, fence: str) -> RouteChange:
        """Put the fence on, and add the subset and the destination (weight 0) that are missing."""

    def plan_weight(self, state: RouteState, share: float, fence: str) -> RouteChange:
        """Give the canary ``share`` (0–1) of the pair, keeping the pair's sum."""

    def plan_take_over(self, state: RouteState, fence: str) -> RouteChange:
        """Rewrite the fence: from then on every patch of the driver before fails."""

    def plan_restore(self, state: RouteState | None, originals: Mapping[str, Any], fence: str) -> RouteChange:
        """Take back exactly what ``plan_prepare`` added; spec, labels, annotations are then as before.

        ``state`` is None where the route itself is gone: then what was added beside it is taken back.
        """

    def apply(self, change: RouteChange, *, dry_run: bool = False) -> RouteState:
        """Write it, read it back. Raises ConflictError if a precondition failed."""


class RolloutStore(Protocol):
    """Where the rollout record lives."""

    def read(self) -> tuple[Record | None, str]:
        """Return the record and an opaque version for ``write`` ("" if there is none)."""

    def write(self, record: Record, version: str) -> str:
        """Write if nobody else wrote since ``version``; return the new version. Raises ConflictError."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A Lease as read. ``fence`` counts takeovers (``leaseTransitions``); ``stamp`` changes with every renewal."""

    holder: str
    fence: int
    stamp: str
    duration_seconds: float


class Lock(Protocol):
    """The Lease of one service: lock and heartbeat."""

    def read(self) -> LeaseState | None:
        """Read it; None if nobody ever held it."""

    def acquire(self, driver: Driver, *, over: LeaseState | None) -> LeaseState:
        """Take it, with fence + 1, if it is free or still exactly ``over``; ConflictError names the holder."""

    def renew(self, lease: LeaseState) -> LeaseState:
        """Renew; ConflictError if it is not ours any more."""

    def release(self, lease: LeaseState) -> None:
        """Give it back (holder empty, fence kept); no error if it is not ours any more."""


class MetricSource(Protocol):
    """A source of raw cumulative counts. It never merges, never rates: only ``core.metrics`` does."""

    def check(self, targets: Sequence[SideTarget]) -> None:
        """Find out before traffic moves whether reading will work; raises an error that teaches."""

    def read(self, targets: Sequence[SideTarget]) -> Snapshot:
        """Read once. What is missing is named in ``problems``; a source that is down raises TransientError."""


class MergeRequestNotes(Protocol):
    """What the merge request shows; best effort, never raises (S10): the answer says what could not be done."""

    def post(self, key: str, text: str | Callable[[str], str], *, explicit: bool = False) -> str:
        """Create or update the one note with this key; return "" or why it could not be done.

        ``text`` may be a function of the body that it replaces ("" for none), to carry former attempts on.
        ``explicit``: a person asked for what it tells just now, so an older pipeline may say it too.
        """

    def review(self, key: str, change: Review) -> str:
        """Set the label, open or resolve the thread of a finished run; return "" or why it could not be done."""


class Deployments(Protocol):
    """GitLab's deployment records; best effort, never raises (S10)."""

    def record(self, environment: str, status: str, *, commit: str = "") -> str:
        """Record the state (running, success, failed, canceled); return "" or why it could not be done.

        ``commit``: whose deployment it is, where another pipeline's is ended; default: this pipeline's.
        """


class Notifier(Protocol):
    """Tells people outside GitLab; best effort, never raises (S10)."""

    def notify(self, report: Report) -> str:
        """Send it; return "" or why it could not be done."""


class Commands(Protocol):
    """Programs of the job's own environment (smoke checks)."""

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], timeout: float) -> tuple[int, str]:
        """Run to its end; return exit code (124 on timeout) and the tail of its output."""


class Artifacts(Protocol):
    """Files for GitLab; a failed write is said, never raised (S10)."""

    def write(self, name: str, text: str) -> str:
        """Write one file; return "" or why it could not be written."""


class Files(Protocol):
    """Files of the project that the job runs in."""

    def read(self, path: str) -> str:
        """Return the text of a file. Raises ObjectMissingError if there is none, UsageError if it is no text."""


class LoadGenerator(Protocol):
    """Sends requests on schedule, whatever the answers do, and measures from the schedule."""

    def run(
        self, plan: LoadPlan, *, progress: Callable[[LoadResult], None], interrupted: Callable[[], int]
    ) -> LoadResult:
        """Run a plan to its end; ``progress`` gets the result so far about every second.

        ``interrupted`` is asked all the time; not 0 ends the sending, and what was measured is returned.

        Raises:
            UsageError: The plan cannot be run here (a certificate that cannot be read).
            TransientError: The target's host has no address.
        """


class Console(Protocol):
    """The job's log. Never raises, not even when the runner is gone and the pipe is broken."""

    def section(self, name: str, title: str, *, collapsed: bool = False) -> AbstractContextManager[None]:
        """Open a collapsible section; ``name`` is a fixed slug ``[a-z0-9_-]``."""

    def line(self, text: str, *, tone: str = "neutral") -> None:
        """Write one line; tone: good, bad, warn, neutral."""

    def progress(self, text: str) -> None:
        """Show what is going on right now; a terminal rewrites the line, a CI log gets one now and then."""

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table that fits 80 columns."""


SignalCheck = Callable[[], int]
"""Returns the number of the signal that asked us to end, or 0."""

T = TypeVar("T")


class Signals(Protocol):
    """The signals that ask us to end."""

    def __call__(self) -> int:
        """Return the number of the first signal, or 0."""

    def abortable(self, work: Callable[[], T]) -> T | None:
        """Do work that only reads; the first signal ends it at once, however long a read hangs. None: aborted."""
