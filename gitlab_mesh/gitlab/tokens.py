"""Which credential may do what, and the one line that says what is missing.

Facts (GitLab docs "CI/CD job token", ``lib/api/helpers/notes_helpers.rb``): the job token reads merge requests,
their notes and commits, and writes deployments and environments of its own project; it cannot write notes,
discussions, labels, uploads or commit statuses, and cannot read ``/user``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from gitlab_mesh.gitlab.context import CIContext, Token

__all__ = ["Operation", "choose_tokens", "describe_tokens", "explain_absent", "explain_missing", "least", "needs"]


class Operation(StrEnum):
    """What we ask GitLab for, as far as rights differ."""

    READ = "read merge requests"
    NOTE = "write notes"
    DEPLOYMENT = "write deployments"
    STATUS = "write commit statuses"
    RESOLVE = "resolve threads"
    LABEL = "label merge requests"


_JOB_TOKEN_CAN = frozenset({Operation.READ, Operation.DEPLOYMENT})

_REPORTER, _DEVELOPER = 20, 30
# Scope and lowest role of a personal, project or group access token.
_LEAST = {
    Operation.READ: ("read_api", _REPORTER),
    Operation.NOTE: ("api", _REPORTER),
    Operation.DEPLOYMENT: ("api", _DEVELOPER),
    Operation.STATUS: ("api", _DEVELOPER),
    # app/policies: resolve_note and update_merge_request come with developer_access (or with being the author).
    Operation.RESOLVE: ("api", _DEVELOPER),
    Operation.LABEL: ("api", _DEVELOPER),
}


def least(operation: Operation) -> tuple[str, int]:
    """Return the narrowest scope and the lowest role (GitLab's number, 30: Developer) that allow the operation."""
    return _LEAST[operation]


def needs(operation: Operation) -> str:
    """Return the scope and the role that allow the operation, in words."""
    scope, level = _LEAST[operation]
    role = "Reporter" if level == _REPORTER else "Developer"
    job = "; or the job's own CI_JOB_TOKEN" if operation is Operation.DEPLOYMENT else ""
    return f"scope {scope}{' (or api)' if scope != 'api' else ''}, role {role} or higher{job}"


def choose_tokens(tokens: Sequence[Token], operation: Operation) -> tuple[Token, ...]:
    """Return the tokens that may do it, best first; the next is tried where GitLab refuses one.

    A project token with the role Reporter is enough for notes but not for deployments, which the job token may
    always write: so a refusal of the first token is not the end.
    """
    return tuple(token for token in tokens if token.kind != "job" or operation in _JOB_TOKEN_CAN)


def explain_absent(context: CIContext) -> str:
    """Say why a variable that the project has may be absent in this very job; "" where nothing speaks for that.

    GitLab docs, "CI/CD variables": protected variables reach pipelines of protected refs only; those of forks run with
    the fork's variables.
    """
    if any(token.kind == "private" for token in context.tokens):
        return ""
    if context.merge_request and context.merge_request.from_fork:
        return "pipelines of forks do not get the target project's variables"
    if context.ref_protected is False:
        return f"{context.commit_ref or 'this ref'} is not protected, so protected variables are absent here"
    return ""


def explain_missing(context: CIContext, operation: Operation) -> str:
    """Say in one line why no token may do it, and what would."""
    has_job_token = any(token.kind == "job" for token in context.tokens)
    why = f"the job token (CI_JOB_TOKEN) cannot {operation}" if has_job_token else "the job has no token"
    absent = explain_absent(context)
    return f"{why}: set GITLAB_MESH_TOKEN (masked, not protected) to a project access token with {needs(operation)}" + (
        f"; {absent}" if absent else ""
    )


def describe_tokens(tokens: Sequence[Token]) -> str:
    """Say in one line which token is used and what cannot be done with it; names only, never values."""
    if not tokens:
        return "no GitLab token: merge request notes, deployments and commit statuses are skipped"
    first = tokens[0]
    if first.kind != "job":
        return f"GitLab token: {first.name}"
    missing = ", ".join(op for op in Operation if op not in _JOB_TOKEN_CAN)
    return f"GitLab token: {first.name}, which cannot {missing}; GITLAB_MESH_TOKEN ({needs(Operation.NOTE)}) can"
