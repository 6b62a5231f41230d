"""What no write may do (S1, S3, S4, S5, S9): to the routes, to stable, to the canary."""

from __future__ import annotations

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.core.workload import needed_replicas
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.simulation.driver import DriverRun
from gitlab_mesh.testing.simulation.oracles import Oracles
from gitlab_mesh.testing.simulation.views import (
    RECORD,
    ROUTE_KINDS,
    fence_of,
    foreign_part,
    image_of,
    meant,
    replicas_of,
    routes_of,
    same_rollout,
    share_of,
)

__all__ = ["check_write"]


def check_write(oracles: Oracles, before: Object | None, after: Object | None, driver: DriverRun | None) -> None:
    """Look at a write that was done; ``driver`` is None for everybody but the drivers."""
    body = after if after is not None else before
    if body is None:
        return
    kind, name = body["kind"], body["metadata"]["name"]
    if kind in ROUTE_KINDS:
        if meant(before) == meant(after):
            return  # the control plane's word
        _wrote_route(oracles, name, before, after, driver)
    elif kind == "Deployment" and driver is not None:
        _wrote_deployment(oracles, name, before, after, driver)
    elif kind == "Deployment" and name == "shop" and before is not None and after is not None:
        _check_capacity(oracles, before, after)
    elif kind == "Service" and driver is not None and after is None:
        _deleted_service(oracles, name, driver)
    elif kind == "Lease" and driver is not None:
        oracles.wrote_lease(after, driver)
    elif kind == "ConfigMap" and driver is None and after is None:
        oracles.record_destroyed = True
        oracles.refused.clear()  # nobody can know any more what was taken back
    elif kind == "ConfigMap" and driver is not None and name == RECORD:
        oracles.wrote_record(before, after, driver)


def _wrote_route(
    oracles: Oracles, name: str, before: Object | None, after: Object | None, driver: DriverRun | None
) -> None:
    was, now = share_of(before) or 0.0, share_of(after) or 0.0
    oracles.led[name] = _led_services(after)
    if driver is None:
        oracles.foreign_writes.append(oracles.now)
    elif after is None:
        oracles.violate("S5", f"{driver.name} deleted the route {name}")
    else:
        if foreign_part(before) != foreign_part(after):
            oracles.violate("S5", f"{driver.name} changed what is not ours in the route {name}")
        if now == 0 and was > 0:
            oracles.gone = [_led_past(gone, oracles.now, driver) for gone in oracles.gone]
        _check_fence(oracles, name, fence_of(before), fence_of(after), driver)
        _check_weight(oracles, driver, was, now)
    oracles.shares[name] = now
    if max(oracles.shares.values()) > 0:
        oracles.zero_since = None
    elif oracles.zero_since is None:
        oracles.zero_since = oracles.now


def _led_past(
    gone: tuple[Side | None, float, float], now: float, driver: DriverRun
) -> tuple[Side | None, float, float]:
    """Requests find no side whose Service was deleted until somebody could know and led them elsewhere."""
    side, start, end = gone
    known = start < now and not driver.stale_since(start)
    return (side, start, min(end, now)) if known else gone


def _led_services(route: Object | None) -> set[str]:
    items = (item for refs in routes_of(route) for item in refs)
    return {item["name"] for item in items if "destination" not in item and item.get("weight", 1) > 0}


def _deleted_service(oracles: Oracles, name: str, driver: DriverRun) -> None:
    if any(name in led for led in oracles.led.values()):
        oracles.violate("S3", f"{driver.name} deletes Service {name} while a route leads requests to it")


def _check_fence(oracles: Oracles, name: str, held: str | None, fence: str | None, driver: DriverRun) -> None:
    """Who took a route over fences the driver before off; that one may write it no more (S4)."""
    owner, newest = oracles.fences.get(name), oracles.fenced
    if driver.superseded and owner is not driver:
        oracles.violate("S4", f"{driver.name} wrote the route after {driver.superseded} had taken over")
    if fence is not None and fence != held:
        if newest is not None and newest is not driver and held is not None:
            newest.superseded = newest.superseded or driver.name
        if newest is not None and newest is not driver and same_rollout(newest.fence, fence):
            driver.carry_on(newest, oracles.now)
        oracles.fenced, oracles.fences[name], driver.fence = driver, driver, fence
    if fence is not None and _number(fence) < _number(held) and same_rollout(fence, held):
        oracles.violate("S4", f"{driver.name} wrote the older fence {fence} over {held}")
    if fence is not None and fence != driver.fence:
        oracles.violate("S4", f"{driver.name} wrote under the fence {fence}, which is not its own")


def _number(fence: str | None) -> int:
    return int((fence or "0").rpartition("/")[2])


def _check_weight(oracles: Oracles, driver: DriverRun, was: float, now: float) -> None:
    if was == 1.0 and now < 1.0:
        _check_return(oracles, driver)
    above = driver.last_weight is not None and now > driver.last_weight  # though below what somebody else wrote
    if now > was or (0 < now < was and above):
        _check_raise(oracles, driver, now)
    if now != was or now == 0:
        driver.wrote_weight(now, oracles.now)


def _check_return(oracles: Oracles, driver: DriverRun) -> None:
    """Traffic goes back to stable: all of its pods must be ready, with the template that it has now."""
    if oracles.whole_stables < oracles.replicas and not oracles.is_disturbed(Side.STABLE, 30.0):
        ready = f"{oracles.whole_stables} of {oracles.replicas}"
        oracles.violate("S9", f"{driver.name} gives stable traffic back while {ready} of its pods are ready")


