"""The lock of one service: a ``coordination.k8s.io`` Lease, the port ``Lock``.

``holderIdentity`` says who drives (pipeline/job), ``leaseTransitions`` is the fencing number and grows with every
acquire by anybody, ``renewTime`` is for people and changes with every renewal. Whether a lease has expired is the
caller's to find out, by watching it stand still on its own monotonic clock (as client-go's leader election does):
wall clocks of two machines are never compared. An empty holder is a released lease (client-go releases so, too).
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from gitlab_mesh.adapters.kubernetes.store import owned_labels, record_name
from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.core.record import Driver
from gitlab_mesh.errors import ConflictError, ObjectMissingError
from gitlab_mesh.ports import Clock, Cluster, LeaseState, Object

__all__ = ["JOB_URL_ANNOTATION", "LeaseLock"]

JOB_URL_ANNOTATION = "gitlab-mesh.dev/job-url"
_MICRO_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class LeaseLock:
    """Lock and heartbeat in Lease ``gitlab-mesh-<service>``.

    Args:
        cluster: Where the Lease lives.
        service: Whose rollout it guards.
        namespace: Of the service.
        duration_seconds: After this time without renewal others may take over; whole seconds in the API.
        clock: Gives ``renewTime``.
    """

    def __init__(
        self, cluster: Cluster, service: str, namespace: str, *, duration_seconds: float, clock: Clock
    ) -> None:
        self._cluster = cluster
        self._service = service
        self._namespace = namespace
        self._name = record_name(service)
        self._duration = max(1, math.ceil(duration_seconds))
        self._clock = clock

    def read(self) -> LeaseState | None:
        """Read it; None if nobody ever held it."""
        found = self._find()
        return None if found is None else _state(found)

    def acquire(self, driver: Driver, *, over: LeaseState | None) -> LeaseState:
        """Take it, with fence + 1, if it is free or still exactly ``over``.

        Raises:
            ConflictError: Somebody else holds it; names pipeline, job and link.
        """
        found = self._find()
        if found is not None:
            current = _state(found)
            if current.holder and current != over:
                raise self._not_taken(found)
        try:
            return _state(self._create(driver) if found is None else self._take(found, driver))
        except (ConflictError, ObjectMissingError) as error:  # somebody was faster than we
            raise self._not_taken(self._find()) from error

    def renew(self, lease: LeaseState) -> LeaseState:
        """Renew with one conditional write.

        Raises:
            ConflictError: It is not ours any more.
        """
        stamp = self._stamp(lease.stamp)
        operations = [*_still(lease), {"op": "add", "path": "/spec/renewTime", "value": stamp}]
        try:
            return _state(self._cluster.patch("Lease", self._namespace, self._name, operations))
        except (ConflictError, ObjectMissingError) as error:
            raise ConflictError(
                f"{self._title} is not ours any more: {_holder(self._find())}",
                why="it was taken over, or released, since we renewed it last; we write nothing any more",
                hint=self._hint,
            ) from error

    def release(self, lease: LeaseState) -> None:
        """Give it back: holder empty, fence kept; nothing happens if it is not ours any more."""
        operations = [
            *_still(lease),
            {"op": "replace", "path": "/spec/holderIdentity", "value": ""},
            {"op": "add", "path": "/spec/renewTime", "value": self._stamp(lease.stamp)},
        ]
        try:
            self._cluster.patch("Lease", self._namespace, self._name, operations)
        except (ConflictError, ObjectMissingError):
            return

    @property
    def _title(self) -> str:
        return f"the lock of service {self._namespace}/{self._service}"

    @property
    def _hint(self) -> str:
        return f"see it: gitlab-mesh job status --service {self._service}"

    def _find(self) -> Object | None:
        try:
            return self._cluster.get("Lease", self._namespace, self._name)
        except ObjectMissingError:
            return None

    def _not_taken(self, found: Object | None) -> ConflictError:
        return ConflictError(
            f"{self._title} was not taken: {_holder(found)}",
            why="two drivers must never both move traffic; we wrote nothing",
            hint=f"{self._hint}; then wait for it, or take traffic back: "
            f"gitlab-mesh job rollback --service {self._service}",
        )

    def _create(self, driver: Driver) -> Object:
        stamp = self._stamp("")
        return self._cluster.create(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": self._name,
                    "namespace": self._namespace,
                    "labels": owned_labels(self._service),
                    "annotations": {JOB_URL_ANNOTATION: driver.url},
                },
                "spec": self._spec(driver, 1, stamp),
            }
        )

    def _take(self, found: Object, driver: Driver) -> Object:
        before = _state(found)
        spec = self._spec(driver, before.fence + 1, self._stamp(before.stamp))
        annotations = {**(found["metadata"].get("annotations") or {}), JOB_URL_ANNOTATION: driver.url}
        operations: list[Operation] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/metadata/annotations", "value": annotations},
            {"op": "add", "path": "/spec", "value": spec},
        ]
        return self._cluster.patch("Lease", self._namespace, self._name, operations)

    def _spec(self, driver: Driver, fence: int, stamp: str) -> Object:
        return {
            "holderIdentity": driver.holder,
            "leaseDurationSeconds": self._duration,
            "leaseTransitions": fence,
            "acquireTime": stamp,
            "renewTime": stamp,
        }

    def _stamp(self, before: str) -> str:
        """Return the time as the API's MicroTime, but never the same text twice in a row."""
        now = self._clock.now()
        if now.strftime(_MICRO_TIME) == before:
            now += timedelta(microseconds=1)
        return now.strftime(_MICRO_TIME)


def _still(lease: LeaseState) -> list[Operation]:
    """Conditions under which the lease is still the one that we hold."""
    return [
        {"op": "test", "path": "/spec/holderIdentity", "value": lease.holder},
        {"op": "test", "path": "/spec/leaseTransitions", "value": lease.fence},
    ]


def _state(found: Object) -> LeaseState:
    spec = found.get("spec") or {}
    return LeaseState(
        holder=str(spec.get("holderIdentity") or ""),
        fence=int(spec.get("leaseTransitions") or 0),
        stamp=_normal(str(spec.get("renewTime") or "")),
        duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
    )


def _normal(stamp: str) -> str:
    """Write a MicroTime as we do, so that our own text is recognised (servers may drop zeros)."""
    try:
        return datetime.fromisoformat(stamp).strftime(_MICRO_TIME)
    except ValueError:
        return stamp


def _holder(found: Object | None) -> str:
    if found is None:
        return "its Lease is gone"
    holder = _state(found).holder
    if not holder:
        return "nobody holds it now"
    pipeline, _, job = holder.partition("/")
    url = ((found.get("metadata") or {}).get("annotations") or {}).get(JOB_URL_ANNOTATION, "")
    who = f"held by pipeline {pipeline}, job {job}" if job else f"held by {holder}"
    return f"{who} ({url})" if url else who
