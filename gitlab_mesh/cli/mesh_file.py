"""``mesh.yaml`` for ``validate`` and ``security-scan``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gitlab_mesh.config.load import load_config
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.config.origins import LoadedConfig
from gitlab_mesh.core.analysis.mesh_file import RELEASED, MeshFile
from gitlab_mesh.core.analysis.model import Document, Problem
from gitlab_mesh.errors import ConfigError

__all__ = ["read_mesh_file", "to_documents"]

_OBJECT = re.compile(r"^apiVersion:", re.MULTILINE)
_MISTAKE = re.compile(r"^.+?:(\d+):(\d+): (.+)$")


def read_mesh_file(path: Path) -> MeshFile:
    """Read the file; its mistakes are problems, not an error.

    A file with Kubernetes objects may have that name, too; it is not ours. Services are those of the base: what an
    environment lays over them is checked by itself, not against the objects of the repository, which are seldom those
    of one environment.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        text = ""  # load_config says what is wrong
    if _OBJECT.search(text):
        return MeshFile()
    try:
        loaded = load_config(path)
    except ConfigError as error:
        nowhere = Document(RELEASED, "", "", "", {"kind": "mesh.yaml"}, str(path), 1, 1)
        return MeshFile(problems=tuple(_mistakes(nowhere, error)))
    services = tuple(to_documents(loaded, str(path), text.count("\n") + 2))
    inventory = tuple(str(path.parent / name) for name in loaded.inventory)
    return MeshFile(services, inventory=inventory, assume=loaded.assume)


def _mistakes(document: Document, error: ConfigError) -> Iterator[Problem]:
    if not error.problems:
        yield Problem(document, (), str(error).partition("\n")[0], code="GM0030", place=(1, 1))
    for line in error.problems:
        found = _MISTAKE.match(line)
        place = (int(found[1]), int(found[2])) if found else (1, 1)
        yield Problem(document, (), found[3] if found else line, code="GM0030", place=place)


def to_documents(loaded: LoadedConfig, file: str, lines: int) -> Iterator[Document]:
    """Yield each service as an object for the rules.

    Args:
        loaded: The configuration.
        file: Its name.
        lines: Number of its lines, and one.
    """
    for service in loaded.config.services.values():
        yield _document(service, file, lines)


def _document(service: ServiceConfig, file: str, lines: int) -> Document:
    spec = {
        "host": service.host or service.name,
        "workload": service.stable_workload,
        "subsets": {"stable": service.subsets.stable, "canary": service.subsets.canary},
        "route": {"kind": service.route.kind, "names": list(service.route.names), "http": list(service.route.http)},
    }
    body = {"kind": "mesh.yaml", "spec": spec}
    return Document(RELEASED, "", service.namespace, service.name, body, file, 1, lines, ("services", service.name))
