"""What each token of a job can do, asked from GitLab: valid or not, scopes, role, end of life.

``GET /personal_access_tokens/self`` tells every personal, project and group access token about itself (GitLab docs,
"Personal access tokens API"), ``GET /projects/:id`` the role (``permissions``), ``GET /job`` is the job token's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.gitlab.connection import Connection, Session
from gitlab_mesh.gitlab.context import Token
from gitlab_mesh.gitlab.tokens import Operation, choose_tokens, least

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab

__all__ = ["TokenFacts", "inspect_tokens"]

_ROLES = {
    5: "Minimal access",
    10: "Guest",
    15: "Planner",
    20: "Reporter",
    30: "Developer",
    40: "Maintainer",
    50: "Owner",
}


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """One token; never its value.

    Attributes:
        name: Where it came from: the name of the variable, or "option".
        kind: "private" or "job".
        error: What GitLab or the network said instead; None: the token is good.
        scopes: Of a private token; empty where GitLab does not tell.
        access_level: Role in this project as a number (30: Developer); 0 where nobody tells.
        expires: Date of its end (``2027-01-31``), empty for none.
        cannot: What it cannot do, of what we may ask for.
    """

    name: str
    kind: str
    error: GitlabMeshError | None = None
    scopes: tuple[str, ...] = ()
    access_level: int = 0
    expires: str = ""
    cannot: tuple[Operation, ...] = ()

    @property
    def role(self) -> str:
        """The role's name, empty where it is not known."""
        return _ROLES.get(self.access_level, "")


def inspect_tokens(connection: Connection) -> tuple[tuple[TokenFacts, ...], str]:
    """Ask about every token of the connection.

    Returns:
        The facts, best token first; and "" or one line that says why GitLab could not be asked.
    """
    found: list[TokenFacts] = []

    def work(session: Session) -> str:
        found.extend(session.use(token, _inspect) for token in connection.tokens)
        return ""

    problem = connection.attempt("check of the tokens", work)
    return tuple(found), problem


def _inspect(client: BoundedGitlab, token: Token, session: Session) -> TokenFacts:
    try:
        if token.kind == "job":
            client.http_get("/job")
            able = {operation for operation in Operation if choose_tokens((token,), operation)}
            return TokenFacts(token.name, token.kind, cannot=tuple(item for item in Operation if item not in able))
        own = _object(client.http_get("/personal_access_tokens/self"))
        project = _object(client.http_get(f"/projects/{session.context.project.replace('/', '%2F')}"))
    except Exception as error:
        from gitlab_mesh.gitlab.client import translate

        return TokenFacts(token.name, token.kind, error=translate(error, token), cannot=tuple(Operation))
    scopes, level = tuple(str(item) for item in own.get("scopes") or ()), _level(project)
    cannot = tuple(item for item in Operation if not _may(item, scopes, level))
    return TokenFacts(
        token.name,
        token.kind,
        scopes=scopes,
        access_level=level,
        expires=str(own.get("expires_at") or ""),
        cannot=cannot,
    )


def _object(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise TypeError("no JSON object")
    return answer


def _level(project: Mapping[str, Any]) -> int:
    """Return the higher of the roles that project and group give."""
    permissions = project.get("permissions") or {}
    given = (permissions.get(name) or {} for name in ("project_access", "group_access"))
    return max((int(item.get("access_level") or 0) for item in given), default=0)


def _may(operation: Operation, scopes: tuple[str, ...], level: int) -> bool:
    """Say whether scope and role suffice; a role that nobody tells is taken for enough."""
    scope, role = least(operation)
    return bool({scope, "api"} & set(scopes)) and (not level or level >= role)
