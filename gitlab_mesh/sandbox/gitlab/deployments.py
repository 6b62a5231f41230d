"""Deployments and environments (GitLab docs of both APIs; ``lib/api/deployments.rb``, ``app/models/deployment.rb``)."""

from __future__ import annotations

from gitlab_mesh.sandbox.gitlab.entities import present_deployment, present_environment, present_merge_request
from gitlab_mesh.sandbox.gitlab.merge_requests import brought_by
from gitlab_mesh.sandbox.gitlab.messages import Answer, ApiError, json_answer
from gitlab_mesh.sandbox.gitlab.routing import Call, endpoint
from gitlab_mesh.sandbox.gitlab.state import Deployment, Environment, Role

__all__ = ["ensure_environment", "move_deployment"]

_STATUSES = ("running", "success", "failed", "canceled")
_EVENTS = {"running": "run", "success": "succeed", "failed": "drop", "canceled": "cancel"}
_DEPLOYMENTS = "/projects/:id/deployments"
_ENVIRONMENTS = "/projects/:id/environments"


def ensure_environment(call: Call, name: str) -> Environment:
    """Find an environment by name, or create it as GitLab does for a new deployment."""
    for environment in call.project.environments.values():
        if environment.name == name:
            return environment
    environment = Environment(next(call.state.ids), name, call.now)
    call.project.environments[environment.id] = environment
    return environment


def move_deployment(deployment: Deployment, status: str, call: Call) -> None:
    """Move a deployment along its state machine: run only from created, every end from every other state.

    Raises:
        ApiError: 400 for a transition that does not exist.
    """
    allowed = deployment.status == "created" if status == "running" else deployment.status != status
    if not allowed:
        raise ApiError(400, {"status": [f'cannot transition via "{_EVENTS[status]}"']})
    deployment.status, deployment.updated_at = status, call.now
    if status != "running":
        deployment.finished_at = call.now


def _find(call: Call) -> Deployment:
    found = call.project.deployments.get(call.integer("deployment_id"))
    if found is None:
        raise ApiError(404, "404 Not found")
    return found


@endpoint("GET", _DEPLOYMENTS, job_token=True)
def list_deployments(call: Call) -> Answer:
    """List deployments by environment and status."""
    query = call.request.query
    status = call.choice("status", ("", "created", "blocked", *_STATUSES), "")
    order = call.choice("order_by", ("id", "iid", "created_at", "updated_at", "finished_at", "ref"), "id")
    reverse = call.choice("sort", ("asc", "desc"), "asc") == "desc"
    found = [
        deployment
        for deployment in call.project.deployments.values()
        if query.get("environment") in {None, deployment.environment.name} and status in {"", deployment.status}
    ]
    found.sort(
        key=lambda item: (str(getattr(item, order)) if order not in {"id", "iid"} else "", item.id), reverse=reverse
    )
    return call.page(found, lambda item: present_deployment(item, call.base_url))


@endpoint("POST", _DEPLOYMENTS, job_token=True, role=Role.DEVELOPER)
def create_deployment(call: Call) -> Answer:
    """Record a deployment; its environment is created where it is missing."""
    name, sha, ref = (str(call.required(field)) for field in ("environment", "sha", "ref"))
    tag = str(call.required("tag")).lower() in {"true", "1"}
    status = call.choice("status", _STATUSES)
    for field, value in (("sha", sha), ("ref", ref)):
        if not value:
            raise ApiError(400, {field: ["can't be blank"]})
    iid = 1 + max((item.iid for item in call.project.deployments.values()), default=0)
    environment = ensure_environment(call, name)
    deployment = Deployment(next(call.state.ids), iid, environment, sha, ref, tag, call.caller.user, call.now, call.now)
    move_deployment(deployment, status, call)
    call.project.deployments[deployment.id] = deployment
    return json_answer(present_deployment(deployment, call.base_url), 201)


