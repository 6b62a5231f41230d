"""The blocks of ``mesh.yaml``: version, services, defaults, and the same again for each environment."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from gitlab_mesh.config.nodes import Node, Problems
from gitlab_mesh.config.parse import Section, merge, nearest, parse_section
from gitlab_mesh.config.scalars import LABEL_PATTERN
from gitlab_mesh.config.shape import service_fields

__all__ = ["VERSION", "Document", "choose_environment", "layer_services", "parse_document"]

VERSION = 1
TOP_KEYS = ("version", "services", "environments", "defaults", "inventory", "assume")


class Document:
    """The blocks of the file, each checked by itself."""

    def __init__(self) -> None:
        self.services: dict[str, Section] = {}
        self.places: dict[str, Node] = {}
        self.defaults = Section()
        self.environments: dict[str, Document] = {}
        self.environments_place: Node | None = None
        self.inventory: tuple[str, ...] = ()
        self.assume: tuple[str, ...] = ()


def parse_document(root: Node, problems: Problems) -> Document:
    """Check the whole file, environments included; every mistake goes to ``problems``."""
    if not isinstance(root.value, dict):
        problems.add(root, "", f"expected a mapping with {', '.join(TOP_KEYS)}")
        return Document()
    version = root.value.get("version")
    if version is None:
        problems.add(root, "version", f"is missing; write: version: {VERSION}")
    elif version.node.value != VERSION or isinstance(version.node.value, (bool, float)):
        problems.add(version.node, "version", f"this gitlab-mesh knows version {VERSION} (a number, without quotes)")
    document = _parse_blocks(root, "", TOP_KEYS, problems)
    if "services" not in root.value:
        problems.add(root, "services", "is missing: the services of the mesh, each under its name")
    elif not document.services and isinstance(root.value["services"].node.value, (dict, type(None))):
        problems.add(root.value["services"].node, "services", "is empty; at least one service is needed")
    environments = root.value.get("environments")
    if environments is None:
        return document
    if not isinstance(environments.node.value, dict):
        problems.add(environments.node, "environments", "expected a mapping: environments by their names")
        return document
    document.environments_place = environments.key
    for key, entry in environments.node.value.items():
        path = f"environments.{key}"
        document.environments[key] = _parse_blocks(entry.node, path, ("services", "defaults"), problems)
    return document


def _parse_blocks(node: Node, path: str, keys: tuple[str, ...], problems: Problems) -> Document:
    """Check ``services`` and ``defaults`` of the file or of one environment."""
    document = Document()
    if node.value is None:
        return document
    if not isinstance(node.value, dict):
        problems.add(node, path, f"expected a mapping with some of {', '.join(keys)}")
        return document
    prefix = f"{path}." if path else ""
    for key, entry in node.value.items():
        if key not in keys:
            near = nearest(key, keys)
            said = f"did you mean {near}?" if near else f"known here: {', '.join(keys)}"
            problems.add(entry.key, f"{prefix}{key}", f"unknown key; {said}")
        elif key == "defaults":
            document.defaults = parse_section(service_fields(), entry.node, f"{prefix}defaults", problems)
        elif key == "services":
            _parse_services(document, entry.node, f"{prefix}services", problems)
        elif key in ("inventory", "assume"):
            setattr(document, key, _parse_texts(entry.node, key, problems))
    return document


def _parse_texts(node: Node, path: str, problems: Problems) -> tuple[str, ...]:
    """Return a text, or a list of texts, as a tuple."""
    items = node.value if isinstance(node.value, list) else [node]
    for item in items:
        if not isinstance(item.value, str) or not item.value.strip():
            problems.add(item, path, "expected a text, or a list of texts")
    return tuple(item.value.strip() for item in items if isinstance(item.value, str) and item.value.strip())


def _parse_services(document: Document, node: Node, path: str, problems: Problems) -> None:
    if node.value is None:
        return
    if not isinstance(node.value, dict):
        problems.add(node, path, "expected a mapping: services by their names")
        return
    for name, entry in node.value.items():
        if not re.fullmatch(LABEL_PATTERN, name):
            problems.add(entry.key, f"{path}.{name}", "is no name of a Kubernetes Service (RFC 1123): a–z, 0–9 and -")
        document.services[name] = parse_section(service_fields(), entry.node, f"{path}.{name}", problems)
        document.places[name] = entry.key


def choose_environment(document: Document, environment: str | None, name: str, problems: Problems) -> Document | None:
    """Return the environment's own blocks; None where nothing is to be laid over the base."""
    known = document.environments
    if environment is None or not known:
        return None
    if environment in known:
        return known[environment]
    matching = sorted((key for key in known if "*" in key and fnmatchcase(environment, key)), key=len)
    if matching:
        return known[matching[-1]]
    near = nearest(environment, known)
    said = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
    place = document.environments_place or Node(None, name, 1, 1)
    problems.add(place, f"environments.{environment}", f"no such environment; {said}")
    return None


def layer_services(document: Document, chosen: Document | None) -> dict[str, Section]:
    """Merge environment over base, then ``defaults`` under every service."""
    overlay = chosen or Document()
    defaults = merge(overlay.defaults, document.defaults)
    names = dict.fromkeys((*document.services, *overlay.services))
    for key, place in overlay.places.items():
        document.places.setdefault(key, place)
    empty = Section()
    return {
        key: merge(merge(overlay.services.get(key, empty), document.services.get(key, empty)), defaults)
        for key in names
    }
