"""Projects, users, jobs, pipelines, uploads and the version of the instance."""

from __future__ import annotations

import hashlib

from gitlab_mesh.sandbox.gitlab.entities import present_job, present_pipeline, present_project, present_user
from gitlab_mesh.sandbox.gitlab.messages import Answer, ApiError, json_answer
from gitlab_mesh.sandbox.gitlab.routing import Call, endpoint
from gitlab_mesh.sandbox.gitlab.state import Job, Pipeline, Role

__all__ = ["VERSION"]

VERSION = {"version": "19.5.0", "revision": "sandbox"}
"""Whose API this emulates."""


@endpoint("GET", "/version")
def get_version(call: Call) -> Answer:
    """Tell the version."""
    return json_answer(VERSION)


@endpoint("GET", "/metadata")
def get_metadata(call: Call) -> Answer:
    """Tell version and edition."""
    return json_answer(
        {**VERSION, "enterprise": False, "kas": {"enabled": False, "externalUrl": None, "version": None}}
    )


@endpoint("GET", "/user")
def get_user(call: Call) -> Answer:
    """Tell whose token it is."""
    return json_answer({**present_user(call.caller.user, call.base_url), "bot": call.caller.user.bot})


@endpoint("GET", "/personal_access_tokens/self")
def get_own_token(call: Call) -> Answer:
    """Tell an access token about itself (docs "Personal access tokens API"); also project and group tokens."""
    scopes = list(call.caller.scopes)
    body = {"name": "gitlab-mesh", "revoked": False, "active": True, "scopes": scopes, "expires_at": None}
    return json_answer({"id": call.caller.user.id, "user_id": call.caller.user.id, **body})


@endpoint("GET", "/job", job_token=True)
def get_own_job(call: Call) -> Answer:
    """Tell a job token its job."""
    if call.caller.job is None:
        raise ApiError(401, "401 Unauthorized")
    return json_answer(present_job(call.caller.job, call.state, call.base_url))


@endpoint("GET", "/projects")
def list_projects(call: Call) -> Answer:
    """List the projects that the caller is a member of."""
    found = [project for project in call.state.projects.values() if call.caller.role_in(project)]
    return call.page(found, lambda project: present_project(project, call.base_url))


@endpoint("GET", "/projects/:id", role=Role.GUEST)
def get_project(call: Call) -> Answer:
    """Read one project."""
    return json_answer(present_project(call.project, call.base_url, call.caller.role_in(call.project)))


@endpoint("POST", "/projects/:id/uploads")
def upload(call: Call) -> Answer:
    """Store a file for use in Markdown."""
    if "file" not in call.request.files:
        raise ApiError(400, "file is missing", key="error")
    file_name, content = call.request.files["file"]
    safe_name = "".join(c if c.isalnum() or c in "._-" else "_" for c in file_name) or "file"
    secret = hashlib.md5(content + str(next(call.state.ids)).encode(), usedforsecurity=False).hexdigest()
    url = f"/uploads/{secret}/{safe_name}"
    call.project.uploads[url] = content
    alt = safe_name.rpartition(".")[0] or safe_name
    full_path = f"/-/project/{call.project.id}{url}"
    mark = "!" if safe_name.endswith((".png", ".jpg", ".jpeg", ".gif", ".svg")) else ""
    body = {
        "id": next(call.state.ids),
        "alt": alt,
        "url": url,
        "full_path": full_path,
        "markdown": f"{mark}[{alt}]({url})",
    }
    return json_answer(body, 201)


def _pipeline(call: Call) -> Pipeline:
    found = call.state.pipelines.get(call.integer("pipeline_id"))
    if found is None or found.project is not call.project:
        raise ApiError(404, "404 Not found")
    return found


@endpoint("GET", "/projects/:id/pipelines")
def list_pipelines(call: Call) -> Answer:
    """List pipelines, newest first."""
    query = call.request.query
    found = [
        pipeline
        for pipeline in sorted(call.state.pipelines.values(), key=lambda item: item.id, reverse=True)
        if pipeline.project is call.project
        and query.get("sha") in {None, pipeline.sha}
        and query.get("ref") in {None, pipeline.ref}
    ]
    return call.page(found, lambda item: present_pipeline(item, call.state, call.base_url))


@endpoint("GET", "/projects/:id/pipelines/:pipeline_id")
def get_pipeline(call: Call) -> Answer:
    """Read one pipeline."""
    return json_answer(present_pipeline(_pipeline(call), call.state, call.base_url))


@endpoint("PUT", "/projects/:id/pipelines/:pipeline_id/metadata", job_token=True, role=Role.DEVELOPER)
def name_pipeline(call: Call) -> Answer:
    """Give a pipeline a name."""
    pipeline = _pipeline(call)
    pipeline.name = str(call.required("name"))
    return json_answer(present_pipeline(pipeline, call.state, call.base_url))


@endpoint("GET", "/projects/:id/pipelines/:pipeline_id/jobs", job_token=True)
def list_pipeline_jobs(call: Call) -> Answer:
    """List the jobs of a pipeline, newest first."""
    found = sorted(call.state.jobs_of(_pipeline(call)), key=lambda job: job.id, reverse=True)
    return call.page(found, lambda job: present_job(job, call.state, call.base_url))


@endpoint("GET", "/projects/:id/jobs", job_token=True)
def list_jobs(call: Call) -> Answer:
    """List the jobs of a project, newest first."""
    found = [job for job in call.state.jobs.values() if job.pipeline.project is call.project]
    found.sort(key=lambda job: job.id, reverse=True)
    return call.page(found, lambda job: present_job(job, call.state, call.base_url))


def _job(call: Call) -> Job:
    found = call.state.jobs.get(call.integer("job_id"))
    if found is None or found.pipeline.project is not call.project:
        raise ApiError(404, "404 Not found")
    return found


@endpoint("GET", "/projects/:id/jobs/:job_id")
def get_job(call: Call) -> Answer:
    """Read one job."""
    return json_answer(present_job(_job(call), call.state, call.base_url))


@endpoint("GET", "/projects/:id/jobs/:job_id/trace")
def get_job_log(call: Call) -> Answer:
    """Read a job's log."""
    return Answer(200, _job(call).log.encode(), {"Content-Type": "text/plain"})