def _check_raise(oracles: Oracles, driver: DriverRun, share: float) -> None:
    mine = driver.last_weight or 0.0
    if oracles.lost_lease_long_ago(driver):
        oracles.violate("S1", f"{driver.name} raised to {share:.0%} while {oracles.lease_holder!r} held the lease")
    age = driver.lease_age(oracles.now)
    if age > oracles.lease_seconds + 1e-6:
        oracles.violate("S1", f"{driver.name} raised to {share:.0%}, its lease is {age:.1f} s old")
    if oracles.ready_canaries < needed_replicas(oracles.replicas, share) and not oracles.is_disturbed(
        Side.CANARY, 15.0
    ):
        oracles.violate("S9", f"{driver.name} raised to {share:.0%} with {oracles.ready_canaries} ready canary pods")
    if share <= mine or mine == 0.0:
        return  # our own weight again after a foreign write, or the first step
    word = driver.word
    if word is None or word.time < driver.weight_since or word.weight != mine:
        oracles.violate("S1", f"{driver.name} raised to {share:.0%} without a word of the judge at {mine:.0%}")
    elif not (word.promote_open if share > oracles.last_step else word.raise_open):
        oracles.violate("S1", f"{driver.name} raised to {share:.0%} although the gate at {mine:.0%} was shut")
    if not oracles.has_evidence(driver, driver.weight_since):
        oracles.violate("S7", f"{driver.name} raised to {share:.0%} without two sound readings at {mine:.0%}")


def _wrote_deployment(
    oracles: Oracles, name: str, before: Object | None, after: Object | None, driver: DriverRun
) -> None:
    # A creation cannot be conditional: what a superseded driver makes must be gone at the end (S2). But stable
    # must never see its template.
    if driver.superseded and name == "shop" and image_of(before or {}) != image_of(after or {}):
        oracles.violate("S4", f"{driver.name} wrote Deployment {name} after {driver.superseded} had taken over")
    if before is None and oracles.frozen and not driver.hotfix:
        oracles.violate("S1", f"{driver.name} begins a release in a freeze window")
    if name == "shop":
        _check_stable_write(oracles, before, after, driver)
        return
    old = replicas_of(before) if before is not None else 0
    new = replicas_of(after) if after is not None else 0
    if before is not None and new < old and new == 0:
        _check_end_of_canary(oracles, driver)


def _check_stable_write(oracles: Oracles, before: Object | None, after: Object | None, driver: DriverRun) -> None:
    if after is None:
        if oracles.shadow.objects.get(("Deployment", "shop")) is not None:
            oracles.violate("S9", f"{driver.name} deleted the stable Deployment")
        return  # a first release takes back what it made
    if before is None:
        oracles.stable_images.add(image_of(after))
        return
    if replicas_of(after) < replicas_of(before) and oracles.shadow.objects.get(("Deployment", "shop")) is not None:
        oracles.violate("S9", f"{driver.name} scaled stable down to {replicas_of(after)}")
    was, now = image_of(before), image_of(after)
    if now == was:
        return
    if now in oracles.refused:
        oracles.violate("S1", f"{driver.name} promoted {now}, which was taken back before")
    if driver.name.startswith("previous "):
        oracles.refused.add(was)
    if now in oracles.stable_images:
        return  # taken back
    oracles.stable_images.add(now)
    word = driver.promotion_word
    if word is None or not word.promote_open:
        oracles.violate("S1", f"{driver.name} promoted {now} although the promote gate was shut")
    if oracles.lost_lease_long_ago(driver):
        oracles.violate("S1", f"{driver.name} promoted while {oracles.lease_holder!r} held the lease")


def _check_end_of_canary(oracles: Oracles, driver: DriverRun) -> None:
    """The canary is scaled to zero or deleted: no route may still lead requests there."""
    if oracles.zero_since is None:
        oracles.violate("S3", f"{driver.name} ends the canary while it has a weight")
        return
    # Who still comes where the route leads to the Service of both sides, comes through it; lag looks the same.
    blind = oracles.metrics_down() or any("shop" in led for led in oracles.led.values())
    quiet, waited = oracles.now - oracles.last_canary, oracles.now - oracles.zero_since
    if waited + 1e-6 < oracles.drain_seconds and quiet < 1.0 - 1e-6 and oracles.ready_canaries:
        oracles.violate("S3", f"{driver.name} ends the canary {quiet:.1f} s after its last request")
    if waited + 1e-6 >= oracles.drain_seconds and quiet < 1.0 - 1e-6 and not blind:
        oracles.violate("S3", f"{driver.name} ends the canary although requests still come and can be seen")
    elif quiet < 1.0:  # nobody could tell, and the drain time is over
        oracles.excused.append((Side.CANARY, oracles.now, oracles.now + oracles.lag))


def _check_capacity(oracles: Oracles, before: Object, after: Object) -> None:
    """Somebody else, the autoscaler, scales stable: never below its need while the canary has its requests."""
    need = oracles.replicas
    shrinks = replicas_of(after) < min(need, replicas_of(before))
    if shrinks and oracles.zero_since is None and not oracles.record_destroyed:
        oracles.violate("S9", f"stable is scaled down to {replicas_of(after)} of {need} while the canary serves")
