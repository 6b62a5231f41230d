"""Somebody else edits a route while a release moves its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.simulation.oracles import Oracles
from gitlab_mesh.testing.simulation.stage import Stage
from gitlab_mesh.testing.simulation.views import is_canary, leads_to_shop, routes_of, share_of

__all__ = ["RouteEditor"]

FLAP_SECONDS = 1.0
"""Until somebody puts weights back that they changed."""


class RouteEditor:
    """Edits routes as a person or a GitOps controller does.

    Args:
        user: Their client.
        stage: Time, and what is drawn.
        oracles: The user's own objects, and what explains what.
        kind: Of the routes.
        as_somebody: Does a write as somebody who is no driver.
    """

    def __init__(
        self, user: Any, stage: Stage, oracles: Oracles, kind: str, as_somebody: Callable[[Callable[[], None]], None]
    ) -> None:
        self._user = user
        self._stage = stage
        self._oracles = oracles
        self._kind = kind
        self._as_somebody = as_somebody

    def edit(self, kind: str, name: str) -> None:
        """Edit a route as the kind of fault says; the user's own copy changes where it is theirs."""
        live = self._user.get(self._kind, "shop", name)
        wanted = self._oracles.shadow.objects[self._kind, name]
        meta = live["metadata"]
        if kind in ("foreign-shift", "foreign-flap"):
            self._shift(live, flaps=kind == "foreign-flap")
            return
        if kind == "foreign-weight":
            live["spec"] = copy.deepcopy(wanted["spec"])
        elif kind == "foreign-spec":
            live["spec"] = copy.deepcopy(wanted["spec"])
            for key in ("labels", "annotations"):
                meta.pop(key, None)
                if wanted[key] is not None:
                    meta[key] = dict(wanted[key])
        elif kind == "foreign-annotation":
            annotations = meta.get("annotations") or {}
            annotations.pop(FENCE_ANNOTATION, None)
            if not annotations and wanted["annotations"] is None:
                meta.pop("annotations", None)
        else:
            self._edit_fields(live, wanted)
        self._user.update(live)

    def _shift(self, live: Object, *, flaps: bool) -> None:
        """Somebody moves the weights themselves, away from the canary or to it, and may put them back soon."""
        if not share_of(live):
            return
        was, now = copy.deepcopy(live["spec"]), self._stage.now
        part = self._stage.draw.choice((0.0, 0.9))
        for items in routes_of(live):
            pair = [item for item in items if leads_to_shop(item)]
            total = sum(item.get("weight", 0) for item in pair)
            for item in pair:
                item["weight"] = round(total * part) if is_canary(item) else total - round(total * part)
        self._oracles.excused.append((None, now, now + 5.0))  # whether there are pods for it they did not ask
        written = self._user.update(live)
        if flaps:
            self._stage.at(now + FLAP_SECONDS, lambda: self._put_back(written, was))

    def _edit_fields(self, live: Object, wanted: Any) -> None:
        """Fields that no release touches, in the live object and in the user's own."""
        number = self._stage.draw.randrange(1000)
        for view, meta in ((live["spec"], live["metadata"]), (wanted["spec"], wanted)):
            if self._kind == "HTTPRoute":
                view["rules"][-1]["timeouts"] = {"request": f"{number}s"}
            else:
                view["http"][-1]["timeout"] = f"{number}s"
            meta["labels"] = {**(meta.get("labels") or {}), "edited": str(number)}
        if number % 2:
            front = _front(self._kind, number)
            for view in (live["spec"], wanted["spec"]):
                view["rules" if self._kind == "HTTPRoute" else "http"].insert(0, copy.deepcopy(front))

    def _put_back(self, written: Object, spec: Any) -> None:
        """Somebody notices their mistake: the route is as before, unless it was written meanwhile."""

        def edit() -> None:
            self._user.update({**written, "spec": spec})

        self._as_somebody(edit)


def _front(kind: str, number: int) -> Object:
    """A route of somebody else's, with everything that an API server would fill in."""
    if kind == "HTTPRoute":
        match = {"path": {"type": "PathPrefix", "value": f"/front-{number}"}}
        backend = {"group": "", "kind": "Service", "name": "front", "port": 80, "weight": 1}
        return {"name": f"front-{number}", "matches": [match], "backendRefs": [backend]}
    return {"name": f"front-{number}", "route": [{"destination": {"host": "front"}}]}
