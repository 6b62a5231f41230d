"""What Istio's kinds must hold beyond their types: in the voice of their CRDs, then in that of Istio's webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.kind_rules import Problem
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import bad_request

__all__ = ["check_as_istio", "schema_problems"]

Body = Mapping[str, Any]

_INT32_MOST = 2**31 - 1


def schema_problems(resource: Resource, body: Body) -> list[Problem]:
    """Return the required fields that a custom resource lacks by its CRD's schema, and integers beyond int32."""
    spec = body.get("spec") or {}
    problems: list[Problem] = []
    if resource.kind == "DestinationRule":
        problems += [] if spec.get("host") is not None else [("spec.host", "Required value")]
        for index, subset in enumerate(spec.get("subsets") or []):
            if subset.get("name") is None:
                problems.append((f"spec.subsets[{index}].name", "Required value"))
    if resource.kind == "HTTPRoute":
        refs = [(f"spec.parentRefs[{index}]", ref) for index, ref in enumerate(spec.get("parentRefs") or [])]
        for index, rule in enumerate(spec.get("rules") or []):
            refs += [
                (f"spec.rules[{index}].backendRefs[{at}]", ref) for at, ref in enumerate(rule.get("backendRefs") or [])
            ]
        problems += [(f"{path}.name", "Required value") for path, ref in refs if ref.get("name") is None]
    if resource.kind == "VirtualService":
        for index, rule in enumerate(spec.get("http") or []):
            for at, route in enumerate(rule.get("route") or []):
                path = f"spec.http[{index}].route[{at}]"
                if route.get("destination") is None:
                    problems.append((f"{path}.destination", "Required value"))
                elif route["destination"].get("host") is None:
                    problems.append((f"{path}.destination.host", "Required value"))
                if abs(route.get("weight") or 0) > _INT32_MOST:
                    text = f"Checked value must be of type integer with format int32 in {path}.weight"
                    problems.append(("<nil>", f'Invalid value: "": {text}'))
    return problems


def check_as_istio(resource: Resource, body: Body) -> None:
    """Deny what Istio's validating webhook denies (pkg/config/validation of istio/istio). Raises StatusError 400."""
    spec = body.get("spec") or {}
    problems: list[str] = []
    if resource.kind == "VirtualService":
        if not spec.get("hosts"):
            problems.append("virtual service must have at least one host")
        if not any(spec.get(protocol) for protocol in ("http", "tls", "tcp")):
            problems.append("http, tcp or tls must be provided in virtual service")
        for protocol in ("http", "tls", "tcp"):
            for rule in spec.get(protocol) or []:
                problems += _route_problems(rule.get("route") or [])
    elif resource.kind == "DestinationRule" and not spec.get("host"):
        problems.append("host cannot be empty")
    if problems:
        raise bad_request(
            'admission webhook "validation.istio.io" denied the request: configuration is invalid: '
            + "; ".join(problems)
        )


def _route_problems(routes: list[Mapping[str, Any]]) -> list[str]:
    problems = [f"weight {route['weight']} < 0" for route in routes if (route.get("weight") or 0) < 0]
    problems += ["destination host cannot be empty" for route in routes
                 if not (route.get("destination") or {}).get("host")]  # fmt: skip
    if len(routes) > 1 and not problems and sum(route.get("weight") or 0 for route in routes) == 0:
        problems.append("total destination weight = 0")
    return problems
