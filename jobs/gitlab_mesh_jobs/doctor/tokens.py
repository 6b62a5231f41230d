"""GitLab: which tokens there are, what each cannot do, and which merge request will be told."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.errors import TransientError
from gitlab_mesh.gitlab import (
    CIContext,
    Connection,
    Operation,
    TokenFacts,
    find_merge_request,
    inspect_tokens,
)
from gitlab_mesh.gitlab.tokens import explain_absent, needs
from gitlab_mesh_jobs.doctor.model import Check, Level, from_error

__all__ = ["check_gitlab"]

TOPIC = "GitLab"


def check_gitlab(connection: Connection) -> Iterator[Check]:
    """Ask GitLab about every token and about the merge request."""
    ci = connection.context
    if not ci.available:
        yield Check(TOPIC, "API", Level.WARN, "no CI_API_V4_URL and CI_PROJECT_ID: GitLab cannot be asked")
        return
    facts, problem = inspect_tokens(connection)
    if problem:
        yield Check(TOPIC, "API", Level.FAIL, problem, f"check that the runner reaches {ci.api_url}", 20)
        return
    yield from (check for item in facts for check in _token(item))
    yield _missing(ci, facts)
    yield _merge_request(connection)


def _token(facts: TokenFacts) -> Iterator[Check]:
    if isinstance(facts.error, TransientError):
        yield from from_error(TOPIC, facts.name, facts.error)
        return
    if facts.error is not None:
        # A wrong token never stands in the way of a release: GitLab is told by best effort.
        fix = f"renew the variable {facts.name}, or remove it" if facts.kind != "job" else ""
        yield Check(TOPIC, facts.name, Level.WARN, f"{facts.error.what} ({facts.error.why})", fix)
        return
    told = [f"scopes {', '.join(facts.scopes)}" if facts.scopes else "", f"role {facts.role}" if facts.role else ""]
    told += [f"ends {facts.expires}" if facts.expires else ""]
    able = [item for item in Operation if item not in facts.cannot]
    said = "; ".join(["can " + ", ".join(able) if able else "can do nothing of what we ask", *filter(None, told)])
    yield Check(TOPIC, facts.name, Level.OK, said)


def _missing(ci: CIContext, facts: tuple[TokenFacts, ...]) -> Check:
    """Say what no token can do, or that all can be done."""
    able = {operation for item in facts for operation in Operation if operation not in item.cannot}
    lacking = [operation for operation in Operation if operation not in able]
    if not lacking:
        return Check(TOPIC, "feedback", Level.OK, "notes, threads, labels, deployments and statuses can be written")
    listed = ", ".join(lacking)
    most = needs(Operation.LABEL if Operation.LABEL in lacking else lacking[0])
    why = explain_absent(ci)
    return Check(
        TOPIC, "feedback", Level.WARN, f"no token can {listed}{f'; {why}' if why else ''}",
        f"set GITLAB_MESH_TOKEN (masked, not protected) to a project access token with {most}; "
        "releases work without it",
    )  # fmt: skip


def _merge_request(connection: Connection) -> Check:
    located = find_merge_request(connection)
    if located.merge_requests:
        listed = ", ".join(f"{item.project}!{item.iid}" for item in located.merge_requests)
        return Check(TOPIC, "merge request", Level.OK, listed)
    return Check(TOPIC, "merge request", Level.OK, f"none will be told: {located.reason}")
