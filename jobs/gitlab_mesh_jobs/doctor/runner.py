"""The runner: what kind it is, how old, and whether ``after_script`` keeps its time.

Facts: GitLab docs "Predefined CI/CD variables" (``CI_DISPOSABLE_ENVIRONMENT``: all executors but shell and ssh;
``CI_SHARED_ENVIRONMENT``: those two), "Set script and after_script timeouts" (both together must not exceed the job's
timeout; ``after_script`` has 5 minutes unless told otherwise), "Deprecations" (``after_script`` runs for cancelled jobs
from 17.0 on).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gitlab_mesh.core.report.formatting import format_duration
from gitlab_mesh.gitlab import CIContext
from gitlab_mesh.gitlab.context import parse_duration
from gitlab_mesh_jobs.doctor.model import Check, Level

__all__ = ["check_runner"]

TOPIC = "runner"
_OLDEST = (17, 0)
_AFTER_SCRIPT_SECONDS = 300.0


def check_runner(env: Mapping[str, str], ci: CIContext) -> Iterator[Check]:
    """Check the runner by the variables that it gives its jobs; pure."""
    if not ci.job_id:
        yield Check(
            TOPIC, "CI job", Level.WARN, "this is not a GitLab CI job: runner and job token cannot be checked",
            "run the template's job mesh-doctor, or set GITLAB_MESH_WITH_DOCTOR: \"true\" in the pipeline",
        )  # fmt: skip
        return
    yield _kind(env)
    yield _version(env.get("CI_RUNNER_VERSION", ""))
    yield _timeouts(env, ci)


def _kind(env: Mapping[str, str]) -> Check:
    if env.get("CI_SHARED_ENVIRONMENT"):
        found = "shell or ssh executor: a cancelled job has up to 10 minutes to take traffic back"
    elif env.get("KUBERNETES_SERVICE_HOST") and env.get("CI_DISPOSABLE_ENVIRONMENT"):
        found = "Kubernetes executor: on cancel, after_script may begin while the release still ends; both may"
    elif env.get("CI_DISPOSABLE_ENVIRONMENT"):
        found = "Docker or another executor with a fresh environment: a cancelled job has about 10 s, then after_script"
    else:
        return Check(TOPIC, "executor", Level.OK, "its kind is not told")
    return Check(TOPIC, "executor", Level.OK, found)


def _version(text: str) -> Check:
    found = re.match(r"v?(\d+)\.(\d+)", text)
    if found is None:
        return Check(TOPIC, "version", Level.OK, f"not told ({text})" if text else "not told")
    if (int(found[1]), int(found[2])) < _OLDEST:
        return Check(
            TOPIC, "version", Level.WARN, f"{text}: after_script does not run when a job is cancelled",
            "update the runner to 17.0 or newer; until then a scheduled mesh-recover takes back what a cancel leaves",
        )  # fmt: skip
    return Check(TOPIC, "version", Level.OK, text)


def _timeouts(env: Mapping[str, str], ci: CIContext) -> Check:
    subject, job, script = "timeouts", ci.job_timeout_seconds, ci.script_timeout_seconds
    if job is None:
        return Check(TOPIC, subject, Level.WARN, "the job's timeout is not told", "GitLab 15.7 and later tell it")
    if script is None:
        return Check(
            TOPIC, subject, Level.WARN,
            f"the job ends after {format_duration(job)} and leaves after_script no time to take traffic back",
            f"set the variables RUNNER_SCRIPT_TIMEOUT below {format_duration(job)} and RUNNER_AFTER_SCRIPT_TIMEOUT, "
            "as the template's jobs do",
        )  # fmt: skip
    told = parse_duration(env.get("RUNNER_AFTER_SCRIPT_TIMEOUT", ""))
    after = _AFTER_SCRIPT_SECONDS if told is None else told
    parts = f"script {format_duration(script)}, after_script {format_duration(after)}, job {format_duration(job)}"
    if script + after > job:
        return Check(
            TOPIC, subject, Level.FAIL, f"{parts}: when the script uses its time up, after_script does not get its own",
            "raise the job's timeout (or the runner's maximum job timeout, which caps it), or lower the other two", 2,
        )  # fmt: skip
    return Check(TOPIC, subject, Level.OK, parts)
