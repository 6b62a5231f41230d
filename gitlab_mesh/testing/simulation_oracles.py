"""The invariants S1–S10 as oracles: they watch the world from outside and never ask the code what it believes.

They see every write (object before and after, and which driver made it), every word of the judge, every request that
was lost, and the exit code of every process. What a fault itself explains is no violation; each excuse is here.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION
from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.core.workload import ROLLOUT_ID, needed_replicas
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.simulation_driver import DriverRun

__all__ = ["Oracles", "Shadow", "Violation", "share_of", "user_view"]

RECORD = "gitlab-mesh-shop"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise."""

    invariant: str
    time: float
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.time:.1f} s: {self.text}"


def share_of(route: Mapping[str, Any] | None) -> float | None:
    """Canary's share in a VirtualService, the largest of its HTTP routes; None where none leads to the shop."""
    shares: list[float] = []
    for http in (route or {}).get("spec", {}).get("http", ()):
        routes = [item for item in http["route"] if item["destination"]["host"].split(".")[0] == "shop"]
        if routes:
            default = 100 if len(http["route"]) == 1 else 0
            weights = {item["destination"].get("subset"): item.get("weight", default) for item in routes}
            total = sum(weights.values())
            shares.append(weights.get("canary", 0) / total if total else 0.0)
    return max(shares) if shares else None


def fence_of(route: Mapping[str, Any] | None) -> str | None:
    """The fence annotation."""
    fence: str | None = ((route or {}).get("metadata", {}).get("annotations") or {}).get(FENCE_ANNOTATION)
    return fence


def same_rollout(one: str | None, other: str | None) -> bool:
    """Whether two fences are of the same rollout."""
    return one is not None and other is not None and one.rpartition("/")[0] == other.rpartition("/")[0]


def user_view(body: Mapping[str, Any] | None) -> Any:
    """What of an object is its owner's: spec, labels, annotations."""
    if body is None:
        return None
    meta = body["metadata"]
    return {"spec": body["spec"], "labels": meta.get("labels"), "annotations": meta.get("annotations")}


def _foreign_part(body: Mapping[str, Any] | None) -> Any:
    """A VirtualService without anything that a release may change: pairs of the shop and the fence."""
    if body is None:
        return None
    view = copy.deepcopy(user_view(body))
    annotations = {key: value for key, value in (view["annotations"] or {}).items() if key != FENCE_ANNOTATION}
    view["annotations"] = annotations or None
    for http in view["spec"].get("http", ()):
        http["route"] = [item for item in http["route"] if item["destination"]["host"].split(".")[0] != "shop"]
    return view


@dataclass
class Shadow:
    """The user's own objects as they would be without any release: foreign edits are made here, too."""

    objects: dict[tuple[str, str], Any] = field(default_factory=dict)

    def edit(self, kind: str, body: Object | None, name: str = "shop") -> None:
        """Remember what the user has now."""
        self.objects[kind, name] = copy.deepcopy(user_view(body))


