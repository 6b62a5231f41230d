"""The JSON of each object as GitLab's API presents it (``lib/api/entities``), without fields nobody here reads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gitlab_mesh.sandbox.gitlab.state import (
    CommitStatus,
    Deployment,
    Environment,
    GitlabState,
    Job,
    MergeRequest,
    Note,
    Pipeline,
    Project,
    Role,
    User,
)

__all__ = [
    "present_commit_status",
    "present_deployment",
    "present_discussion",
    "present_environment",
    "present_job",
    "present_merge_request",
    "present_note",
    "present_pipeline",
    "present_project",
    "present_time",
    "present_user",
    "unresolved_threads",
]


def present_time(moment: datetime | None) -> str | None:
    """Return a time as GitLab writes it: UTC, milliseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z" if moment else None


def present_user(user: User, base_url: str) -> dict[str, Any]:
    """Return a user in short form."""
    return {
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": "active",
        "locked": False,
        "avatar_url": None,
        "web_url": f"{base_url}/{user.username}",
    }


def present_project(project: Project, base_url: str, role: Role | None = None) -> dict[str, Any]:
    """Return a project; ``role`` is the caller's, where it is told (not in lists of other entities)."""
    access = {"access_level": int(role), "notification_level": 3} if role is not None else None
    return {
        "id": project.id,
        "name": project.name,
        "path": project.path.rpartition("/")[2],
        "path_with_namespace": project.path,
        "default_branch": project.default_branch,
        "visibility": "private",
        "web_url": f"{base_url}/{project.path}",
        "only_allow_merge_if_all_discussions_are_resolved": project.threads_must_be_resolved,
        "permissions": {"project_access": access, "group_access": None},
    }


def unresolved_threads(merge_request: MergeRequest) -> int:
    """Count the threads that wait for somebody."""
    threads = {note.discussion: note for note in merge_request.notes if note.threaded and note.resolved_by is None}
    return len(threads)


def present_merge_request(merge_request: MergeRequest, base_url: str) -> dict[str, Any]:
    """Return a merge request."""
    waiting = unresolved_threads(merge_request)
    blocked = bool(waiting) and merge_request.project.threads_must_be_resolved
    return {
        "id": merge_request.id,
        "iid": merge_request.iid,
        "project_id": merge_request.project.id,
        "source_project_id": merge_request.source_project.id,
        "target_project_id": merge_request.project.id,
        "title": merge_request.title,
        "description": merge_request.description,
        "state": merge_request.state,
        "draft": merge_request.title.startswith("Draft:"),
        "author": present_user(merge_request.author, base_url),
        "source_branch": merge_request.source_branch,
        "target_branch": merge_request.target_branch,
        "labels": list(merge_request.labels),
        "sha": merge_request.shas[-1],
        "merge_commit_sha": merge_request.merge_commit_sha,
        "squash_commit_sha": merge_request.squash_commit_sha,
        "created_at": present_time(merge_request.created_at),
        "updated_at": present_time(merge_request.updated_at),
        "merged_at": present_time(merge_request.merged_at),
        "user_notes_count": sum(not note.system for note in merge_request.notes),
        "blocking_discussions_resolved": not waiting,
        "detailed_merge_status": "discussions_not_resolved" if blocked else "mergeable",
        "web_url": f"{base_url}/{merge_request.project.path}/-/merge_requests/{merge_request.iid}",
    }


def present_note(note: Note, merge_request: MergeRequest, base_url: str) -> dict[str, Any]:
    """Return a note; only notes of a thread carry the fields of resolving."""
    resolving = {
        "resolved": note.resolved_by is not None,
        "resolved_by": present_user(note.resolved_by, base_url) if note.resolved_by else None,
    }
    return {
        "id": note.id,
        "type": "DiscussionNote" if note.threaded else None,
        "body": note.body,
        "author": present_user(note.author, base_url),
        "created_at": present_time(note.created_at),
        "updated_at": present_time(note.updated_at),
        "system": note.system,
        "noteable_id": merge_request.id,
        "noteable_type": "MergeRequest",
        "noteable_iid": merge_request.iid,
        "project_id": merge_request.project.id,
        "resolvable": note.threaded,
        **(resolving if note.threaded else {}),
        "confidential": False,
        "internal": False,
        "commands_changes": {},
    }


