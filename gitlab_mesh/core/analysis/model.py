"""What the rules read and what they say, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = ["Document", "Finding", "Level", "Options", "Path", "Problem", "dicts", "mapping", "texts"]

Path = tuple[str | int, ...]
"""Keys and list indexes from the root of a document."""


class Level(StrEnum):
    """How bad it is. ERROR: Istio rejects it, or requests fail. WARNING: it does not do what it says. INFO: look."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return ("error", "warning", "info").index(self.value)


def mapping(value: Any) -> dict[str, Any]:
    """Return the mapping, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def dicts(value: Any) -> list[tuple[int, dict[str, Any]]]:
    """Return the mappings of a list with their indexes; whatever else it holds is left out."""
    return [(i, item) for i, item in enumerate(value) if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[tuple[int, str]]:
    """Return the texts of a list with their indexes."""
    return [(i, item) for i, item in enumerate(value) if isinstance(item, str)] if isinstance(value, list) else []


@dataclass(slots=True, eq=False)
class Document:
    """One Kubernetes object of a file.

    Attributes:
        kind: The engine's word: the object's kind, but ``KubernetesGateway`` for Gateway API's Gateway, because
            Istio has a Gateway too; ``MeshConfig`` and ``MeshNetworks`` for those bare files.
        api_version: As written.
        namespace: As written; empty where the document names none.
        name: ``metadata.name``.
        body: The object as JSON.
        file: As given on the command line; ``-`` is standard input.
        first_line: Line of the document's first character, from 1.
        last_line: Line behind its last one.
        prefix: Path of this object inside its document, for the items of a ``List``.
        cluster: Name of the cluster, where several are analysed together.
        assumed: It comes from the inventory: rules read it, findings about it are not reported.
        number: Reading order.
    """

    kind: str
    api_version: str
    namespace: str
    name: str
    body: dict[str, Any]
    file: str
    first_line: int
    last_line: int
    prefix: Path = ()
    cluster: str = ""
    assumed: bool = False
    number: int = 0
    spec: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bind(self.body)

    def bind(self, body: dict[str, Any]) -> None:
        """Take ``body`` as the object (after values of a wrong type were taken out)."""
        self.body = body
        spec, metadata = body.get("spec"), body.get("metadata")
        self.spec = spec if spec.__class__ is dict else {}
        self.metadata = metadata if metadata.__class__ is dict else {}

    @property
    def labels(self) -> dict[str, str]:
        """``metadata.labels``."""
        return mapping(self.metadata.get("labels"))

    @property
    def annotations(self) -> dict[str, str]:
        """``metadata.annotations``."""
        return mapping(self.metadata.get("annotations"))

    @property
    def resource(self) -> str:
        """``Kind namespace/name`` for people and machines; without namespace where the document names none."""
        kind = self.body.get("kind")
        word = kind if isinstance(kind, str) and kind else self.kind
        return f"{word} {self.namespace}/{self.name}" if self.namespace else f"{word} {self.name}".rstrip()

    @property
    def full_name(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Problem(NamedTuple):
    """What a rule has to say about one place of one document.

    Attributes:
        document: Where.
        path: Place inside the object; the longest part of it that exists is shown.
        message: What is wrong, with the names and values at hand, one sentence.
        hint: How to mend this one; empty: the rule's own text.
        at_key: Point to the key, not to its value.
        level: Instead of the rule's own.
        code: Instead of the rule's own: a sibling that the rule declares.
        place: Line and column from 1, where the path cannot say it (YAML that is no tree).
    """

    document: Document
    path: Path
    message: str
    hint: str = ""
    at_key: bool = False
    level: Level | None = None
    code: str = ""
    place: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding as every output shows it.

    Attributes:
        code: Of the rule (``GM0101``).
        istio_code: Istio's own for the same (``IST0101``), or empty.
        level: How bad.
        resource: ``Kind namespace/name``; the file's name where there is no object.
        file: As given on the command line.
        line: From 1.
        column: From 1.
        path: JSON path (``$.spec.http[0].route[1].destination.host``).
        message: What is wrong.
        why: Why it matters.
        hint: How to mend it.
        fingerprint: Stays the same when lines move.
        references: Ids of CIS, NSA, OWASP, CVE.
    """

    code: str
    istio_code: str
    level: Level
    resource: str
    file: str
    line: int
    column: int
    path: str
    message: str
    why: str
    hint: str
    fingerprint: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """What the rules cannot know from the files.

    Attributes:
        cluster_domain: Domain of the cluster's services.
        trust_domain: Of the mesh's identities.
        root_namespace: Whose policies hold for the whole mesh; Istio's own namespace.
        complete: The files and the inventory together are everything there is, so what is missing is missing.
        assume_hosts: Hosts that exist although no file says so (``*.example.com`` covers what ends so).
        assume_namespaces: Namespaces that exist although no file says so.
        today: ``YYYYMMDDhhmmss``, UTC, for certificates; empty: their time is not looked at.
    """

    cluster_domain: str = "cluster.local"
    trust_domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    complete: bool = False
    assume_hosts: tuple[str, ...] = ()
    assume_namespaces: tuple[str, ...] = ()
    today: str = ""
