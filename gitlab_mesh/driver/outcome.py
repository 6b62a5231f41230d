"""From the rollout's end to exit code, deployment status and the next command to type."""

from __future__ import annotations

from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import End
from gitlab_mesh.errors import (
    ConflictError,
    GitlabMeshError,
    InconclusiveError,
    InterruptedRunError,
    NoDataError,
    ReleaseRejectedError,
    UnsafeError,
)

__all__ = ["deployment_status", "error_for", "next_step_for"]


def error_for(end: End, error: GitlabMeshError | None, *, service: str) -> GitlabMeshError | None:
    """Return the error that owns the exit code of this end; None for 0.

    Args:
        end: How the rollout ended.
        error: What stopped it, where an error did.
        service: For the hint.
    """
    hint = next_step_for(end, service, "")
    match end.outcome:
        case Outcome.UNSAFE:
            return UnsafeError(end.reason, hint=hint)
        case Outcome.REJECTED:
            return ReleaseRejectedError(end.reason, hint=hint)
        case Outcome.INCONCLUSIVE:
            return InconclusiveError(end.reason, hint=hint)
        case Outcome.NO_DATA:
            return NoDataError(end.reason, hint=hint)
        case Outcome.INTERRUPTED:
            return InterruptedRunError(f"{end.reason}; traffic is back on stable", signal_number=end.signal, hint=hint)
        case Outcome.FAILED:
            return error or ConflictError(end.reason, hint=hint)
        case _:
            return None


def deployment_status(outcome: Outcome) -> str:
    """GitLab's word for this outcome; a rejected canary is a failed deployment, never a success."""
    if outcome in (Outcome.PROMOTED, Outcome.DEPLOYED):
        return "success"
    if outcome in (Outcome.INTERRUPTED, Outcome.ROLLED_BACK):
        return "canceled"
    return "running" if outcome in (Outcome.RUNNING, Outcome.PAUSED) else "failed"


def next_step_for(end: End, service: str, what: str, *, lost: bool = False) -> str:
    """Say what the reader can do next, with one command where there is one."""
    status = f"`gitlab-mesh job status --service {service}`"
    match end.outcome:
        case Outcome.UNSAFE:
            return (
                f"Look now: {status}; then end it: `gitlab-mesh job rollback --service {service}`, with "
                "`--proxies-follow` if requests still come although `istioctl proxy-status` shows every proxy in sync"
            )
        case Outcome.REJECTED:
            return "Fix the release and push it under a new tag; the same image is refused now (or say `--again`)."
        case Outcome.INCONCLUSIVE:
            return "Give it more time (`rollout.deadline`) or more traffic; how much: `gitlab-mesh judge plan --help`"
        case Outcome.NO_DATA:
            return "See whether the service gets traffic and the metric source sees it, then retry the job."
        case Outcome.INTERRUPTED:
            return "Retry the job; it starts again from the first step."
        case Outcome.FAILED if lost:
            return f"Somebody else owns the route now: {status}"
        case Outcome.FAILED:
            return f"See {status}, then retry the job."
        case Outcome.PROMOTED:
            return f"Nothing to do. To take it back: `gitlab-mesh job rollback --service {service} --to-previous`"
        case Outcome.DEPLOYED:
            return "Nothing to do; the next release will be compared with this one."
        case Outcome.ROLLED_BACK:
            return f"Find out why before the next release: {status}"
        case Outcome.PAUSED if "job promote" in end.reason:  # promote: external
            return f"Deploy stable with this image, then: `gitlab-mesh job promote --service {service}`"
        case Outcome.PAUSED:
            back = f"`gitlab-mesh job rollback --service {service}`"
            return f"Go on: `gitlab-mesh job canary --service {service} --continue`; or take it back: {back}"
        case _:
            return ""
