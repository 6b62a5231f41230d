"""Every error that a person can meet, and the exit code that a pipeline can act on.

Exit codes are an API (``retry:exit_codes``, ``allow_failure:exit_codes``): one class owns one code,
subclasses only add detail. A message says what happened, to which object, why, and what to do next.
Outcomes of judging are values in the core; the CLI alone turns them into these codes.
"""

from __future__ import annotations

__all__ = [
    "AccessDeniedError",
    "ConfigError",
    "ConflictError",
    "FindingsError",
    "GitlabMeshError",
    "InconclusiveError",
    "InterruptedRunError",
    "LoadCheckFailedError",
    "NoDataError",
    "ObjectMissingError",
    "PolicyRefusedError",
    "ReleaseRejectedError",
    "TransientError",
    "UnsafeError",
    "UsageError",
]


class GitlabMeshError(Exception):
    """Base of all errors of ours; anything else that escapes is a bug (exit code 1).

    Args:
        what: What happened, naming the object ("VirtualService shop/shop: …").
        why: The cause, if it is known and not already in ``what``.
        hint: What the reader should do next, as a sentence or a command.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"Why: {self.why}")
        if self.hint:
            parts.append(f"Next: {self.hint}")
        return "\n".join(parts)


class UsageError(GitlabMeshError):
    """The command line or the configuration asks for something that cannot be done (2)."""

    exit_code = 2


class ConfigError(UsageError):
    """``mesh.yaml`` or an option is wrong; all problems are listed at once.

    Args:
        what: Headline.
        problems: One line each, ``file:line:column: …``.
    """

    def __init__(self, what: str, problems: tuple[str, ...] = (), *, why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.problems = problems

    def __str__(self) -> str:
        head, *rest = super().__str__().split("\n")
        return "\n".join([head, *(f"  {problem}" for problem in self.problems), *rest])


class ObjectMissingError(UsageError):
    """An object of the cluster or of GitLab that the configuration names does not exist (2)."""


class ReleaseRejectedError(GitlabMeshError):
    """The release was rejected; weight 0 is written and observed (10)."""

    exit_code = 10


class InconclusiveError(GitlabMeshError):
    """Not enough evidence at the deadline; weight 0 written, or held by policy (11)."""

    exit_code = 11


class NoDataError(GitlabMeshError):
    """A critical metric had no data at the deadline; weight 0 written (12)."""

    exit_code = 12


class FindingsError(GitlabMeshError):
    """Findings at or above the threshold, or generated files are stale (13)."""

    exit_code = 13


class LoadCheckFailedError(GitlabMeshError):
    """A threshold of load-check was missed (14)."""

    exit_code = 14


class PolicyRefusedError(GitlabMeshError):
    """Refused by policy: freeze, known bad digest, older pipeline, broken stable (16)."""

    exit_code = 16


class TransientError(GitlabMeshError):
    """An outside fault that may pass: network, timeout, 5xx, 429 (20)."""

    exit_code = 20


class AccessDeniedError(GitlabMeshError):
    """401 or 403; the message names the missing right (21)."""

    exit_code = 21


class ConflictError(GitlabMeshError):
    """Somebody else changed the object or holds the lock; nothing was written by us (22)."""

    exit_code = 22


class UnsafeError(GitlabMeshError):
    """Weight 0 is not written, or the canary still receives requests: a person is needed now (23)."""

    exit_code = 23


class InterruptedRunError(GitlabMeshError):
    """A signal ended the run; traffic was made safe first (128 + signal number: 130, 143).

    Args:
        what: What was done about traffic.
        signal_number: 2 (SIGINT), 15 (SIGTERM), 1 (SIGHUP).
    """

    def __init__(self, what: str, *, signal_number: int, why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.signal_number = signal_number
        self.exit_code = 130 if signal_number == 2 else 143
