"""The best-effort door to GitLab: bounded in time, silent about secrets, never raising (S10)."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from gitlab_mesh.errors import AccessDeniedError, GitlabMeshError, ObjectMissingError
from gitlab_mesh.gitlab.context import CIContext, Token
from gitlab_mesh.gitlab.deadline import Deadline
from gitlab_mesh.gitlab.tokens import Operation, choose_tokens, explain_missing, needs

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab
    from gitlab_mesh.gitlab.merge_request import Located

__all__ = ["Connection", "Session"]

T = TypeVar("T")


class Connection:
    """GitLab as one CI job sees it; share one between notes, deployments and statuses.

    Args:
        context: From ``read_ci``.
        token: A private token that goes before those of the environment.
        budget_seconds: Longest time of one best-effort call, whatever GitLab or the network does.
        request_seconds: Timeout of one request.
        monotonic: Clock in seconds.
        sleep: Its sleep.
        interrupted: Asked ten times a second while waiting: once it turns true, the call returns at once and the
            work ends in the background, so that a signal's rollback never waits for GitLab.
    """

    def __init__(
        self,
        context: CIContext,
        *,
        token: str = "",
        budget_seconds: float = 10.0,
        request_seconds: float = 4.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        interrupted: Callable[[], object] = bool,
    ) -> None:
        self.context = context
        self.tokens = (*((Token("option", "private", token),) if token else ()), *context.tokens)
        self._budget = budget_seconds
        self._request_seconds = request_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._interrupted = interrupted
        self._clients: dict[str, BoundedGitlab] = {}
        if context.available:
            # Now and in this thread: an import that a second thread begins while the first is inside it can leave
            # half a module behind for the whole process, and it takes longer than a request.
            with suppress(Exception):  # the first call says what is wrong
                importlib.import_module("gitlab_mesh.gitlab.client")
        self._busy = threading.Lock()
        self._patience = 1.0
        self.located: Located | None = None
        """The pipeline's merge requests, once ``merge_request.locate`` has found them."""

    def attempt(self, what: str, work: Callable[[Session], str]) -> str:
        """Run ``work`` and return its answer, or one line that says why it could not be done. Never raises.

        The work runs beside the caller, because neither a slow name server nor an answer that drips byte by byte
        is covered by a request's timeout. Work that has outlived the budget cannot start another request, and
        the next call waits for it rather than overtaking it. After a call that GitLab let run into its budget, the
        next ones get a third of it until one is answered: a silent GitLab must not cost a job many budgets.

        Args:
            what: What is attempted, for the sentence: "merge request note".
            work: Returns "" or a sentence; may raise anything.
        """
        if not self.context.available:
            return f"{what} skipped: this is not a GitLab CI job (no CI_API_V4_URL, CI_PROJECT_ID)"
        stop = _Turned(self._interrupted)
        budget = self._budget * self._patience
        if not _wait(lambda: self._busy.acquire(timeout=0.1), budget, stop):
            return f"{what} skipped: GitLab has still not answered the call before"
        answers: list[str] = []
        deadline = Deadline(self._monotonic() + budget, self._monotonic, self._sleep)

        def run() -> None:
            try:
                answers.append(work(Session(self, deadline)))
            except GitlabMeshError as error:
                answers.append(f"{what} failed: {_sentence(error)}")
            except Exception as error:
                answers.append(f"{what} failed: {_sentence(_translate(error, None))}")
            finally:
                self._busy.release()

        try:
            worker = threading.Thread(target=run, name="gitlab-feedback", daemon=True)
            worker.start()
        except RuntimeError as error:  # no more threads
            self._busy.release()
            return f"{what} failed: {error}"
        _wait(lambda: _ended(worker), budget + 0.5, stop)
        self._patience = 1.0 if answers and deadline.remaining() > 0 else 1 / 3
        if answers:
            return answers[0]
        return f"{what} failed: " + (
            "interrupted by a signal" if stop() else f"GitLab did not answer within {budget:.0f} s"
        )

    def close(self) -> None:
        """Close what is open; the connection may be used again."""
        for client in self._clients.values():
            client.session.close()

    def _client(self, token: Token) -> BoundedGitlab:
        if token.name not in self._clients:
            from gitlab_mesh.gitlab.client import BoundedGitlab

            self._clients[token.name] = BoundedGitlab(self.context, token, request_seconds=self._request_seconds)
        return self._clients[token.name]


class Session:
    """One best-effort call in progress: the connection and its deadline."""

    def __init__(self, connection: Connection, deadline: Deadline) -> None:
        self.connection = connection
        self.deadline = deadline
        self.context = connection.context

    def use(self, token: Token, work: Callable[[BoundedGitlab, Token, Session], T]) -> T:
        """Use this very token, whatever it may do."""
        client = self.connection._client(token)
        client.deadline = self.deadline
        return work(client, token, self)

    def run(self, operation: Operation, use: Callable[[BoundedGitlab, Token], T]) -> T:
        """Use the best token that may do it; where GitLab refuses one for lack of rights, the next.

        Raises:
            AccessDeniedError: No token may do it; says which scope and role would.
            GitlabMeshError: As ``client.translate``.
        """
        refusal: GitlabMeshError | None = None
        for token in choose_tokens(self.connection.tokens, operation):
            client = self.connection._client(token)
            client.deadline = self.deadline
            try:
                return use(client, token)
            except Exception as error:
                translated = _translate(error, token)
                # A token that may not see the project at all gets 404 for it.
                if not isinstance(translated, AccessDeniedError | ObjectMissingError):
                    raise translated from None
                refusal = refusal or translated
        if isinstance(refusal, AccessDeniedError):
            raise AccessDeniedError(refusal.what, why=refusal.why, hint=f"to {operation} it takes {needs(operation)}")
        raise refusal or AccessDeniedError(explain_missing(self.context, operation))


class _Turned:
    """True once the question, false at the beginning, is answered with yes: a signal from before does not count."""

    def __init__(self, question: Callable[[], object]) -> None:
        self._question = question
        self._before = bool(question())

    def __call__(self) -> bool:
        return not self._before and bool(self._question())


def _wait(ended: Callable[[], bool], seconds: float, stop: Callable[[], bool]) -> bool:
    """Ask ``ended`` (which waits up to 0.1 s by itself) until it says yes, time is up, or ``stop`` says so."""
    until = time.monotonic() + seconds
    while not (done := ended()) and not stop() and time.monotonic() < until:
        pass
    return done


def _ended(worker: threading.Thread) -> bool:
    worker.join(0.1)
    return not worker.is_alive()


def _translate(error: Exception, token: Token | None) -> GitlabMeshError:
    if isinstance(error, GitlabMeshError):
        return error
    from gitlab_mesh.gitlab.client import translate

    return translate(error, token)


def _sentence(error: GitlabMeshError) -> str:
    parts = [error.what, *(part for part in (error.why, error.hint) if part)]
    return "; ".join(" ".join(part.split()) for part in parts)
