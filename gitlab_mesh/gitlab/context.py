"""What a job knows about itself: GitLab's predefined ``CI_*`` variables as one frozen value.

``read_ci`` is a pure function of a mapping, so that every pipeline kind is a row of a table test.
Variable names and meanings: GitLab docs, "Predefined CI/CD variables reference".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

__all__ = ["CIContext", "MergeRequestVariables", "Token", "parse_duration", "parse_time", "read_ci"]

_DURATION = re.compile(r"(?P<value>\d+(?:\.\d+)?)(?P<unit>ms|h|m|s)")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Token:
    """A credential. The value never shows in ``repr``, so neither in logs nor in tracebacks.

    Attributes:
        name: Where it came from: the name of the variable, or "option".
        kind: "private" (personal, project or group access token) or "job" (``CI_JOB_TOKEN``).
        value: The secret.
    """

    name: str
    kind: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MergeRequestVariables:
    """``CI_MERGE_REQUEST_*`` of a merge request pipeline (also merged result, merge train, fork).

    Attributes:
        iid: Number of the merge request in its project.
        project_id: Id of the TARGET project; in a fork's pipeline it is not ``CI_PROJECT_ID``.
        source_project_id: Id of the project that the branch lives in.
        source_branch_sha: Head of the source branch; only set in merged result pipelines and trains, where
            ``CI_COMMIT_SHA`` is a temporary merge commit.
    """

    iid: int
    project_id: str
    project_path: str = ""
    project_url: str = ""
    source_project_id: str = ""
    source_branch: str = ""
    target_branch: str = ""
    source_branch_sha: str = ""
    event_type: str = ""

    @property
    def from_fork(self) -> bool:
        """True where source and target project differ."""
        return bool(self.source_project_id) and self.source_project_id != self.project_id


@dataclass(frozen=True, slots=True)
class CIContext:
    """The CI job that we run in; every field is empty (or 0, None) where nobody said it.

    Attributes:
        server_url: ``CI_SERVER_URL``, with the path of a relative URL root, without a trailing slash.
        api_url: ``CI_API_V4_URL``, ending in ``/api/v4``.
        ca_file: ``CI_SERVER_TLS_CA_FILE``: the runner's CA certificate for GitLab.
        job_timeout_seconds: ``CI_JOB_TIMEOUT`` (GitLab 15.7 and later).
        script_timeout_seconds: ``RUNNER_SCRIPT_TIMEOUT``, a Go duration such as ``50m``.
        open_merge_requests: ``CI_OPEN_MERGE_REQUESTS``: up to four ``group/project!iid`` of a branch pipeline.
        ref_protected: ``CI_COMMIT_REF_PROTECTED``; None where nobody tells. Protected variables are absent elsewhere.
        tokens: What we may log in with, best first; see ``tokens.choose_tokens``.
    """

    server_url: str = ""
    api_url: str = ""
    ca_file: str = ""
    project_id: str = ""
    project_path: str = ""
    project_url: str = ""
    pipeline_id: int = 0
    pipeline_iid: int = 0
    pipeline_url: str = ""
    pipeline_source: str = ""
    job_id: int = 0
    job_name: str = ""
    job_url: str = ""
    job_started_at: str = ""
    job_timeout_seconds: float | None = None
    script_timeout_seconds: float | None = None
    commit_sha: str = ""
    commit_ref: str = ""
    commit_branch: str = ""
    commit_tag: str = ""
    default_branch: str = ""
    environment: str = ""
    environment_url: str = ""
    merge_request: MergeRequestVariables | None = None
    open_merge_requests: tuple[str, ...] = ()
    ref_protected: bool | None = None
    tokens: tuple[Token, ...] = ()

    @property
    def available(self) -> bool:
        """True where there is a GitLab to talk to: an API address and a project.

        ``GITLAB_CI`` is not asked: gitlab-ci-local sets it to false and serves jobs all the same.
        """
        return bool(self.api_url and self.project_id)

    @property
    def project(self) -> str:
        """The project for API paths: its id, else its path."""
        return self.project_id or self.project_path

    @property
    def source_sha(self) -> str:
        """The commit that people know: the branch's head, not the temporary merge commit of a merged result."""
        if self.merge_request and self.merge_request.source_branch_sha:
            return self.merge_request.source_branch_sha
        return self.commit_sha

    def remaining_seconds(self, now: datetime) -> float | None:
        """Return the time that is left for the script at ``now`` (aware), None where nobody knows.

        The smaller of the job's and the script's timeout counts, both from ``CI_JOB_STARTED_AT``: the script
        starts a little later, so this errs on the safe side. A runner's clock behind GitLab's counts as "just
        started", never as more time than the timeout.
        """
        started = parse_time(self.job_started_at)
        limits = [limit for limit in (self.job_timeout_seconds, self.script_timeout_seconds) if limit]
        if started is None or not limits:
            return None
        elapsed = max(timedelta(0), now - started).total_seconds()
        return max(0.0, min(limits) - elapsed)


