"""Who asks, and may they? GitLab's token rules as code; each rule has its source.

* ``PRIVATE-TOKEN: x`` and ``Authorization: Bearer x`` carry personal and project tokens, ``JOB-TOKEN: x`` a job's
  (GitLab docs "REST API authentication").
* The job token works on listed endpoints only (docs "CI/CD job token"); elsewhere it counts as no token: 401.
* It dies with its job (``app/finders/ci/auth_job_finder.rb``), and reaches other projects only where their
  allowlist has its own.
* A project that one may not see answers 404, a right that one lacks 403.
"""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.sandbox.gitlab.messages import ApiError, Request
from gitlab_mesh.sandbox.gitlab.state import GitlabState, Job, Project, Role, User

__all__ = ["Caller", "authenticate", "check_project_access"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request. ``job`` is set where the credential is a job token."""

    user: User
    scopes: tuple[str, ...]
    job: Job | None = None

    def role_in(self, project: Project) -> Role | None:
        """Return the user's role, None for non-members."""
        return project.members.get(self.user.id)


def authenticate(state: GitlabState, request: Request, *, job_token_allowed: bool) -> Caller:
    """Find out who asks.

    Raises:
        ApiError: 401 without a valid credential; 403 where the token's scope is too narrow.
    """
    job_token = request.headers.get("job-token", "")
    private = request.headers.get("private-token", "")
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if not private and scheme.lower() == "bearer":
        private = bearer.strip()
    if private:
        return _by_access_token(state, private, request.method)
    job = next((job for job in state.jobs.values() if job_token and job.token == job_token), None)
    if job is None or not job.executing or not job_token_allowed:
        raise ApiError(401, "401 Unauthorized")
    return Caller(job.pipeline.user, ("api",), job)


def _by_access_token(state: GitlabState, value: str, method: str) -> Caller:
    token = state.tokens.get(value)
    if token is None:
        raise ApiError(401, "401 Unauthorized")
    if token.expired:
        text = "Token is expired. You can either do re-authorization or token refresh."
        raise ApiError(401, {"error": "invalid_token", "error_description": text}, key="")
    if "api" not in token.scopes and not (method in {"GET", "HEAD"} and "read_api" in token.scopes):
        text = "The request requires higher privileges than provided by the access token."
        raise ApiError(403, {"error": "insufficient_scope", "error_description": text, "scope": "api"}, key="")
    return Caller(token.user, token.scopes)


def check_project_access(caller: Caller, project: Project, role: Role) -> None:
    """Refuse who is no member (404), comes from a job of a foreign project (403), or has too low a role (403)."""
    if caller.job is not None:
        home = caller.job.pipeline.project
        if home.id != project.id and home.id not in project.job_token_allowlist:
            reason = f"Authentication by CI/CD job token not allowed from {home.path} to {project.path}."
            raise ApiError(403, f"403 Forbidden - {reason}")
    actual = caller.role_in(project)
    if actual is None:
        raise ApiError(404, "404 Project Not Found")
    if actual < role:
        raise ApiError(403, "403 Forbidden")
