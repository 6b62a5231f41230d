"""What the emulated GitLab instance holds: users, tokens, projects and their objects, as plain records."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

__all__ = [
    "AccessToken",
    "CommitStatus",
    "Deployment",
    "Environment",
    "GitlabState",
    "Job",
    "MergeRequest",
    "Note",
    "Pipeline",
    "Project",
    "Role",
    "User",
]


class Role(IntEnum):
    """GitLab's access levels (docs, "Project members API")."""

    GUEST = 10
    REPORTER = 20
    DEVELOPER = 30
    MAINTAINER = 40


@dataclass(slots=True)
class User:
    """A person or a token's bot user."""

    id: int
    username: str
    name: str
    bot: bool = False


@dataclass(slots=True)
class AccessToken:
    """A personal or project access token; ``scopes`` are "api" and "read_api"."""

    value: str
    user: User
    scopes: tuple[str, ...]
    expired: bool = False


@dataclass(slots=True)
class Note:
    """A comment. Notes with the same ``discussion`` form a thread; ``threaded`` ones can be resolved."""

    id: int
    author: User
    body: str
    created_at: datetime
    updated_at: datetime
    discussion: str
    threaded: bool = False
    system: bool = False
    resolved_by: User | None = None


@dataclass(slots=True)
class MergeRequest:
    """A merge request; ``shas`` are the commits of its source branch, head last."""

    id: int
    iid: int
    project: Project
    source_project: Project
    title: str
    description: str
    author: User
    source_branch: str
    target_branch: str
    shas: list[str]
    created_at: datetime
    updated_at: datetime
    state: str = "opened"
    merged_at: datetime | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    labels: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


@dataclass(slots=True)
class Environment:
    """An environment of a project."""

    id: int
    name: str
    created_at: datetime
    external_url: str | None = None
    tier: str | None = None
    state: str = "available"


@dataclass(slots=True)
class Deployment:
    """A deployment; ``job`` is set where GitLab made it for a job with ``environment:``."""

    id: int
    iid: int
    environment: Environment
    sha: str
    ref: str
    tag: bool
    user: User
    created_at: datetime
    updated_at: datetime
    status: str = "created"
    finished_at: datetime | None = None
    job: Job | None = None


@dataclass(slots=True)
class Pipeline:
    """A pipeline; ``merge_request`` is set for merge request pipelines."""

    id: int
    iid: int
    project: Project
    source: str
    ref: str
    sha: str
    tag: bool
    user: User
    created_at: datetime
    merge_request: MergeRequest | None = None
    name: str | None = None


@dataclass(slots=True)
class Job:
    """A CI job with its token, which lives as long as the job runs or is being cancelled."""

    id: int
    pipeline: Pipeline
    name: str
    stage: str
    token: str
    created_at: datetime
    status: str = "running"
    started_at: datetime | None = None
    finished_at: datetime | None = None
    environment: str | None = None
    timeout_seconds: int = 3600
    log: str = ""
    allow_failure: bool = False

    @property
    def executing(self) -> bool:
        """True while the token lives (``app/finders/ci/auth_job_finder.rb``, EXECUTING_STATUSES)."""
        return self.status in {"running", "canceling"}


@dataclass(slots=True)
class CommitStatus:
    """An external status of a commit in a pipeline."""

    id: int
    pipeline: Pipeline
    name: str
    user: User
    created_at: datetime
    status: str = "created"
    ref: str = ""
    description: str | None = None
    target_url: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(slots=True)
class Project:
    """A private project."""

    id: int
    path: str
    name: str
    default_branch: str = "main"
    members: dict[int, Role] = field(default_factory=dict)
    job_token_allowlist: set[int] = field(default_factory=set)
    threads_must_be_resolved: bool = False
    merge_requests: dict[int, MergeRequest] = field(default_factory=dict)
    environments: dict[int, Environment] = field(default_factory=dict)
    deployments: dict[int, Deployment] = field(default_factory=dict)
    statuses: list[CommitStatus] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class GitlabState:
    """The whole instance. Ids are unique and rising in the instance, iids in their project, as in GitLab."""

    users: dict[int, User] = field(default_factory=dict)
    tokens: dict[str, AccessToken] = field(default_factory=dict)
    projects: dict[int, Project] = field(default_factory=dict)
    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(101))

    def find_project(self, reference: str) -> Project | None:
        """Find a project by its id or its path."""
        for project in self.projects.values():
            if reference in {str(project.id), project.path}:
                return project
        return None

    def jobs_of(self, pipeline: Pipeline) -> list[Job]:
        """Return the jobs of a pipeline, oldest first."""
        return [job for job in self.jobs.values() if job.pipeline is pipeline]

    def pipelines_of(self, merge_request: MergeRequest) -> list[Pipeline]:
        """Return the pipelines that belong to a merge request, or run on a commit of it, newest first."""
        shas = {*merge_request.shas, merge_request.merge_commit_sha, merge_request.squash_commit_sha}
        projects = {merge_request.project.id, merge_request.source_project.id}
        found = [
            pipeline
            for pipeline in self.pipelines.values()
            if pipeline.merge_request is merge_request or (pipeline.sha in shas and pipeline.project.id in projects)
        ]
        return sorted(found, key=lambda pipeline: pipeline.id, reverse=True)

    def status_of(self, pipeline: Pipeline) -> str:
        """Compute a pipeline's status from its jobs and external statuses, as far as this instance needs."""
        states = [job.status for job in self.jobs_of(pipeline) if not (job.allow_failure and job.status == "failed")]
        states += [status.status for status in pipeline.project.statuses if status.pipeline is pipeline]
        for status in ("failed", "running", "canceling", "pending", "canceled"):
            if status in states:
                return "running" if status == "failed" and {"running", "pending"} & set(states) else status
        return "success" if states else "created"
