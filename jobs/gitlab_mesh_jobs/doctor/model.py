"""A check as a value: what was looked at, what was found, what to do about it, and what it means for the exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gitlab_mesh.errors import (
    AccessDeniedError,
    ConfigError,
    ConflictError,
    FindingsError,
    GitlabMeshError,
    PolicyRefusedError,
    TransientError,
    UsageError,
)
from gitlab_mesh.gitlab import Connection
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import Clock, Console

__all__ = ["Check", "DoctorPorts", "Level", "attempt", "error_for", "from_error"]


class DoctorPorts(Protocol):
    """Everything of the outside that the doctor may use (``Job.scope`` "doctor"); each is built at its first use."""

    @property
    def env(self) -> Mapping[str, str]:
        """The job's environment."""

    @property
    def clock(self) -> Clock:
        """Time."""

    @property
    def console(self) -> Console:
        """The log."""

    @property
    def gitlab(self) -> Connection:
        """GitLab, with every token that the job has."""

    @property
    def config(self) -> str:
        """Path of ``mesh.yaml``."""

    def services(self) -> Sequence[ServicePorts]:
        """Load ``mesh.yaml``; return the ports of the chosen service, or of each. Raises ConfigError."""

    def cluster_name(self) -> str:
        """Say which cluster it is and what chose it. Raises UsageError."""

    def credential_seconds(self) -> float | None:
        """Return how long the cluster's credential lives, None where it has no end or renews itself."""


class Level(StrEnum):
    """How bad it is: ``fail`` stands in the way of a release, ``warn`` takes something away from it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the doctor's table.

    Attributes:
        topic: "runner", "GitLab", "cluster", "mesh", "metrics", "mesh.yaml", "route".
        subject: What was looked at.
        found: What was found, one sentence.
        fix: What to do; empty where nothing is to be done.
        code: Exit code of a failure: 2 configuration, 13 the cluster's objects, 20 outside fault, 21 access.
    """

    topic: str
    subject: str
    level: Level
    found: str
    fix: str = ""
    code: int = 13


def from_error(topic: str, subject: str, error: GitlabMeshError) -> tuple[Check, ...]:
    """Return what an error means: a refusal by policy or a release that runs is no defect of the setup."""
    if isinstance(error, ConfigError) and error.problems:
        return tuple(Check(topic, subject, Level.FAIL, problem, error.hint, 2) for problem in error.problems)
    level = Level.WARN if isinstance(error, PolicyRefusedError | ConflictError) else Level.FAIL
    found = f"{error.what} ({error.why})" if error.why else error.what
    code = next((owner.exit_code for owner in _BY_CODE if isinstance(error, owner)), FindingsError.exit_code)
    return (Check(topic, subject, level, " ".join(found.split()), " ".join(error.hint.split()), code),)


def attempt(topic: str, subject: str, work: Callable[[], Iterable[Check]]) -> tuple[Check, ...]:
    """Return what the work finds, or the error that ended it as a check."""
    try:
        return tuple(work())
    except GitlabMeshError as error:
        return from_error(topic, subject, error)


# In the order in which they are to be mended: a wrong configuration first, findings that it may have caused last.
_BY_CODE: tuple[type[GitlabMeshError], ...] = (UsageError, AccessDeniedError, TransientError, FindingsError)


def error_for(checks: Iterable[Check]) -> GitlabMeshError | None:
    """Return the error that owns the exit code; None: nothing stands in the way of a release."""
    failed = [check for check in checks if check.level is Level.FAIL]
    for owner in _BY_CODE:
        mine = [check for check in failed if check.code == owner.exit_code]
        if mine:
            first = mine[0]
            return owner(f"{first.subject}: {first.found}", hint=first.fix)
    return None
