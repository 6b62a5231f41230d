"""The mapping of Kubernetes refusals to our errors."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.core.kube_status import JSON_PATCH_REFUSED, map_status
from gitlab_mesh.errors import (
    AccessDeniedError,
    ConflictError,
    GitlabMeshError,
    ObjectMissingError,
    TransientError,
    UsageError,
)

INVALID_FIELD = {
    "reason": "Invalid",
    "message": 'VirtualService "shop" is invalid',
    "details": {"causes": [{"field": "spec.hosts", "message": "must be of type array"}]},
}


def error_of(
    code: int,
    body: dict[str, Any],
    *,
    verb: str = "patch",
    kind: str = "VirtualService",
    namespace: str = "shop",
    name: str = "front",
) -> GitlabMeshError:
    return map_status(code, body, verb=verb, kind=kind, namespace=namespace, name=name)


@pytest.mark.parametrize(
    ("code", "body", "verb", "expected"),
    [
        (404, {"reason": "NotFound"}, "get", ObjectMissingError),
        (409, {"reason": "Conflict"}, "update", ConflictError),
        (409, {"reason": "AlreadyExists"}, "create", ConflictError),
        (422, {"reason": "Invalid", "message": JSON_PATCH_REFUSED, "details": {}}, "patch", ConflictError),
        (422, {"message": "testing value /metadata/uid failed: test failed"}, "patch", ConflictError),
        (422, {"message": "replace operation does not apply: doc is missing path: /x"}, "patch", ConflictError),
        (422, {"message": JSON_PATCH_REFUSED}, "create", UsageError),
        (422, INVALID_FIELD, "patch", UsageError),
        (400, {"message": "bad"}, "create", UsageError),
        (400, {"message": "address not allowed"}, "get", TransientError),
        (401, {}, "get", AccessDeniedError),
        (403, {}, "get", AccessDeniedError),
        (429, {}, "get", TransientError),
        (408, {}, "get", TransientError),
        (500, {}, "get", TransientError),
        (503, {}, "get", TransientError),
        (504, {}, "get", TransientError),
        (302, {}, "get", TransientError),
    ],
)
def test_each_answer_becomes_one_error_that_names_the_object(
    code: int, body: dict[str, Any], verb: str, expected: type[GitlabMeshError]
) -> None:
    error = error_of(code, body, verb=verb)
    assert type(error) is expected
    assert "VirtualService shop/front" in error.what
    assert verb in str(error) or "already exists" in str(error) or "patch" in str(error)
    assert error.hint


def test_a_refusal_names_verb_resource_group_and_namespace() -> None:
    error = error_of(403, {"message": "server text"}, kind="VirtualService")
    assert "no right to patch virtualservices of API group networking.istio.io in namespace shop" in error.what
    assert error.why == "server text"
    proxy = error_of(403, {}, verb="get", kind="Pod/proxy", name="shop-1")
    assert "get pods/proxy in namespace shop" in proxy.what


def test_a_validation_error_keeps_the_field_that_the_server_names() -> None:
    assert "spec.hosts: must be of type array" in str(error_of(422, INVALID_FIELD))


def test_a_webhook_that_is_away_is_named_in_the_first_line() -> None:
    text = (
        'Internal error occurred: failed calling webhook "validation.istio.io": failed to call webhook: Post '
        '"https://istiod.istio-system.svc:443/validate?timeout=10s": no endpoints available for service "istiod"'
    )
    error = error_of(500, {"reason": "InternalError", "message": text})
    assert isinstance(error, TransientError)
    assert "webhook validation.istio.io does not answer" in error.what
    assert "no endpoints available" in error.why


@pytest.mark.parametrize(
    ("code", "message", "by"),
    [
        (
            400,
            'admission webhook "validate.kyverno.svc-fail" denied the request: no owner',
            "validate.kyverno.svc-fail",
        ),
        (403, 'admission webhook "validation.gatekeeper.sh" denied the request: [owner]', "validation.gatekeeper.sh"),
        (422, "Deployment \"shop\" is invalid: : ValidatingAdmissionPolicy 'owned' with binding 'b' denied", "'owned'"),
        (403, 'configmaps "x" is forbidden: exceeded quota: objects, requested: configmaps=1', "exceeded quota"),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot', "violates PodSecurity"),
    ],
)
def test_who_refuses_an_object_is_not_taken_for_a_missing_right(code: int, message: str, by: str) -> None:
    error = error_of(code, {"message": message})
    assert type(error) is UsageError
    assert by in error.what
    assert message in error.why
    assert "no right is missing" in error.hint