@endpoint("GET", f"{_DEPLOYMENTS}/:deployment_id", job_token=True)
def get_deployment(call: Call) -> Answer:
    """Read one deployment."""
    return json_answer(present_deployment(_find(call), call.base_url))


@endpoint("PUT", f"{_DEPLOYMENTS}/:deployment_id", job_token=True, role=Role.DEVELOPER)
def update_deployment(call: Call) -> Answer:
    """Move a deployment that was made through the API."""
    deployment = _find(call)
    status = call.choice("status", _STATUSES)
    if deployment.job is not None:
        reason = "Deployments created using GitLab CI can not be updated using the API"
        raise ApiError(403, f"403 Forbidden - {reason}")
    move_deployment(deployment, status, call)
    return json_answer(present_deployment(deployment, call.base_url))


@endpoint("GET", f"{_DEPLOYMENTS}/:deployment_id/merge_requests", job_token=True)
def list_deployment_merge_requests(call: Call) -> Answer:
    """List the merged merge requests that a successful deployment shipped."""
    deployment = _find(call)
    shipped = brought_by(call, deployment.sha) if deployment.status == "success" else []
    merged = [item for item in shipped if item.state == "merged"]
    return call.page(merged, lambda item: present_merge_request(item, call.base_url))


def _find_environment(call: Call) -> Environment:
    found = call.project.environments.get(call.integer("environment_id"))
    if found is None:
        raise ApiError(404, "404 Environment Not Found")
    return found


@endpoint("GET", _ENVIRONMENTS, job_token=True)
def list_environments(call: Call) -> Answer:
    """List environments by name, search text (three characters at least) and state."""
    query = call.request.query
    search = str(query.get("search", ""))
    if search and len(search) < 3:
        raise ApiError(400, "400 Bad request - Search query must be at least 3 characters")
    found = [
        environment
        for environment in call.project.environments.values()
        if query.get("name") in {None, environment.name}
        and search in environment.name
        and query.get("states") in {None, environment.state}
    ]
    return call.page(found, present_environment)


@endpoint("POST", _ENVIRONMENTS, job_token=True, role=Role.DEVELOPER)
def create_environment(call: Call) -> Answer:
    """Create an environment."""
    name = str(call.required("name"))
    if any(environment.name == name for environment in call.project.environments.values()):
        raise ApiError(400, {"name": ["has already been taken"]})
    environment = ensure_environment(call, name)
    _assign(call, environment)
    return json_answer(present_environment(environment), 201)


@endpoint("GET", f"{_ENVIRONMENTS}/:environment_id", job_token=True)
def get_environment(call: Call) -> Answer:
    """Read one environment with its last finished deployment."""
    environment = _find_environment(call)
    finished = [item for item in call.project.deployments.values() if item.environment is environment]
    succeeded = [item for item in finished if item.status == "success"]
    last = max(succeeded, key=lambda item: item.id, default=None)
    shown = present_deployment(last, call.base_url) if last else None
    return json_answer({**present_environment(environment), "last_deployment": shown})


@endpoint("PUT", f"{_ENVIRONMENTS}/:environment_id", job_token=True, role=Role.DEVELOPER)
def update_environment(call: Call) -> Answer:
    """Change address and tier of an environment."""
    environment = _find_environment(call)
    _assign(call, environment)
    return json_answer(present_environment(environment))


@endpoint("POST", f"{_ENVIRONMENTS}/:environment_id/stop", job_token=True, role=Role.DEVELOPER)
def stop_environment(call: Call) -> Answer:
    """Stop an environment."""
    environment = _find_environment(call)
    environment.state = "stopped"
    return json_answer(present_environment(environment))


def _assign(call: Call, environment: Environment) -> None:
    fields = call.request.fields
    if "external_url" in fields:
        environment.external_url = str(fields["external_url"] or "") or None
    if "tier" in fields:
        environment.tier = call.choice("tier", ("production", "staging", "testing", "development", "other"))
