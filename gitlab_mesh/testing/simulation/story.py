"""The story of one schedule, for a replay: writes, faults and what the drivers said, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.ports import Object
from gitlab_mesh.testing.console import RecordingConsole, Said
from gitlab_mesh.testing.simulation.driver import DriverRun
from gitlab_mesh.testing.simulation.stage import Stage
from gitlab_mesh.testing.simulation.views import ROUTE_KINDS, fence_of, image_of, meant, record_of, share_of

__all__ = ["Story"]


@dataclass
class Story:
    """Lines of text."""

    lines: list[str] = field(default_factory=list)

    def wrote(self, time: float, before: Object | None, after: Object | None, driver: DriverRun | None) -> None:
        """Somebody wrote an object."""
        body = after if after is not None else before
        if body is None or (body["kind"] in ROUTE_KINDS and meant(before) == meant(after)):
            return
        who = driver.name if driver else "somebody else"
        done = "deletes" if after is None else "creates" if before is None else "writes"
        what = f"{body['kind']} {body['metadata']['name']} {_details(after)}"
        self.lines.append(f"{time:8.1f}  {who} {done} {what}")

    def listen(self, stage: Stage, run: DriverRun, console: RecordingConsole) -> None:
        """Hear what a driver says, and which faults strike it."""

        def tell(text: str) -> None:
            self.lines.append(f"{stage.now:8.1f}  {run.name}: {text}")

        run.injector.tell = tell
        console.said = _Telling(tell)


def _details(body: Object | None) -> dict[str, Any]:
    if body is None:
        return {}
    match body["kind"]:
        case "ConfigMap":
            record = record_of(body)
            return {key: record[key] for key in ("phase", "weight", "outcome", "fence") if key in record}
        case "VirtualService" | "HTTPRoute":
            return {"share": share_of(body), "fence": fence_of(body)}
        case "Lease":
            return {"holder": (body.get("spec") or {}).get("holderIdentity")}
        case "Deployment":
            return {"replicas": body["spec"].get("replicas"), "image": image_of(body).rpartition(":")[2]}
        case "HorizontalPodAutoscaler":
            return {"minReplicas": body["spec"].get("minReplicas")}
        case _:
            return {}


class _Telling(list[Said]):
    """What a console says goes into the story."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, entry: Said) -> None:
        if entry.kind == "line":
            self._tell(f"  says: {entry.text}")