def read_ci(env: Mapping[str, str]) -> CIContext:
    """Read the CI job's own description out of its environment; never raises, unreadable numbers count as unset.

    Args:
        env: Such as ``os.environ``.
    """

    def text(name: str) -> str:
        return env.get(name, "").strip()

    server_url = text("CI_SERVER_URL").rstrip("/")
    api_url = text("CI_API_V4_URL").rstrip("/") or (f"{server_url}/api/v4" if server_url else "")
    return CIContext(
        server_url=server_url or api_url.removesuffix("/api/v4"),
        api_url=api_url,
        ca_file=text("CI_SERVER_TLS_CA_FILE"),
        project_id=text("CI_PROJECT_ID") or text("CI_PROJECT_PATH"),
        project_path=text("CI_PROJECT_PATH"),
        project_url=text("CI_PROJECT_URL"),
        pipeline_id=_integer(text("CI_PIPELINE_ID")),
        pipeline_iid=_integer(text("CI_PIPELINE_IID")),
        pipeline_url=text("CI_PIPELINE_URL"),
        pipeline_source=text("CI_PIPELINE_SOURCE"),
        job_id=_integer(text("CI_JOB_ID")),
        job_name=text("CI_JOB_NAME"),
        job_url=text("CI_JOB_URL"),
        job_started_at=text("CI_JOB_STARTED_AT"),
        job_timeout_seconds=parse_duration(text("CI_JOB_TIMEOUT")),
        script_timeout_seconds=parse_duration(text("RUNNER_SCRIPT_TIMEOUT")),
        commit_sha=text("CI_COMMIT_SHA"),
        commit_ref=text("CI_COMMIT_REF_NAME"),
        commit_branch=text("CI_COMMIT_BRANCH"),
        commit_tag=text("CI_COMMIT_TAG"),
        default_branch=text("CI_DEFAULT_BRANCH"),
        environment=text("CI_ENVIRONMENT_NAME"),
        environment_url=text("CI_ENVIRONMENT_URL"),
        merge_request=_merge_request(env),
        open_merge_requests=tuple(part.strip() for part in text("CI_OPEN_MERGE_REQUESTS").split(",") if part.strip()),
        ref_protected={"true": True, "false": False}.get(text("CI_COMMIT_REF_PROTECTED")),
        tokens=_tokens(env),
    )


def _merge_request(env: Mapping[str, str]) -> MergeRequestVariables | None:
    iid = _integer(env.get("CI_MERGE_REQUEST_IID", ""))
    if not iid:
        return None
    prefix = "CI_MERGE_REQUEST_"
    return MergeRequestVariables(
        iid=iid,
        project_id=env.get(f"{prefix}PROJECT_ID", "") or env.get("CI_PROJECT_ID", "") or env.get("CI_PROJECT_PATH", ""),
        project_path=env.get(f"{prefix}PROJECT_PATH", ""),
        project_url=env.get(f"{prefix}PROJECT_URL", ""),
        source_project_id=env.get(f"{prefix}SOURCE_PROJECT_ID", ""),
        source_branch=env.get(f"{prefix}SOURCE_BRANCH_NAME", ""),
        target_branch=env.get(f"{prefix}TARGET_BRANCH_NAME", ""),
        source_branch_sha=env.get(f"{prefix}SOURCE_BRANCH_SHA", ""),
        event_type=env.get(f"{prefix}EVENT_TYPE", ""),
    )


def _tokens(env: Mapping[str, str]) -> tuple[Token, ...]:
    # The order is the promise: ours, then the common name, then what every job has.
    names = (("GITLAB_MESH_TOKEN", "private"), ("GITLAB_TOKEN", "private"), ("CI_JOB_TOKEN", "job"))
    return tuple(Token(name, kind, env[name].strip()) for name, kind in names if env.get(name, "").strip())


def _integer(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def parse_duration(text: str) -> float | None:
    """Parse seconds (``3600``) or a Go duration (``1h30m``), as the runner does; None for anything else."""
    if text.isascii() and text.isdigit():
        return float(text) or None
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        return None
    return sum(float(part["value"]) * _UNIT_SECONDS[part["unit"]] for part in parts) or None


def parse_time(text: str) -> datetime | None:
    """Parse an RFC 3339 time as GitLab writes it; None where it is none."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
