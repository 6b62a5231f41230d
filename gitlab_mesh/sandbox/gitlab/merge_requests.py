"""Merge requests and commits (GitLab docs "Merge requests API", "Commits API")."""

from __future__ import annotations

from gitlab_mesh.sandbox.gitlab.entities import present_merge_request, present_time
from gitlab_mesh.sandbox.gitlab.messages import Answer, ApiError, json_answer
from gitlab_mesh.sandbox.gitlab.routing import Call, endpoint
from gitlab_mesh.sandbox.gitlab.state import MergeRequest, Role

__all__ = ["brought_by"]

_STATES = ("opened", "closed", "locked", "merged", "all")


def brought_by(call: Call, sha: str) -> list[MergeRequest]:
    """Return the merge requests that contain a commit or were merged as it, newest first."""
    found = [
        merge_request
        for merge_request in call.project.merge_requests.values()
        if sha in {*merge_request.shas, merge_request.merge_commit_sha, merge_request.squash_commit_sha}
    ]
    return sorted(found, key=lambda merge_request: merge_request.id, reverse=True)


@endpoint("GET", "/projects/:id/merge_requests", job_token=True)
def list_merge_requests(call: Call) -> Answer:
    """List merge requests by state, branches and numbers."""
    query = call.request.query
    state = call.choice("state", _STATES, "all")
    numbers = {str(number) for number in query.get("iids[]", [])}
    found = [
        merge_request
        for merge_request in sorted(call.project.merge_requests.values(), key=lambda item: item.id, reverse=True)
        if state in {"all", merge_request.state}
        and query.get("source_branch") in {None, merge_request.source_branch}
        and query.get("target_branch") in {None, merge_request.target_branch}
        and (not numbers or str(merge_request.iid) in numbers)
    ]
    return call.page(found, lambda item: present_merge_request(item, call.base_url))


@endpoint("GET", "/projects/:id/merge_requests/:iid", job_token=True)
def get_merge_request(call: Call) -> Answer:
    """Read one merge request."""
    return json_answer(present_merge_request(call.merge_request(), call.base_url))


@endpoint("PUT", "/projects/:id/merge_requests/:iid")
def update_merge_request(call: Call) -> Answer:
    """Change title, description and labels: Developers and the author may; unknown labels are created."""
    merge_request = call.merge_request()
    role = call.caller.role_in(call.project) or 0
    if role < Role.DEVELOPER and call.caller.user.id != merge_request.author.id:
        raise ApiError(403, "403 Forbidden")
    fields = call.request.fields
    known = {"title", "description", "labels", "add_labels", "remove_labels"}
    if not known & set(fields):
        raise ApiError(
            400, f"{', '.join(sorted(known))} are missing, at least one parameter must be provided", key="error"
        )
    merge_request.title = str(fields.get("title") or merge_request.title)
    merge_request.description = str(fields.get("description", merge_request.description))
    labels = _names(fields["labels"]) if "labels" in fields else list(merge_request.labels)
    removed = _names(fields.get("remove_labels", ""))
    labels = [label for label in labels if label not in removed]
    merge_request.labels = list(dict.fromkeys([*labels, *_names(fields.get("add_labels", ""))]))
    merge_request.updated_at = call.now
    return json_answer(present_merge_request(merge_request, call.base_url))


def _names(value: object) -> list[str]:
    """Labels come as a list or as one text with commas."""
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


@endpoint("GET", "/projects/:id/repository/commits/:sha", job_token=True)
def get_commit(call: Call) -> Answer:
    """Read a commit that some pipeline or merge request knows."""
    sha = call.path["sha"]
    pipelines = [item for item in call.state.pipelines.values() if item.sha == sha and item.project is call.project]
    merge_requests = brought_by(call, sha)
    if not pipelines and not merge_requests:
        raise ApiError(404, "404 Commit Not Found")
    title = merge_requests[0].title if merge_requests else f"Commit {sha[:8]}"
    created = pipelines[0].created_at if pipelines else merge_requests[0].created_at
    return json_answer(
        {"id": sha, "short_id": sha[:8], "title": title, "message": title, "created_at": present_time(created)}
    )


@endpoint("GET", "/projects/:id/repository/commits/:sha/merge_requests", job_token=True)
def list_commit_merge_requests(call: Call) -> Answer:
    """List the merge requests of a commit; merged ones too, unless a state is asked for."""
    state = call.choice("state", _STATES, "all")
    found = [item for item in brought_by(call, call.path["sha"]) if state in {"all", item.state}]
    return call.page(found, lambda item: present_merge_request(item, call.base_url))
