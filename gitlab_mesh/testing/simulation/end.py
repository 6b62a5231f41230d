"""What must hold when a process has ended, and when everything is over."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.record import WAITING_PHASES
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh.testing.simulation.driver import DriverRun
from gitlab_mesh.testing.simulation.oracles import Oracles
from gitlab_mesh.testing.simulation.views import (
    RECORD,
    ROUTE_KINDS,
    fence_of,
    image_of,
    is_canary,
    is_ours,
    leads_to_shop,
    record_of,
    routes_of,
    share_of,
    user_view,
)

__all__ = ["check_end", "check_exit", "find", "waits"]


def waits(model: ShopModel) -> bool:
    """Whether a rollout is open that waits by plan: nets leave it alone."""
    record = record_of(find(model, "ConfigMap", RECORD))
    return record.get("phase") in WAITING_PHASES and record.get("outcome") == "running"


def check_exit(oracles: Oracles, model: ShopModel, run: DriverRun) -> None:
    """The exit code must say what the cluster shows."""
    route = next((found for kind in ROUTE_KINDS if (found := find(model, kind, "shop")) is not None), None)
    share = max(oracles.shares.values(), default=0.0)
    mine = not run.superseded and (oracles.fenced is run or oracles.fenced is None)
    mine = mine and oracles.lease_run in (None, run)  # else somebody is just taking over
    # The last sound reading may have shown callers that bypass the route.
    trouble = oracles.now - run.injector.last_trouble < 200.0 or oracles.metrics_down()
    if run.exit_code == 23:
        # Proxies that lag from before the sides had Services lead there, too: by the Service of both.
        last = max(oracles.last_canary, model.traffic.last_common)
        requests = oracles.alike or oracles.now - last < oracles.drain_seconds + 2.0
        trouble = trouble or _unaccepted(route)
        half = oracles.ready_stables < oracles.replicas
        if mine and not (share > 0 or trouble or requests or half):
            oracles.violate("S3", f"{run.name} exits 23 although weight 0 is written and nobody reaches the canary")
        return
    waiting = run.phase in WAITING_PHASES  # left like that by plan: nothing is on its way back
    if mine and share > 0 and not waiting and fence_of(route) == run.fence:
        foreign = oracles.foreign_writes and oracles.foreign_writes[-1] > run.weight_since
        if not foreign and run.fence is not None:
            oracles.violate("S3", f"{run.name} exits {run.exit_code} and leaves the canary at {share:.0%}")
    for time, what in run.waits if mine and not waiting else ():  # above, with 23, it has given up
        oracles.violate("S10", f"{run.name} waited for GitLab ({what}) at {time:.0f} s while its canary had a weight")
    if run.exit_code == 10 and mine and share > 0 and run.fence is not None:
        oracles.violate("S3", f"{run.name} exits 10 while the canary has {share:.0%}")


def _unaccepted(route: Object | None) -> bool:
    """Whether the control plane has not taken an HTTPRoute up yet: weight 0 is written, never observed."""
    if route is None or route["kind"] != "HTTPRoute":
        return False
    parents = (route.get("status") or {}).get("parents") or ()
    generation = route["metadata"]["generation"]
    return any(item["observedGeneration"] < generation for parent in parents for item in parent["conditions"])


def check_end(oracles: Oracles, model: ShopModel, last: DriverRun) -> str:
    """Everything outside works, and a job ended the rollout: nothing may be left over. Return the end's name."""
    record = record_of(find(model, "ConfigMap", RECORD))
    outcome = str(record.get("outcome", "no record"))
    if last.exit_code == 23 and oracles.never_stable and oracles.ready_stables < oracles.replicas:
        return "kept"  # what the hotfix was for: there is no stable to go back to
    if last.exit_code != 0:
        oracles.violate("S2", f"{last.name} exits {last.exit_code} although everything works again")
    if outcome == "running":
        oracles.violate("S2", f"the record is still open, phase {record.get('phase')}")
    for route in (item for kind in ROUTE_KINDS for item in model.cluster.peek(kind, "shop")):
        if share_of(route):
            name = route["metadata"]["name"]
            oracles.violate("S2", f"the canary still has {share_of(route):.0%} of {name} at the end")
    for (kind, name), wanted in oracles.shadow.objects.items():
        if kind == "Deployment":
            _check_stable(oracles, find(model, kind, name), wanted, outcome)
        else:
            _check_object(oracles, kind, name, user_view(find(model, kind, name)), wanted)
    _check_leftovers(oracles, model, outcome)
    return outcome


