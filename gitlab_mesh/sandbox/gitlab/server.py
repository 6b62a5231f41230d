"""The emulated GitLab without sockets: ``handle`` answers one request, the other methods set the scene."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from gitlab_mesh.sandbox.gitlab import deployments, instance, merge_requests, notes, statuses
from gitlab_mesh.sandbox.gitlab.access import authenticate, check_project_access
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.gitlab.decoding import decode_request
from gitlab_mesh.sandbox.gitlab.faults import Fault
from gitlab_mesh.sandbox.gitlab.messages import Answer, ApiError, Request
from gitlab_mesh.sandbox.gitlab.routing import Call, find_endpoint
from gitlab_mesh.sandbox.gitlab.scene import Scene
from gitlab_mesh.sandbox.gitlab.state import GitlabState
from gitlab_mesh.sandbox.gitlab.web import answer_web

__all__ = ["GitlabServer"]

# Importing these modules registers their endpoints.
ENDPOINT_MODULES = (deployments, instance, merge_requests, notes, statuses)


class GitlabServer(Scene):
    """One GitLab instance in memory.

    Args:
        root: Relative URL root, such as ``/gitlab``.
        now: Clock, aware, UTC.
        notes_per_minute: Rate limit of note creation per user (GitLab's default is 300).
        contract: See the attribute.

    Attributes:
        state: Everything it holds.
        base_url: Its own idea of its address, as in ``external_url``; a listener sets it.
        faults: Faults that wait for their request.
        requests: Every API request in order, also refused ones, for assertions.
        contract: GitLab's own description, which every request is held against; None: nobody gave it.
    """

    def __init__(
        self,
        *,
        root: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        notes_per_minute: int = 300,
        contract: Contract | None = None,
    ) -> None:
        super().__init__(GitlabState(), now, f"http://gitlab.example{root}")
        self.root = root
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.contract = contract
        self._notes_per_minute = notes_per_minute
        self._created: dict[int, deque[datetime]] = {}
        self._lock = threading.RLock()

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Answer one request, API or page; one at a time, as a database transaction would see to it.

        Args:
            method: HTTP method.
            target: Path and query, as sent.
            headers: Names in any case.
            body: Raw body.
        """
        path = target.partition("?")[0]
        if not path.startswith(f"{self.root}/api/v4/"):
            with self._lock:
                return answer_web(self, method, path.removeprefix(self.root))
        with self._lock:
            fault = next((fault for fault in self.faults if fault.take(method, path)), None)
            real = None
            if fault is None or fault.after or not (fault.status or fault.drop):
                real = self._answer(method, target, headers, body)
            else:
                self._log(method, target, headers, body)
            self._hold_against_contract(method, target, headers, body, real)
            return fault.apply(real) if fault else real or Answer(500)

    def _hold_against_contract(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, real: Answer | None
    ) -> None:
        """Check the exchange; a request whose answer is a fault is one of ours all the same."""
        if self.contract is not None:
            path, _, query = target.partition("?")
            answer = real or Answer(500)
            self.contract.check(method, path.removeprefix(self.root), query, headers, body, answer)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            request = self._log(method, target, headers, body)
            row, path = find_endpoint(request.method, request.segments)
            try:
                caller = authenticate(self.state, request, job_token_allowed=row.job_token)
            except ApiError as error:
                # This endpoint is open for public projects: without a credential that counts here, a private one does
                # not exist. A wrong access token is 401 all the same.
                known_form = {"private-token", "authorization"} & set(request.headers)
                if error.status == 401 and row.handler is instance.get_project and not known_form:
                    raise ApiError(404, "404 Project Not Found") from error
                raise
            project = None
            if "id" in path:
                project = self.state.find_project(path["id"])
                if project is None:
                    raise ApiError(404, "404 Project Not Found")
                check_project_access(caller, project, row.role)
            if row.handler in {notes.create_note, notes.create_discussion, notes.reply}:
                self._check_rate(caller.user.id)
            return row.handler(Call(self.state, request, caller, path, self.now(), self.base_url, project))
        except ApiError as error:
            return error.answer()

    def _log(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        request = decode_request(method, target, headers, body, root=self.root)
        self.requests.append(request)
        return request

    def _check_rate(self, user_id: int) -> None:
        """Refuse more than the allowed notes a minute, in GitLab's form."""
        now = self.now()
        times = self._created.setdefault(user_id, deque())
        while times and now - times[0] > timedelta(minutes=1):
            times.popleft()
        if len(times) >= self._notes_per_minute:
            wait = max(1, round(60 - (now - times[0]).total_seconds()))
            text = {"error": "This endpoint has been requested too many times. Try again later."}
            raise ApiError(429, text, headers={"Retry-After": str(wait)})
        times.append(now)
