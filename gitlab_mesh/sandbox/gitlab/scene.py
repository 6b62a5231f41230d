"""Set the scene: users, projects, merge requests, pipelines and jobs, and the variables that a job would get."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime

from gitlab_mesh.sandbox.gitlab.state import (
    AccessToken,
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

__all__ = ["Scene", "sha_of"]


def sha_of(text: str) -> str:
    """Return a commit id made of a text, so that scenes are the same every time."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Scene:
    """What happens in a GitLab instance outside of the API calls that are under test."""

    def __init__(self, state: GitlabState, now: Callable[[], datetime], base_url: str) -> None:
        self.state = state
        self.now = now
        self.base_url = base_url

    def add_user(self, username: str, name: str = "", *, bot: bool = False) -> User:
        """Add a user."""
        user = User(next(self.state.ids), username, name or username, bot)
        self.state.users[user.id] = user
        return user

    def add_project(self, path: str, *members: User, role: Role = Role.DEVELOPER) -> Project:
        """Add a private project with members."""
        project = Project(next(self.state.ids), path, path.rpartition("/")[2])
        project.members = {member.id: role for member in members}
        self.state.projects[project.id] = project
        return project

    def add_project_token(
        self,
        project: Project,
        *,
        role: Role = Role.REPORTER,
        scopes: tuple[str, ...] = ("api",),
        name: str = "gitlab-mesh",
    ) -> str:
        """Create a project access token with its bot user; returns its value."""
        bot = self.add_user(f"project_{project.id}_bot_{next(self.state.ids)}", name, bot=True)
        project.members[bot.id] = role
        return self.add_personal_token(bot, scopes=scopes)

    def add_personal_token(self, user: User, *, scopes: tuple[str, ...] = ("api",), expired: bool = False) -> str:
        """Create a personal access token; returns its value."""
        value = f"glpat-{secrets.token_hex(10)}"
        self.state.tokens[value] = AccessToken(value, user, scopes, expired)
        return value

    def open_merge_request(
        self,
        project: Project,
        author: User,
        title: str,
        *,
        description: str = "",
        source_branch: str = "feature",
        source_project: Project | None = None,
    ) -> MergeRequest:
        """Open a merge request into the default branch."""
        iid = 1 + max(project.merge_requests, default=0)
        now = self.now()
        merge_request = MergeRequest(
            next(self.state.ids), iid, project, source_project or project, title, description, author,
            source_branch, project.default_branch, [sha_of(f"{project.path}!{iid}")], now, now,
        )  # fmt: skip
        project.merge_requests[iid] = merge_request
        return merge_request

    def comment(self, merge_request: MergeRequest, author: User, body: str, *, thread: bool = False) -> Note:
        """Write a note as somebody, past the API: no limits, no quick actions."""
        note_id = next(self.state.ids)
        now = self.now()
        note = Note(note_id, author, body, now, now, sha_of(f"thread {note_id}"), threaded=thread)
        merge_request.notes.append(note)
        return note

    def merge(self, merge_request: MergeRequest, *, how: str = "merge_commit") -> str:
        """Merge it by ``merge_commit``, ``squash`` or ``fast_forward``; returns the commit on the target branch."""
        merge_request.state = "merged"
        merge_request.merged_at = self.now()
        new = sha_of(f"{how} {merge_request.project.path}!{merge_request.iid}")
        if how == "merge_commit":
            merge_request.merge_commit_sha = new
        elif how == "squash":
            merge_request.squash_commit_sha = new
        else:
            new = merge_request.shas[-1]
        return new

    def start_pipeline(
        self,
        project: Project,
        user: User,
        *,
        source: str = "push",
        ref: str = "",
        sha: str = "",
        tag: bool = False,
        merge_request: MergeRequest | None = None,
    ) -> Pipeline:
        """Start a pipeline; for a merge request, ref and commit are its own and the source is merge_request_event."""
        iid = 1 + sum(pipeline.project is project for pipeline in self.state.pipelines.values())
        if merge_request:
            source, ref, sha = "merge_request_event", merge_request.source_branch, sha or merge_request.shas[-1]
        ref = ref or project.default_branch
        pipeline = Pipeline(
            next(self.state.ids), iid, project, source, ref, sha or sha_of(f"{project.path}@{ref}"), tag, user,
            self.now(), merge_request,
        )  # fmt: skip
        self.state.pipelines[pipeline.id] = pipeline
        return pipeline

    def start_job(
        self,
        pipeline: Pipeline,
        name: str,
        *,
        stage: str = "deploy",
        environment: str = "",
        action: str = "verify",
        timeout_seconds: int = 3600,
    ) -> Job:
        """Start a job. ``environment`` with action "start" makes GitLab's own deployment, as in real pipelines."""
        now = self.now()
        job = Job(
            next(self.state.ids), pipeline, name, stage, f"glcbt-{secrets.token_hex(10)}", now,
            started_at=now, environment=environment or None, timeout_seconds=timeout_seconds,
        )  # fmt: skip
        self.state.jobs[job.id] = job
        if environment and action == "start":
            project = pipeline.project
            known = [item for item in project.environments.values() if item.name == environment]
            target = known[0] if known else Environment(next(self.state.ids), environment, now)
            project.environments[target.id] = target
            deployment = Deployment(
                next(self.state.ids), 1 + len(project.deployments), target, pipeline.sha, pipeline.ref, pipeline.tag,
                pipeline.user, now, now, status="running", job=job,
            )  # fmt: skip
            project.deployments[deployment.id] = deployment
        return job

    def finish_job(self, job: Job, status: str, *, log: str = "") -> None:
        """End a job (success, failed, canceled): its token dies, its own deployment ends with it."""
        job.status, job.finished_at = status, self.now()
        job.log = log or job.log
        for deployment in job.pipeline.project.deployments.values():
            if deployment.job is job:
                deployment.status, deployment.finished_at = status, self.now()

    def ci_variables(self, job: Job) -> dict[str, str]:
        """Return the predefined variables that GitLab would give the job (docs, "Predefined CI/CD variables")."""
        pipeline = job.pipeline
        project = pipeline.project
        started = (job.started_at or job.created_at).strftime("%Y-%m-%dT%H:%M:%SZ")
        variables = {
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_SERVER": "yes",
            "CI_SERVER_NAME": "GitLab",
            "CI_SERVER_URL": self.base_url,
            "CI_API_V4_URL": f"{self.base_url}/api/v4",
            "CI_PROJECT_ID": str(project.id),
            "CI_PROJECT_PATH": project.path,
            "CI_PROJECT_NAME": project.name,
            "CI_PROJECT_URL": f"{self.base_url}/{project.path}",
            "CI_DEFAULT_BRANCH": project.default_branch,
            "CI_PIPELINE_ID": str(pipeline.id),
            "CI_PIPELINE_IID": str(pipeline.iid),
            "CI_PIPELINE_SOURCE": pipeline.source,
            "CI_PIPELINE_URL": f"{self.base_url}/{project.path}/-/pipelines/{pipeline.id}",
            "CI_JOB_ID": str(job.id),
            "CI_JOB_NAME": job.name,
            "CI_JOB_STAGE": job.stage,
            "CI_JOB_TOKEN": job.token,
            "CI_JOB_STARTED_AT": started,
            "CI_JOB_TIMEOUT": str(job.timeout_seconds),
            "CI_JOB_URL": f"{self.base_url}/{project.path}/-/jobs/{job.id}",
            "CI_COMMIT_SHA": pipeline.sha,
            "CI_COMMIT_SHORT_SHA": pipeline.sha[:8],
            "CI_COMMIT_REF_NAME": pipeline.ref,
        }
        if job.environment:
            variables["CI_ENVIRONMENT_NAME"] = job.environment
        return variables | self._branch_variables(pipeline)

    def _branch_variables(self, pipeline: Pipeline) -> dict[str, str]:
        """Return what differs between tag, branch and merge request pipelines."""
        if pipeline.tag:
            return {"CI_COMMIT_TAG": pipeline.ref}
        merge_request = pipeline.merge_request
        if merge_request is None:
            opened = [
                f"{project.path}!{item.iid}"
                for project in self.state.projects.values()
                for item in project.merge_requests.values()
                if item.state == "opened"
                and item.source_project is pipeline.project
                and item.source_branch == pipeline.ref
            ]
            references = {"CI_OPEN_MERGE_REQUESTS": ",".join(opened[:4])} if opened else {}
            return {"CI_COMMIT_BRANCH": pipeline.ref, **references}
        merged_result = pipeline.sha not in merge_request.shas
        target = merge_request.project
        return {
            "CI_MERGE_REQUEST_IID": str(merge_request.iid),
            "CI_MERGE_REQUEST_PROJECT_ID": str(target.id),
            "CI_MERGE_REQUEST_PROJECT_PATH": target.path,
            "CI_MERGE_REQUEST_PROJECT_URL": f"{self.base_url}/{target.path}",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": str(merge_request.source_project.id),
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": merge_request.source_branch,
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": merge_request.target_branch,
            "CI_MERGE_REQUEST_EVENT_TYPE": "merged_result" if merged_result else "detached",
            **({"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": merge_request.shas[-1]} if merged_result else {}),
        }
