"""Which merge request is this pipeline about? Every pipeline kind that GitLab has, or the reason why none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitlab_mesh.errors import AccessDeniedError, ObjectMissingError
from gitlab_mesh.gitlab.connection import Connection, Session
from gitlab_mesh.gitlab.context import CIContext, Token
from gitlab_mesh.gitlab.tokens import Operation

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab

__all__ = ["Located", "MergeRequestRef", "find_merge_request", "locate"]


@dataclass(frozen=True, slots=True)
class MergeRequestRef:
    """One merge request: the target project (id or path) and the number in it."""

    project: str
    iid: int
    url: str = ""


@dataclass(frozen=True, slots=True)
class Located:
    """The merge requests of a pipeline: none (then ``reason`` says why), one, or the up to four of a branch."""

    merge_requests: tuple[MergeRequestRef, ...] = ()
    reason: str = ""


def find_merge_request(connection: Connection) -> Located:
    """Find the pipeline's merge requests; never raises, ``reason`` says what went wrong."""
    found: list[Located] = []

    def work(session: Session) -> str:
        found.append(locate(session))
        return found[0].reason

    reason = connection.attempt("search for the merge request", work)
    return found[0] if found else Located(reason=reason)


def locate(session: Session) -> Located:
    """Find the pipeline's merge requests; GitLab is asked once, however often a job comes back for them.

    The kinds, in order (GitLab docs "Predefined CI/CD variables", "Merge request pipelines"):

    * merge request pipeline, merged result, merge train, fork, and child pipelines of those:
      ``CI_MERGE_REQUEST_IID`` in ``CI_MERGE_REQUEST_PROJECT_ID``, the target project;
    * branch with open merge requests: ``CI_OPEN_MERGE_REQUESTS``;
    * everything else (default branch after a merge, tag, schedule, API, trigger): the merged merge request that
      brought the commit, ``GET /projects/:id/repository/commits/:sha/merge_requests``, which the job token may read.

    Raises:
        GitlabMeshError: GitLab had to be asked and did not answer.
    """
    if session.connection.located is None:
        session.connection.located = _locate(session)
    return session.connection.located


def _locate(session: Session) -> Located:
    context = session.context
    variables = context.merge_request
    if variables:
        url = f"{variables.project_url}/-/merge_requests/{variables.iid}" if variables.project_url else ""
        return Located((MergeRequestRef(variables.project_id, variables.iid, url),))
    if context.open_merge_requests:
        parsed = (_parse_reference(text, context) for text in context.open_merge_requests)
        references = tuple(reference for reference in parsed if reference)
        if references:
            return Located(references)
    if not context.commit_sha:
        return Located(reason="the pipeline names neither a merge request nor a commit")
    return _merged_by(session)


def _parse_reference(text: str, context: CIContext) -> MergeRequestRef | None:
    """Parse ``group/project!333``."""
    project, mark, iid = text.rpartition("!")
    if not mark or not iid.isdigit():
        return None
    return MergeRequestRef(
        project or context.project,
        int(iid),
        f"{context.server_url}/{project}/-/merge_requests/{iid}" if project else "",
    )


def _merged_by(session: Session) -> Located:
    context = session.context

    def read(client: BoundedGitlab, _token: Token) -> list[dict[str, Any]]:
        commit = client.projects.get(context.project, lazy=True).commits.get(context.commit_sha, lazy=True)
        # get_all: the endpoint pages like every list.
        return list(commit.merge_requests(get_all=True))

    sha = context.commit_sha[:8]
    try:
        candidates = session.run(Operation.READ, read)
    except ObjectMissingError:
        return Located(reason=f"GitLab does not know commit {sha} in project {context.project}, or hides it")
    except AccessDeniedError as error:
        return Located(reason=f"merge requests of commit {sha} cannot be read: {error.what}; {error.hint or error.why}")
    merged = [item for item in candidates if item.get("state") == "merged"]
    exact = [item for item in merged if context.commit_sha in _shas(item)]
    into_here = [item for item in merged if context.commit_tag or item.get("target_branch") == context.commit_branch]
    chosen = exact or (into_here if len(into_here) == 1 else [])
    if not chosen:
        return Located(reason=_why_none(context, len(merged)))
    # The same commit can end up in two merge requests (a back-merge): the last one merged is this pipeline's.
    newest = max(chosen, key=lambda item: str(item.get("merged_at") or ""))
    project = str(newest.get("project_id") or newest.get("target_project_id") or context.project)
    return Located((MergeRequestRef(project, int(newest["iid"]), str(newest.get("web_url") or "")),))


def _shas(item: dict[str, Any]) -> set[str]:
    """The commits that a merge can leave on the target: merge commit, squash commit, or the head (fast-forward)."""
    return {str(item[key]) for key in ("merge_commit_sha", "squash_commit_sha", "sha") if item.get(key)}


def _why_none(context: CIContext, merged: int) -> str:
    sha, source = context.commit_sha[:8], context.pipeline_source or "unknown"
    if merged:
        return f"commit {sha} came with {merged} merged merge requests, and none of them is plainly this pipeline's"
    where = (
        f"tag {context.commit_tag}" if context.commit_tag else f"branch {context.commit_branch or context.commit_ref}"
    )
    return f"no merge request: this pipeline (source {source}) runs on {where}, and none was merged with commit {sha}"
