"""Commit statuses (GitLab docs "Commits API"; ``app/services/ci/create_commit_status_service.rb``)."""

from __future__ import annotations

from gitlab_mesh.sandbox.gitlab.entities import present_commit_status
from gitlab_mesh.sandbox.gitlab.messages import Answer, ApiError, json_answer
from gitlab_mesh.sandbox.gitlab.routing import Call, endpoint
from gitlab_mesh.sandbox.gitlab.state import CommitStatus, Pipeline, Role

__all__: list[str] = []

# Event and the states that it starts from (``app/models/commit_status.rb``).
_EVENTS = {
    "pending": ("enqueue", {"created", "skipped"}),
    "running": ("run", {"created", "pending"}),
    "success": ("success", {"created", "pending", "running"}),
    "failed": ("drop", {"created", "pending", "running"}),
    "canceled": ("cancel", {"created", "pending", "running"}),
    "skipped": ("skip", {"created", "pending"}),
}


@endpoint("GET", "/projects/:id/repository/commits/:sha/statuses")
def list_statuses(call: Call) -> Answer:
    """List a commit's statuses; of each name only the newest, unless ``all`` is set."""
    query = call.request.query
    found = [
        status
        for status in call.project.statuses
        if status.pipeline.sha == call.path["sha"]
        and query.get("name") in {None, status.name}
        and query.get("ref") in {None, status.ref}
        and str(query.get("pipeline_id", status.pipeline.id)) == str(status.pipeline.id)
    ]
    if str(query.get("all", "")).lower() not in {"true", "1"}:
        found = list({(status.pipeline.id, status.name): status for status in found}.values())
    found.sort(key=lambda status: status.id, reverse=call.choice("sort", ("asc", "desc"), "asc") == "desc")
    return call.page(found, lambda status: present_commit_status(status, call.base_url))


@endpoint("POST", "/projects/:id/statuses/:sha", role=Role.DEVELOPER)
def create_status(call: Call) -> Answer:
    """Set a status: an unfinished one of the same name and user is moved, else a new one made."""
    fields = call.request.fields
    state = call.choice("state", tuple(_EVENTS))
    name = str(fields.get("name") or fields.get("context") or "default")
    pipeline = _find_pipeline(call, name)
    unfinished = [
        status
        for status in call.project.statuses
        if status.pipeline is pipeline
        and status.name == name
        and status.user is call.caller.user
        and status.status in {"created", "pending", "running"}
    ]
    status = (
        unfinished[-1] if unfinished else CommitStatus(next(call.state.ids), pipeline, name, call.caller.user, call.now)
    )
    _move(status, state, call)
    status.ref = str(fields.get("ref") or pipeline.ref)
    status.description = fields.get("description", status.description)
    status.target_url = fields.get("target_url", status.target_url)
    if not unfinished:
        call.project.statuses.append(status)
    return json_answer(present_commit_status(status, call.base_url), 201)


def _find_pipeline(call: Call, name: str) -> Pipeline:
    """Find the pipeline: the named one, else the newest of commit and ref, else an extra external one."""
    sha, fields = call.path["sha"], call.request.fields
    known = [item for item in call.state.pipelines.values() if item.project is call.project and item.sha == sha]
    if not known:
        raise ApiError(404, "404 Commit Not Found")
    ref = fields.get("ref")
    matching = [item for item in known if ref in {None, "", item.ref}]
    if fields.get("pipeline_id"):
        matching = [item for item in matching if str(item.id) == str(fields["pipeline_id"])]
        if not matching:
            raise ApiError(404, "404 Pipeline for pipeline_id, sha and ref Not Found")
    if matching:
        return max(matching, key=lambda item: item.id)
    last = known[-1]
    extra = Pipeline(
        next(call.state.ids), last.iid + 1, call.project, "external", str(ref), sha, False, call.caller.user, call.now,
        name=name,
    )  # fmt: skip
    call.state.pipelines[extra.id] = extra
    return extra


def _move(status: CommitStatus, state: str, call: Call) -> None:
    event, sources = _EVENTS[state]
    if status.status not in sources:
        reason = f'Status cannot transition via "{event}"'
        raise ApiError(400, f"Cannot transition status via :{event} from :{status.status} (Reason(s): {reason})")
    status.status = state
    if state == "running":
        status.started_at = call.now
    elif state != "pending":
        status.finished_at = call.now