@dataclass
class Oracles:
    """Watches one simulation.

    Attributes:
        shadow: The user's objects.
        stable_images: Images that stable ever had.
        replicas: Of stable.
        look_seconds: Between two looks.
        drain_seconds: Longest wait after weight 0.
        lease_seconds: The lease's duration.
        violations: Found so far.
        fenced: Driver that wrote the fence last.
        rose: Whether the canary ever had a weight.
        zero_since: When the live weight last became 0; None while it is above.
    """

    shadow: Shadow
    stable_images: set[str]
    replicas: int
    look_seconds: float
    drain_seconds: float
    lease_seconds: float
    violations: list[Violation] = field(default_factory=list)
    fenced: DriverRun | None = None
    zero_since: float | None = -math.inf
    foreign_writes: list[float] = field(default_factory=list)
    excused: list[tuple[Side | None, float, float]] = field(default_factory=list)
    metric_troubles: list[tuple[float, float]] = field(default_factory=list)
    blind: list[tuple[float, float]] = field(default_factory=list)
    lag: float = 0.0
    last_canary: float = -math.inf
    ready_canaries: int = 0
    ready_stables: int = 0
    whole_stables: int = 0
    now: float = 0.0
    lease_holder: str = ""
    record_destroyed: bool = False
    promoted_images: set[str] = field(default_factory=set)
    first_image: str = ""

    def violate(self, invariant: str, text: str) -> None:
        """Note a broken promise."""
        self.violations.append(Violation(invariant, self.now, text))

    # Writes

    def wrote(self, before: Object | None, after: Object | None, driver: DriverRun | None) -> None:
        """A write was done; ``driver`` is None for everybody but the drivers."""
        body = after if after is not None else before
        if body is None:
            return
        kind, name = body["kind"], body["metadata"]["name"]
        if kind == "VirtualService":
            self._wrote_route(before, after, driver)
        elif kind == "Deployment" and driver is not None:
            self._wrote_deployment(name, before, after, driver)
        elif kind == "Lease":
            self._wrote_lease(before, after, driver)
        elif kind == "ConfigMap" and driver is None and after is None:
            self.record_destroyed = True
        elif kind == "ConfigMap" and driver is not None and name == RECORD:
            self._wrote_record(before, after, driver)

    def _wrote_route(self, before: Object | None, after: Object | None, driver: DriverRun | None) -> None:
        was, now = share_of(before) or 0.0, share_of(after) or 0.0
        if driver is None:
            self.foreign_writes.append(self.now)
        else:
            self._check_route_write(before, after, driver, was, now)
        if now > 0:
            self.zero_since = None
        elif self.zero_since is None:
            self.zero_since = self.now

    def _check_route_write(
        self, before: Object | None, after: Object | None, driver: DriverRun, was: float, now: float
    ) -> None:
        if after is None:
            self.violate("S5", f"{driver.name} deleted the VirtualService")
            return
        if _foreign_part(before) != _foreign_part(after):
            self.violate("S5", f"{driver.name} changed what is not ours in the VirtualService")
        held, fence = fence_of(before), fence_of(after)
        if driver.superseded:
            self.violate("S4", f"{driver.name} wrote the VirtualService after {driver.superseded} had taken over")
        if fence is not None and fence != held:
            if self.fenced is not None and self.fenced is not driver and held is not None:
                self.fenced.superseded = self.fenced.superseded or driver.name
            if self.fenced is not None and self.fenced is not driver and same_rollout(self.fenced.fence, fence):
                driver.carry_on(self.fenced, self.now)
            self.fenced, driver.fence = driver, fence
        if fence is not None and fence != driver.fence:
            self.violate("S4", f"{driver.name} wrote under the fence {fence}, which is not its own")
        if was == 1.0 and now < 1.0:
            self._check_return(driver)
        if now > was or (now > 0 and driver.last_weight is not None and now > driver.last_weight):
            self._check_raise(driver, now)
        if now != was or now == 0:
            driver.wrote_weight(now, self.now)

    def _check_return(self, driver: DriverRun) -> None:
        """Traffic goes back to stable: all of its pods must be ready, with the template that it has now."""
        if self.whole_stables < self.replicas and not self._excused(Side.STABLE, 30.0):
            ready = f"{self.whole_stables} of {self.replicas}"
            self.violate("S9", f"{driver.name} gives stable traffic back while {ready} of its pods are ready")

    def _check_raise(self, driver: DriverRun, share: float) -> None:
        mine = driver.last_weight or 0.0
        if self._lost_lease_long_ago(driver):
            self.violate("S1", f"{driver.name} raised to {share:.0%} while {self.lease_holder!r} held the lease")
        age = self.now - driver.renewed - (driver.paused - driver.paused_at_renewal)
        if age > self.lease_seconds + 1e-6:
            self.violate("S1", f"{driver.name} raised to {share:.0%}, its lease is {age:.1f} s old")
        if self.ready_canaries < needed_replicas(self.replicas, share) and not self._excused(Side.CANARY, 15.0):
            self.violate("S9", f"{driver.name} raised to {share:.0%} with {self.ready_canaries} ready canary pods")
        if share <= mine or mine == 0.0:
            return  # our own weight again after a foreign write, or the first step
        word = driver.word
        if word is None or word.time < driver.weight_since or word.weight != mine:
            self.violate("S1", f"{driver.name} raised to {share:.0%} without a word of the judge at {mine:.0%}")
        elif not (word.promote_open if share == 1.0 else word.raise_open):
            self.violate("S1", f"{driver.name} raised to {share:.0%} although the gate at {mine:.0%} was shut")
        if not self._evidence_since(driver.weight_since):
            self.violate("S7", f"{driver.name} raised to {share:.0%} without any sound look at {mine:.0%}")

    def _lost_lease_long_ago(self, driver: DriverRun) -> bool:
        """Whether somebody else holds the lease, and had the time to fence it off, or it to notice."""
        if self.lease_holder == driver.holder:
            return False
        age = self.now - driver.renewed - (driver.paused - driver.paused_at_renewal)
        return bool(driver.superseded) or age > self.lease_seconds

    def _evidence_since(self, since: float) -> bool:
        """Whether some whole time between two looks was free of foreign writes and of troubles of the metrics."""
        spoiled = [(time, time) for time in self.foreign_writes] + self.metric_troubles
        edges = sorted((max(start, since), min(end, self.now)) for start, end in spoiled if end >= since)
        free, at = 0.0, since
        for start, end in edges:
            free, at = max(free, start - at), max(at, end)
        return max(free, self.now - at) >= self.look_seconds - 1e-6

    def _wrote_deployment(self, name: str, before: Object | None, after: Object | None, driver: DriverRun) -> None:
        # A creation cannot be conditional: what a superseded driver makes must be gone at the end (S2). But stable
        # must never see its template.
        if driver.superseded and name == "shop" and _image(before or {}) != _image(after or {}):
            self.violate("S4", f"{driver.name} wrote Deployment {name} after {driver.superseded} had taken over")
        if name == "shop":
            self._check_stable_write(before, after, driver)
            return
        old = (before or {}).get("spec", {}).get("replicas", 1) if before is not None else 0
        new = after["spec"].get("replicas", 1) if after is not None else 0
        if before is not None and new < old and new == 0:
            self._check_end_of_canary(driver)

    def _check_stable_write(self, before: Object | None, after: Object | None, driver: DriverRun) -> None:
        if after is None:
            self.violate("S9", f"{driver.name} deleted the stable Deployment")
            return
        if before is None:
            return
        if after["spec"].get("replicas", 1) < before["spec"].get("replicas", 1):
            self.violate("S9", f"{driver.name} scaled stable down to {after['spec'].get('replicas')}")
        was, now = _image(before), _image(after)
        if now == was:
            return
        if now in self.stable_images:
            return  # taken back
        self.stable_images.add(now)
        word = driver.promotion_word
        if word is None or not word.promote_open:
            self.violate("S1", f"{driver.name} promoted {now} although the promote gate was shut")
        if self._lost_lease_long_ago(driver):
            self.violate("S1", f"{driver.name} promoted while {self.lease_holder!r} held the lease")

    def _check_end_of_canary(self, driver: DriverRun) -> None:
        """The canary is scaled to zero or deleted: nobody may still send requests there."""
        if self.zero_since is None:
            self.violate("S3", f"{driver.name} ends the canary while it has a weight")
            return
        quiet, waited = self.now - self.last_canary, self.now - self.zero_since
        if waited + 1e-6 < self.drain_seconds and quiet < 1.0 - 1e-6 and self.ready_canaries:
            self.violate("S3", f"{driver.name} ends the canary {quiet:.1f} s after its last request")
        if waited + 1e-6 >= self.drain_seconds and quiet < 1.0 - 1e-6 and not self._metrics_down():
            self.violate("S3", f"{driver.name} ends the canary although requests still come and can be seen")
        elif quiet < 1.0:  # nobody could tell, and the drain time is over
            self.excused.append((Side.CANARY, self.now, self.now + self.lag))

    def _wrote_lease(self, before: Object | None, after: Object | None, driver: DriverRun | None) -> None:
        if driver is None:
            return  # whoever deletes or edits a lease from outside takes nothing over
        self.lease_holder = str(((after or {}).get("spec") or {}).get("holderIdentity") or "")
        if self.lease_holder == driver.holder:
            driver.renewed, driver.paused_at_renewal = self.now, driver.paused

    def _wrote_record(self, before: Object | None, after: Object | None, driver: DriverRun) -> None:
        if after is None:
            self.violate("S2", f"{driver.name} deleted the record")
            return
        record = record_of(after)
        fence = record.get("fence", 0)
        if "promoted" in (record.get("ending"), record.get("outcome")):
            self.promoted_images.add(str((record.get("canary") or {}).get("image")))
        if before is not None and fence < record_of(before).get("fence", 0):
            self.violate("S4", f"{driver.name} wrote the record with the older fence {fence}")

    # Words of the judge

    def judged(self, driver: DriverRun, canary_requests: float) -> None:
        """The judge was given a look with these requests of the canary."""
        start = driver.read_before
        if canary_requests > 0 and start is not None and not driver.stale_since(start):
            spoiled = [time for time in self.foreign_writes if start <= time < self.now]
            if spoiled and not self._metrics_down(since=start):
                self.violate(
                    "S6", f"{driver.name} counted the window {start:.1f}–{self.now:.1f} s with a foreign write in it"
                )
        if not math.isfinite(canary_requests):
            self.violate("S7", f"{driver.name} gave the judge {canary_requests} requests")

    # Requests

    def lost(self, time: float, side: Side | None, count: int) -> None:
        """Requests found no ready pod."""
        self.now = max(self.now, time)
        if not self._excused(side, self.lag + 3.0):
            self.violate("S9", f"{count} requests found no ready pod of {side or 'any side'}")

    def _excused(self, side: Side | None, after: float = 3.0) -> bool:
        return any(its in (side, None) and start <= self.now <= end + after for its, start, end in self.excused)

    def _metrics_down(self, *, since: float | None = None) -> bool:
        begin = self.now - 2 * self.look_seconds if since is None else since
        return any(start <= self.now and end >= begin for start, end in (*self.metric_troubles, *self.blind))

    # GitLab

    def told_gitlab(self, driver: DriverRun, what: str) -> None:
        """A call to GitLab was made by the driver itself, not beside it."""
        if self.zero_since is None and self.fenced is driver:
            driver.waits.append((self.now, what))


def record_of(config_map: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record as the cluster holds it, {} without one that can be read."""
    try:
        found: dict[str, Any] = json.loads(((config_map or {}).get("data") or {}).get("record.json", "{}"))
    except ValueError:
        return {}
    return found


def is_ours(deployment: Mapping[str, Any]) -> bool:
    """Whether a release made this Deployment."""
    return ROLLOUT_ID in (deployment["metadata"].get("annotations") or {})


def _image(deployment: Mapping[str, Any]) -> str:
    containers = deployment.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or [{}]
    return str(containers[0].get("image", ""))
