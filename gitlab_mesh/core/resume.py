"""Where a retried job goes on: the machine's state from the record and the live route. Pure.

It never starts above what was proven: the recorded step counts only if its weight is really in the route. A weight
that was announced and never written (or was reset by somebody) is reached again through the gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.record import Record, SideIdentity
from gitlab_mesh.core.rollout import Done, Phase, Plan, RolloutState
from gitlab_mesh.core.workload import SideState

__all__ = ["BEFORE_TRAFFIC", "identity_problem", "images_of", "promoted_problem", "resumed_state"]

BEFORE_TRAFFIC = (Phase.LOCK, Phase.DEPLOY, Phase.SMOKE)
"""Phases that are simply done again: each of their actions may be repeated."""


def resumed_state(
    plan: Plan, record: Record, *, share: float, patched: bool, replicas: int, now: float, judged: float = 0.0
) -> RolloutState | str:
    """Return the state to go on with, or why that is not possible.

    Args:
        plan: Of this job; its release is the recorded one.
        record: As found.
        share: Canary's share in the live route.
        patched: Whether stable has the release's template already.
        replicas: Of the canary, as wanted now.
        now: Monotonic time.
        judged: Seconds that the judge has looked at it so far.
    """
    if record.phase in BEFORE_TRAFFIC:
        if share > 0:
            return f"the canary has {share:.2%} although the rollout was in phase {record.phase}"
        return RolloutState(plan, Phase.DEPLOY, started=now, since=now, done=Done(locked=True))
    if record.steps != tuple(step.share for step in plan.steps):
        return "the steps in mesh.yaml changed since the rollout began"
    done = Done(locked=True, prepared=True, deployed=True, ready=True, smoked=True)
    state = RolloutState(
        plan,
        Phase.STEP,
        started=now,
        since=now,
        written=share,
        replicas=replicas,
        reasserted=record.reasserted,
        continued=record.continued,
        exposed=share > 0 or record.weight > 0,
        exposed_at=now - judged,
        weighed_at=now,
        done=done,
    )
    if patched:
        if share != 1.0:
            return f"stable is half replaced, but the canary has {share:.2%} of the requests instead of all"
        return state.with_(phase=Phase.PROMOTE, done=Done(True, True, True, True, True, stable_patched=True))
    ours = min(share, record.weight)  # more than was recorded ahead was never allowed: somebody else wrote it
    if record.phase == Phase.PROMOTE and ours == 1.0:
        return state.with_(phase=Phase.PROMOTE)
    if record.phase == Phase.WATCH and share == record.weight > 0:
        return state.with_(phase=Phase.WATCH, step=record.step, watched_at=now)
    if plan.budget:
        return state.with_(step=record.step)
    proven = [index for index, step in enumerate(plan.steps[: record.step + 1]) if step.share <= ours]
    return state.with_(step=proven[-1] if proven else 0)


def identity_problem(side: str, recorded: SideIdentity | None, live: SideIdentity | None) -> str:
    """Say in one sentence why this is not the side that was judged; "" if it is.

    Digests are compared where both are known: a tag may have been pushed again.
    """
    if recorded is None:
        return ""
    if live is None:
        return f"{side} ({recorded.workload}) is gone"
    if recorded.template_hash and live.template_hash != recorded.template_hash:
        return f"the pod template of {side} ({live.workload}) changed while nobody drove: {live.image}"
    foreign = set(live.digests) - set(recorded.digests)
    if recorded.digests and foreign:
        return f"{side} ({live.workload}) runs {', '.join(sorted(foreign))}, not the image that was judged"
    return ""


def promoted_problem(
    proven: SideIdentity | None, canary: SideState | None, stable: SideState | None
) -> tuple[str, bool]:
    """Say in one sentence why stable does not run what the canary proved ("" if it does), and whether it may yet.

    Only pods that start or end change by themselves: another image stays until somebody deploys.

    Args:
        proven: The canary as it was judged.
        canary: The canary now: its containers say which images were proven.
        stable: Stable now.
    """
    if stable is None:
        return "the stable Deployment does not exist", False
    if canary is None or proven is None:
        return "the canary is gone, so what it proved cannot be compared", False
    changed = identity_problem("the canary", proven, canary.identity)
    if changed:
        return changed, False
    wanted, live = images_of(canary.deployment), images_of(stable.deployment)
    for name, image in wanted.items():
        if live.get(name) != image:
            return f"container {name} of stable runs {live.get(name, 'nothing')}, proven is {image}", False
    foreign = set(stable.identity.digests) - set(proven.digests)
    if not stable.is_ready or stable.desired == 0:
        return f"{stable.ready} of {stable.desired} stable pods are ready with it", True
    if foreign and proven.digests:
        return f"stable runs {', '.join(sorted(foreign))} under the same tag, which was not judged", True
    return "", True


def images_of(deployment: Mapping[str, Any]) -> dict[str, str]:
    """Return container name → image; injected proxies are not the release's."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return {str(item["name"]): str(item.get("image")) for item in containers if item["name"] != "istio-proxy"}