def _check_stable(oracles: Oracles, live: Any, wanted: Any, outcome: str) -> None:
    """Stable is its owner's but for an image that somebody finished promoting."""
    if live is None or wanted is None:
        if (live is None) != (wanted is None) and outcome != "deployed":
            oracles.violate("S5", f"stable is {'gone' if live is None else 'there'}, which is not how it was before")
        return
    image, found = image_of(live), copy.deepcopy(user_view(live))
    if image not in oracles.promoted_images | oracles.user_images and not oracles.record_destroyed:
        oracles.violate("S2", f"stable runs {image}, which nobody finished promoting (record: {outcome})")
    if image in oracles.refused:
        oracles.violate("S1", f"stable runs {image}, which somebody took back after its promotion")
    wanted = copy.deepcopy(wanted)
    for view in (found, wanted):
        view["spec"]["template"]["spec"]["containers"][0]["image"] = ""
        if ("HorizontalPodAutoscaler", "shop") in oracles.shadow.objects:
            view["spec"]["replicas"] = 0  # the autoscaler's, not ours
    if found != wanted:
        oracles.violate("S5", f"Deployment shop is not as before: {difference(wanted, found)}")


def _check_object(oracles: Oracles, kind: str, name: str, found: Any, wanted: Any) -> None:
    if oracles.record_destroyed:
        found, wanted = _without_additions(found), _without_additions(wanted)
    if found != wanted:
        oracles.violate("S5", f"{kind} {name} is not as before: {difference(wanted, found)}")


def _check_leftovers(oracles: Oracles, model: ShopModel, outcome: str) -> None:
    for body in model.cluster.peek("DestinationRule", "shop"):
        known = ("DestinationRule", body["metadata"]["name"]) in oracles.shadow.objects
        if not known and not oracles.record_destroyed:
            oracles.violate("S5", f"DestinationRule {body['metadata']['name']} is left over")
    for body in model.cluster.peek("Service", "shop"):
        name = body["metadata"]["name"]
        if name in ("shop-stable", "shop-canary") and ("Service", name) not in oracles.shadow.objects:
            oracles.violate("S5", f"Service {name} is left over")
    for deployment in model.cluster.peek("Deployment", "shop"):
        name = deployment["metadata"]["name"]
        if is_ours(deployment) and (name, outcome) != ("shop", "deployed"):
            oracles.violate("S2", f"Deployment {name} is left over")
    lease = find(model, "Lease", RECORD)
    if lease is not None and lease["spec"].get("holderIdentity"):
        oracles.violate("S2", f"the lease is still held by {lease['spec']['holderIdentity']}")


def _without_additions(view: Mapping[str, Any] | None) -> Any:
    """Without what nobody can tell from the user's own once the record was destroyed: it has no effect on traffic."""
    if view is None:
        return None
    found: Any = copy.deepcopy(view)
    found["spec"].pop("subsets", None)
    found["spec"].pop("minReplicas", None)
    found["annotations"] = found["annotations"] or None
    for items in routes_of(found):
        items[:] = [item for item in items if not (leads_to_shop(item) and is_canary(item))]
        for item in items:
            item.pop("weight", None)
            item.get("destination", {}).pop("subset", None)
    return found


def difference(wanted: Any, found: Any, path: str = "") -> str:
    """Return the first place where two values differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted({*wanted, *found}):
            if wanted.get(key) != found.get(key):
                return difference(wanted.get(key), found.get(key), f"{path}.{key}")
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            if one != other:
                return difference(one, other, f"{path}[{number}]")
    return f"{path}: was {wanted!r}, is {found!r}"[:300]


def find(model: ShopModel, kind: str, name: str) -> Any:
    """Return an object, None without it."""
    try:
        return model.cluster.get(kind, "shop", name)
    except ObjectMissingError:
        return None
