"""Checking one object against the schema of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem
from gitlab_mesh.core.analysis.registry import describe
from gitlab_mesh.core.istio_schema.catalog import KINDS, SERVED
from gitlab_mesh.core.istio_schema.faults import TYPE, Check, Fault
from gitlab_mesh.core.istio_schema.gateway_api import GATEWAY_API
from gitlab_mesh.core.istio_schema.gateway_api_rules import GATEWAY_API_RULES
from gitlab_mesh.core.istio_schema.installation import INSTALLATION
from gitlab_mesh.core.istio_schema.istio_rules import ISTIO_RULES
from gitlab_mesh.core.istio_schema.kubernetes import KUBERNETES
from gitlab_mesh.core.istio_schema.mesh_config import MESH_CONFIG
from gitlab_mesh.core.istio_schema.networking import NETWORKING
from gitlab_mesh.core.istio_schema.security import SECURITY
from gitlab_mesh.core.istio_schema.types import Schema

__all__ = ["check_document", "schemas"]


@cache
def schemas() -> dict[str, Schema]:
    """Return the schemas by family."""
    return {
        "istio": Schema(NETWORKING + SECURITY, ISTIO_RULES),
        "gateway-api": Schema(GATEWAY_API, GATEWAY_API_RULES),
        "kubernetes": Schema(KUBERNETES),
        "bare": Schema(NETWORKING + SECURITY + MESH_CONFIG + INSTALLATION),
    }


@cache
def _checks(kind: str) -> tuple[Check, Check] | None:
    known = KINDS.get(kind)
    if known is None:
        return None
    return schemas()[known.family].check(known.type), schemas()["kubernetes"].check("Metadata")


def check_document(document: Document) -> Iterator[Problem]:
    """Yield every fault of an object, and take values of a wrong type out of it."""
    checks = _checks(document.kind)
    if checks is None:
        return
    known = KINDS[document.kind]
    check, check_metadata = checks
    faults = _faults(document, check, known.spec_key)
    found = check_metadata(document.metadata)
    if found:
        faults += [fault._replace(path=("metadata", *fault.path)) for fault in found]
    if not document.name and "generateName" not in document.metadata and known.family != "bare":
        faults.append(Fault(("metadata",), "GM0012", "metadata.name is missing", "add metadata.name"))
    served = SERVED.get(document.kind)
    if served and document.api_version not in served:
        faults.append(_unserved(document, served))
    elif served and document.api_version != served[0] and known.family == "istio":
        yield Problem(
            document,
            ("apiVersion",),
            f"{document.api_version} is superseded by {served[0]}",
            f"write apiVersion: {served[0]}; the fields are the same",
            code="GM0016",
        )
    if not faults:
        return
    wrong = [fault.path for fault in faults if fault.code == TYPE]
    if wrong:
        document.bind(_without(document.body, wrong))
    for fault in faults:
        yield Problem(document, fault.path, fault.message, fault.hint, at_key=fault.at_key, code=fault.code)


def _faults(document: Document, check: Check, key: str) -> list[Fault]:
    value = document.body.get(key) if key else document.body
    faults: list[Fault] = []
    if value is None:
        family = KINDS[document.kind].family
        if (family == "istio" and key in document.body) or family == "kubernetes":
            return faults
        value = {}
    found = check(value)
    for fault in found or ():
        path = (key, *fault.path) if key else fault.path
        faults.append(fault._replace(path=path))
    return faults


def _unserved(document: Document, served: tuple[str, ...]) -> Fault:
    text = f"{document.api_version} is not a version of {document.kind} that Istio serves"
    return Fault(("apiVersion",), "GM0017", text, f"write apiVersion: {served[0]}")


def _without(body: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """Copy the object without the values at these paths; an entry of a list becomes null."""
    copied: dict[str, Any] = dict(body)
    for path in paths:
        node: Any = copied
        for key in path[:-1]:
            child = node[key]
            node[key] = child = list(child) if isinstance(child, list) else dict(child)
            node = child
        if isinstance(node, list):
            node[int(path[-1])] = None
        else:
            node.pop(path[-1], None)
    return copied


for _code, _title, _why, _mend in (
    (
        "GM0010",
        "unknown field",
        "Kubernetes refuses it, or drops it in silence: what it should do does not happen",
        "use the nearest known field",
    ),
    ("GM0011", "wrong type", "the API server refuses the object", "write a value of the wanted type"),
    ("GM0012", "required field missing", "the API server refuses the object", "add the field"),
    ("GM0013", "value not allowed", "the API server or Istio's webhook refuses the object", "use an allowed value"),
    ("GM0014", "fields exclude one another", "the API server refuses the object", "keep one of them"),
    ("GM0015", "duplicate entry", "the API server refuses lists in which a key stands twice", "remove or rename one"),
    ("GM0017", "version not served", "the API server does not know this version of the kind", "use a served version"),
):
    describe(_code, _title, Level.ERROR, istio="IST0106", why=_why, mend=_mend)
describe(
    "GM0016",
    "superseded version",
    Level.INFO,
    why="old versions of an API are removed some day; v1 is the stable one",
    mend="write the newest version",
)
del _code, _title, _why, _mend