def present_discussion(notes: list[Note], merge_request: MergeRequest, base_url: str) -> dict[str, Any]:
    """Return a thread, or a single note in a thread's clothes."""
    return {
        "id": notes[0].discussion,
        "individual_note": not notes[0].threaded,
        "notes": [present_note(note, merge_request, base_url) for note in notes],
    }


def present_environment(environment: Environment) -> dict[str, Any]:
    """Return an environment."""
    return {
        **_present_environment_basic(environment),
        "tier": environment.tier or "other",
        "state": environment.state,
    }


def _present_environment_basic(environment: Environment) -> dict[str, Any]:
    """Return what other entities show of an environment (GitLab's EnvironmentBasic)."""
    return {
        "id": environment.id,
        "name": environment.name,
        "slug": environment.name.lower().replace("/", "-"),
        "external_url": environment.external_url,
        "created_at": present_time(environment.created_at),
    }


def present_deployment(deployment: Deployment, base_url: str) -> dict[str, Any]:
    """Return a deployment; ``deployable`` is null where the API made it."""
    job = deployment.job
    return {
        "id": deployment.id,
        "iid": deployment.iid,
        "ref": deployment.ref,
        "sha": deployment.sha,
        "status": deployment.status,
        "created_at": present_time(deployment.created_at),
        "updated_at": present_time(deployment.updated_at),
        "user": present_user(deployment.user, base_url),
        "environment": _present_environment_basic(deployment.environment),
        "deployable": {"id": job.id, "name": job.name, "status": job.status} if job else None,
    }


def present_pipeline(pipeline: Pipeline, state: GitlabState, base_url: str) -> dict[str, Any]:
    """Return a pipeline."""
    return {
        **_present_pipeline_basic(pipeline, state, base_url),
        "name": pipeline.name,
        "tag": pipeline.tag,
        "user": present_user(pipeline.user, base_url),
    }


def _present_pipeline_basic(pipeline: Pipeline, state: GitlabState, base_url: str) -> dict[str, Any]:
    """Return what other entities show of a pipeline (GitLab's PipelineBasic)."""
    return {
        "id": pipeline.id,
        "iid": pipeline.iid,
        "project_id": pipeline.project.id,
        "sha": pipeline.sha,
        "ref": pipeline.ref,
        "source": pipeline.source,
        "status": state.status_of(pipeline),
        "created_at": present_time(pipeline.created_at),
        "web_url": f"{base_url}/{pipeline.project.path}/-/pipelines/{pipeline.id}",
    }


def present_job(job: Job, state: GitlabState, base_url: str) -> dict[str, Any]:
    """Return a job."""
    return {
        "id": job.id,
        "name": job.name,
        "stage": job.stage,
        "status": job.status,
        "ref": job.pipeline.ref,
        "tag": job.pipeline.tag,
        "allow_failure": job.allow_failure,
        "created_at": present_time(job.created_at),
        "started_at": present_time(job.started_at),
        "finished_at": present_time(job.finished_at),
        "user": present_user(job.pipeline.user, base_url),
        "commit": {"id": job.pipeline.sha, "short_id": job.pipeline.sha[:8]},
        "pipeline": _present_pipeline_basic(job.pipeline, state, base_url),
        "web_url": f"{base_url}/{job.pipeline.project.path}/-/jobs/{job.id}",
    }


def present_commit_status(status: CommitStatus, base_url: str) -> dict[str, Any]:
    """Return a commit status."""
    return {
        "id": status.id,
        "sha": status.pipeline.sha,
        "ref": status.ref,
        "status": status.status,
        "name": status.name,
        "target_url": status.target_url,
        "description": status.description,
        "created_at": present_time(status.created_at),
        "started_at": present_time(status.started_at),
        "finished_at": present_time(status.finished_at),
        "allow_failure": False,
        "coverage": None,
        "pipeline_id": status.pipeline.id,
        "author": present_user(status.user, base_url),
    }
