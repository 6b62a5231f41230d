"""What a refusal of the Kubernetes API means to us: one mapping, shared by the real client and the fakes.

The text of a failed JSON Patch is the API server's own and carries no detail: a ``test`` that did not hold and a
path that does not exist answer alike with 422, reason ``Invalid``, empty ``details`` and one fixed sentence
(k8s.io/apiserver ``jsonPatcher.applyJSPatch`` → ``NewGenericServerResponse``; kubernetes/kubernetes#68202).
A 422 of validation names the object and the field instead. Older and other servers say "testing value … failed".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.kinds import KINDS
from gitlab_mesh.errors import (
    AccessDeniedError,
    ConflictError,
    GitlabMeshError,
    ObjectMissingError,
    TransientError,
    UsageError,
)

__all__ = ["JSON_PATCH_REFUSED", "map_status"]

JSON_PATCH_REFUSED = "the server rejected our request due to an error in our request"
"""Message of the Status with which an API server answers a JSON Patch that does not apply (422)."""

_NO_ADDRESS = "address not allowed"
"""Answer of ``pods/proxy`` (400, kube-apiserver 1.36) for a pod without IP, or with a loopback one."""
_WEBHOOK_FAILED = re.compile(r'failed calling webhook "([^"]+)"')
"""In the 500 for a webhook with ``failurePolicy: Fail`` (k8s.io/apiserver ``webhook.ErrCallingWebhook``)."""
_ADMISSION_DENIED = re.compile(
    r"""(admission webhook "[^"]+") denied|(ValidatingAdmissionPolicy '[^']+')|"""
    r"(exceeded quota)|(violates PodSecurity)"
)
"""What refuses an object although the right is there, with 400, 403 or 422 as it likes (k8s.io/apiserver
``webhook/errors.ToStatusErr``, ``validating.policyDecision``; plugins ResourceQuota and PodSecurity)."""
_OTHER_PATCH_TEXTS = ("testing value", "testing path", "test operation", "test failed", "operation does not apply")


def map_status(
    status_code: int, body: Mapping[str, Any], *, verb: str, kind: str, namespace: str, name: str
) -> GitlabMeshError:
    """Return the error of ours for an answer that is no success.

    Args:
        status_code: HTTP status, 400–599 (anything else is taken as a fault of the way between).
        body: The ``Status`` object, or an empty mapping where the answer held none.
        verb: The Kubernetes verb: get, list, create, update, patch, delete.
        kind: Word of ``core.kinds``, with subresource where there is one ("Pod/proxy").
        namespace: Empty for objects without namespace.
        name: Empty for list and create.
    """
    what = _describe(kind, namespace, name)
    message = str(body.get("message") or "").strip()
    if status_code in (400, 403, 422) and (denied := _ADMISSION_DENIED.search(message)):
        by = next(group for group in denied.groups() if group)
        return UsageError(
            f"{what}: admission refuses {verb}: {by} (HTTP {status_code})",
            why=_with_causes(message, body),
            hint="no right is missing: correct what the policy names, or ask its owners to except these objects",
        )
    if status_code in (401, 403):
        return _denied(status_code, message, verb=verb, kind=kind, namespace=namespace, name=name)
    if status_code == 404:
        return ObjectMissingError(
            f"{what}: not found ({verb})",
            why=message,
            hint="check the name and the namespace, and that the cluster serves this kind",
        )
    if status_code == 409:
        return _conflict(what, verb, str(body.get("reason") or ""), message)
    if status_code == 422 and verb == "patch" and _is_failed_json_patch(body, message):
        return ConflictError(
            f"{what}: the patch does not fit the live object, nothing was written",
            why="a value that the patch tests is different by now, or a path of it is gone",
            hint="read the object again and plan anew; its managedFields name who wrote last",
        )
    if status_code == 400 and message == _NO_ADDRESS:
        return TransientError(
            f"{what}: has no address yet, or one that the API server does not connect to ({verb})",
            why=f"the API server says: {message}",
            hint="wait until the pod is scheduled and started",
        )
    if status_code == 500 and (webhook := _WEBHOOK_FAILED.search(message)):
        return TransientError(
            f"{what}: admission webhook {webhook[1]} does not answer, and no {verb} passes without it (HTTP 500)",
            why=message,
            hint="bring back who serves it; validation.istio.io is istiod: kubectl -n istio-system get pods",
        )
    if status_code == 429 or status_code >= 500 or status_code < 400 or status_code == 408:
        return TransientError(
            f"{what}: the API server did not do {verb} (HTTP {status_code})",
            why=message,
            hint="try again; if it stays, look at the health of the API server",
        )
    return UsageError(
        f"{what}: the API server refuses the request as invalid ({verb}, HTTP {status_code})",
        why=_with_causes(message, body),
        hint="correct the field that the server names",
    )


def _describe(kind: str, namespace: str, name: str) -> str:
    path = "/".join(part for part in (namespace, name) if part)
    return f"{kind} {path}" if path else kind


def _denied(status_code: int, message: str, *, verb: str, kind: str, namespace: str, name: str) -> AccessDeniedError:
    base, _, subresource = kind.partition("/")
    known = KINDS.get(base)
    plural = known.plural if known else base.lower()
    resource = f"{plural}/{subresource}" if subresource else plural
    where = f" in namespace {namespace}" if namespace else ""
    group = known.group if known else ""
    if status_code == 401:
        return AccessDeniedError(
            f"{_describe(kind, namespace, name)}: the API server does not know our credentials (HTTP 401, {verb})",
            why=message,
            hint="check the token of the kubeconfig: expired, or of another cluster?",
        )
    in_group = f" of API group {group}" if group else ""
    return AccessDeniedError(
        f"{_describe(kind, namespace, name)}: no right to {verb} {resource}{in_group}{where}",
        why=message,
        hint=f'give the service account of this job the verb "{verb}" on "{resource}" in a Role{where}',
    )


def _conflict(what: str, verb: str, reason: str, message: str) -> ConflictError:
    if reason == "AlreadyExists" or (verb == "create" and reason != "Conflict"):
        return ConflictError(
            f"{what}: already exists", why=message, hint="read it and decide whose it is before writing again"
        )
    return ConflictError(
        f"{what}: somebody else changed it meanwhile, nothing was written ({verb})",
        why=message,
        hint="read the object again and plan anew; its managedFields name who wrote last",
    )


def _is_failed_json_patch(body: Mapping[str, Any], message: str) -> bool:
    details = body.get("details") or {}
    if details.get("causes"):
        return False
    text = message.lower()
    return text.startswith(JSON_PATCH_REFUSED) or any(known in text for known in _OTHER_PATCH_TEXTS)


def _with_causes(message: str, body: Mapping[str, Any]) -> str:
    causes = (body.get("details") or {}).get("causes") or []
    said = [f"{cause.get('field', '')}: {cause.get('message', '')}".strip(": ") for cause in causes]
    missing = [text for text in said if text and text not in message]
    return "; ".join([part for part in (message, *missing) if part])
