"""The protobuf form in which kubectl's typed commands send their bodies (``create configmap``, ``auth can-i``).

Real servers accept it, so kubectl does not ask. Answers stay JSON, which every client takes. Only the messages that
kubectl sends to the kinds served here are described, by field number (``generated.proto`` of k8s.io/api and
k8s.io/apimachinery); a field that is not described is refused by name, never dropped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.apiserver.status import StatusError

__all__ = ["MEDIA_TYPE", "decode_protobuf"]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


@dataclass(frozen=True, slots=True)
class _Field:
    """``sort``: string, bytes, int, bool, map, bytesmap, time, or the name of a message; ``many`` for repeated."""

    name: str
    sort: str
    many: bool = False


def _fields(**described: str) -> dict[int, _Field]:
    """Return fields from ``name="number sort"``; ``*`` after the sort marks a repeated field."""
    found: dict[int, _Field] = {}
    for name, text in described.items():
        number, sort = text.split()
        found[int(number)] = _Field(name, sort.rstrip("*"), sort.endswith("*"))
    return found


_MESSAGES: dict[str, dict[int, _Field]] = {
    "ObjectMeta": _fields(
        name="1 string", generateName="2 string", namespace="3 string", selfLink="4 string", uid="5 string",
        resourceVersion="6 string", generation="7 int", creationTimestamp="8 time", labels="11 map",
        annotations="12 map", finalizers="14 string*",
    ),
    "ConfigMap": _fields(metadata="1 ObjectMeta", data="2 map", binaryData="3 bytesmap", immutable="4 bool"),
    "Secret": _fields(
        metadata="1 ObjectMeta", data="2 bytesmap", type="3 string", stringData="4 map", immutable="5 bool"
    ),
    "Namespace": _fields(metadata="1 ObjectMeta", spec="2 NamespaceSpec", status="3 Nothing"),
    "NamespaceSpec": _fields(finalizers="1 string*"),
    "ServiceAccount": _fields(metadata="1 ObjectMeta"),
    "Service": _fields(metadata="1 ObjectMeta", spec="2 ServiceSpec", status="3 Nothing"),
    "ServiceSpec": _fields(
        ports="1 ServicePort*", selector="2 map", clusterIP="3 string", type="4 string", sessionAffinity="7 string",
        loadBalancerIP="8 string", externalName="10 string", externalTrafficPolicy="11 string",
        healthCheckNodePort="12 int", publishNotReadyAddresses="13 bool",
    ),
    "ServicePort": _fields(
        name="1 string", protocol="2 string", port="3 int", targetPort="4 IntOrString", nodePort="5 int"
    ),
    "IntOrString": _fields(type="1 int", intVal="2 int", strVal="3 string"),
    "Deployment": _fields(metadata="1 ObjectMeta", spec="2 DeploymentSpec", status="3 Nothing"),
    "DeploymentSpec": _fields(
        replicas="1 int", selector="2 LabelSelector", template="3 PodTemplateSpec", strategy="4 DeploymentStrategy",
        minReadySeconds="5 int", revisionHistoryLimit="6 int", paused="7 bool", progressDeadlineSeconds="9 int",
    ),
    "DeploymentStrategy": _fields(type="1 string"),
    "LabelSelector": _fields(matchLabels="1 map"),
    "PodTemplateSpec": _fields(metadata="1 ObjectMeta", spec="2 PodSpec"),
    "PodSpec": _fields(
        containers="2 Container*", restartPolicy="3 string", terminationGracePeriodSeconds="4 int",
        dnsPolicy="6 string", serviceAccountName="8 string", nodeName="10 string", hostNetwork="11 bool",
        hostPID="12 bool", hostIPC="13 bool", hostname="16 string", subdomain="17 string", schedulerName="19 string",
        priorityClassName="24 string",
    ),
    "Container": _fields(
        name="1 string", image="2 string", command="3 string*", args="4 string*", workingDir="5 string",
        ports="6 ContainerPort*", env="7 EnvVar*", resources="8 Nothing", terminationMessagePath="13 string",
        imagePullPolicy="14 string", stdin="16 bool", stdinOnce="17 bool", tty="18 bool",
        terminationMessagePolicy="20 string",
    ),
    "ContainerPort": _fields(name="1 string", hostPort="2 int", containerPort="3 int", protocol="4 string",
                             hostIP="5 string"),
    "EnvVar": _fields(name="1 string", value="2 string"),
    "SelfSubjectAccessReview": _fields(
        metadata="1 ObjectMeta", spec="2 SelfSubjectAccessReviewSpec", status="3 AccessReviewStatus"
    ),
    "SelfSubjectAccessReviewSpec": _fields(
        resourceAttributes="1 ResourceAttributes", nonResourceAttributes="2 NonResourceAttributes"
    ),
    "ResourceAttributes": _fields(
        namespace="1 string", verb="2 string", group="3 string", version="4 string", resource="5 string",
        subresource="6 string", name="7 string",
    ),
    "NonResourceAttributes": _fields(path="1 string", verb="2 string"),
    "AccessReviewStatus": _fields(allowed="1 bool", reason="2 string", evaluationError="3 string", denied="4 bool"),
    "SelfSubjectRulesReview": _fields(
        metadata="1 ObjectMeta", spec="2 SelfSubjectRulesReviewSpec", status="3 RulesReviewStatus"
    ),
    "SelfSubjectRulesReviewSpec": _fields(namespace="1 string"),
    "RulesReviewStatus": _fields(incomplete="3 bool", evaluationError="4 string"),
    "DeleteOptions": _fields(
        gracePeriodSeconds="1 int", preconditions="2 Preconditions", orphanDependents="3 bool",
        propagationPolicy="4 string", dryRun="5 string*",
    ),
    "Preconditions": _fields(uid="1 string", resourceVersion="2 string"),
    "Nothing": {},
}  # fmt: skip


def decode_protobuf(content: bytes) -> dict[str, Any]:
    """Return the object in a body of type ``application/vnd.kubernetes.protobuf``.

    Raises:
        StatusError: 415 for a message or a field that is not described here, 400 for bytes that are no protobuf.
    """
    if not content.startswith(_MAGIC):
        raise StatusError(400, "BadRequest", "the body of the request does not start as Kubernetes' protobuf does")
    api_version = kind = ""
    raw = b""
    try:
        for number, value in _read(content[len(_MAGIC) :]):
            if number == 1 and isinstance(value, bytes):  # runtime.Unknown.typeMeta
                texts = {key: text.decode() for key, text in _read(value) if isinstance(text, bytes)}
                api_version, kind = texts.get(1, ""), texts.get(2, "")
            elif number == 2 and isinstance(value, bytes):
                raw = value
        if kind not in _MESSAGES:
            raise _not_described(kind)
        return {"apiVersion": api_version, "kind": kind, **_decode(kind, raw)}
    except (IndexError, UnicodeDecodeError) as error:
        raise StatusError(400, "BadRequest", f"the body of the request is no protobuf: {error}") from error


def _not_described(what: str) -> StatusError:
    text = f"this server does not read {what} in protobuf; send the object as JSON or YAML (kubectl create -f FILE)"
    return StatusError(415, "UnsupportedMediaType", text)


def _read(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field number and value: an integer (wire type 0) or bytes (wire type 2)."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        if key & 7 == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
        elif key & 7 == 2:
            length, at = _varint(content, at)
            if at + length > len(content):
                raise IndexError("a field is longer than the message")
            yield key >> 3, content[at : at + length]
            at += length
        else:
            raise IndexError(f"wire type {key & 7} is not used by Kubernetes here")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _decode(message: str, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _read(content):
        field = _MESSAGES[message].get(number)
        if field is None:
            if value in (b"", 0) or message == "Nothing":
                continue  # Go writes empty values of plain fields too
            raise _not_described(f"field {number} of {message}")
        if field.sort in ("map", "bytesmap") and isinstance(value, bytes):
            pair = dict(_read(value))
            key, below = bytes(pair.get(1, b"")), bytes(pair.get(2, b""))
            text = base64.b64encode(below).decode() if field.sort == "bytesmap" else below.decode()
            found.setdefault(field.name, {})[key.decode()] = text
            continue
        decoded = _value(field, value)
        if field.many:
            found.setdefault(field.name, []).append(decoded)
        elif decoded not in ("", {}, None) or field.sort == "NamespaceSpec":
            found[field.name] = decoded
    return found


def _value(field: _Field, value: int | bytes) -> Any:
    if isinstance(value, int):
        if field.sort == "bool":
            return bool(value)
        return value - (1 << 64) if value >= 1 << 63 else value
    if field.sort == "string":
        return value.decode()
    if field.sort == "bytes":
        return base64.b64encode(value).decode()
    if field.sort == "time":
        return None  # the server's own: creation times are never taken from a client
    if field.sort == "IntOrString":
        parts = _decode("IntOrString", value)
        return parts.get("strVal", "") if parts.get("type") else parts.get("intVal", 0)
    return _decode(field.sort, value)
