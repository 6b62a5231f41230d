"""Types of the fields that are commonly got wrong, as nested shapes.

A shape is a type name ("string", "integer", "boolean", "int-or-string", "any"), a list of one shape, or a map from
field to shape where "*" stands for any other field. What is not named is not looked at, but in a map with ``CLOSED``
it does not exist: a real server drops it. Field lists of closed maps: istio.io/api networking/v1
(virtual_service.proto, destination_rule.proto), and the OpenAPI document of Kubernetes 1.36 (Deployment, PodSpec,
Container).
"""

from __future__ import annotations

from typing import TypeAlias

from gitlab_mesh.sandbox.apiserver.gateway_api import HTTP_ROUTE

__all__ = ["ANY_KIND", "CLOSED", "METADATA", "SHAPES", "Shape"]

Shape: TypeAlias = str | list["Shape"] | dict[str, "Shape"]

CLOSED = "!"
"""Key of a map that has no other fields than those named."""

_ANY: Shape = {}
_STRINGS: Shape = {"*": "string"}

ROOTS = ("apiVersion", "kind", "metadata", "spec", "status")
"""Fields of any object; what a kind has beside them stands in its shape."""


def _closed(names: str) -> dict[str, Shape]:
    """Return the start of a closed map that has these fields, of any type, and those that follow."""
    return {CLOSED: _ANY, **dict.fromkeys(names.split(), "any")}


METADATA: Shape = {
    "name": "string",
    "generateName": "string",
    "namespace": "string",
    "uid": "string",
    "resourceVersion": "string",
    "labels": _STRINGS,
    "annotations": _STRINGS,
    "finalizers": ["string"],
    "ownerReferences": [{"uid": "string", "name": "string", "kind": "string"}],
    "managedFields": [{"manager": "string", "fieldsV1": {}}],
}
_SELECTOR: Shape = {
    "matchLabels": _STRINGS,
    "matchExpressions": [{"key": "string", "operator": "string", "values": ["string"]}],
}
_CONTAINER: Shape = {
    **_closed(
        "envFrom imagePullPolicy lifecycle livenessProbe resizePolicy restartPolicy restartPolicyRules securityContext "
        "startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices workingDir"
    ),
    "name": "string",
    "image": "string",
    "command": ["string"],
    "args": ["string"],
    "env": [{"name": "string", "value": "string", "valueFrom": {}}],
    "ports": [{"name": "string", "containerPort": "integer", "protocol": "string"}],
    "resources": {"requests": {"*": "int-or-string"}, "limits": {"*": "int-or-string"}},
    "volumeMounts": [{"name": "string", "mountPath": "string", "readOnly": "boolean"}],
    "readinessProbe": {"httpGet": {"path": "string", "port": "int-or-string"}, "periodSeconds": "integer"},
}
_POD_SPEC: Shape = {
    **_closed(
        "activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks "
        "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride "
        "imagePullSecrets os overhead preemptionPolicy priority priorityClassName readinessGates resourceClaims "
        "resources restartPolicy runtimeClassName schedulerName schedulingGates schedulingGroup securityContext "
        "serviceAccount setHostnameAsFQDN shareProcessNamespace subdomain tolerations topologySpreadConstraints"
    ),
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "nodeName": "string",
    "serviceAccountName": "string",
    "terminationGracePeriodSeconds": "integer",
    "volumes": [{"name": "string"}],
    "nodeSelector": _STRINGS,
}
_TEMPLATE: Shape = {CLOSED: _ANY, "metadata": {"labels": _STRINGS, "annotations": _STRINGS}, "spec": _POD_SPEC}
_WORKLOAD: Shape = {
    "spec": {
        CLOSED: _ANY,
        "replicas": "integer",
        "minReadySeconds": "integer",
        "progressDeadlineSeconds": "integer",
        "revisionHistoryLimit": "integer",
        "paused": "boolean",
        "selector": _SELECTOR,
        "template": _TEMPLATE,
        "strategy": {"type": "string", "rollingUpdate": {"*": "int-or-string"}},
    }
}


def _close(shape: Shape) -> Shape:
    """Return the shape of an HTTPRoute's spec, rule, match or reference closed; filters have more than is named."""
    if isinstance(shape, list):
        return [_close(item) for item in shape]
    if not isinstance(shape, dict):
        return shape
    lists = ("parentRefs", "rules", "matches", "backendRefs")
    return {CLOSED: _ANY, **{key: _close(below) if key in lists else below for key, below in shape.items()}}


_DESTINATION: Shape = {CLOSED: _ANY, "host": "string", "subset": "string", "port": {"number": "integer"}}
_ROUTE: Shape = {CLOSED: _ANY, "destination": _DESTINATION, "weight": "integer", "headers": {}}
_TEXT_MATCH: Shape = {"exact": "string", "prefix": "string", "regex": "string"}
_HTTP: Shape = {
    CLOSED: _ANY,
    **dict.fromkeys(("directResponse", "delegate", "fault", "mirrorPercentage", "corsPolicy", "headers"), _ANY),
    **dict.fromkeys(("mirrorPercent", "mirror_percent"), "integer"),
    "name": "string",
    "match": [
        {
            CLOSED: _ANY,
            "sourceNamespace": "string",
            "statPrefix": "string",
            "name": "string",
            "uri": _TEXT_MATCH,
            "scheme": _TEXT_MATCH,
            "method": _TEXT_MATCH,
            "authority": _TEXT_MATCH,
            "headers": {"*": _TEXT_MATCH},
            "withoutHeaders": {"*": _TEXT_MATCH},
            "queryParams": {"*": _TEXT_MATCH},
            "port": "integer",
            "gateways": ["string"],
            "sourceLabels": _STRINGS,
            "ignoreUriCase": "boolean",
        }
    ],
    "route": [_ROUTE],
    "timeout": "string",
    "retries": {"attempts": "integer", "perTryTimeout": "string", "retryOn": "string"},
    "mirror": _DESTINATION,
    "mirrors": [{"destination": _DESTINATION}],
    "rewrite": {"uri": "string", "authority": "string"},
    "redirect": {"uri": "string", "authority": "string", "redirectCode": "integer"},
}
_STREAM: Shape = {"match": [{}], "route": [{"destination": _DESTINATION, "weight": "integer"}]}

ANY_KIND: Shape = {"spec": _ANY, "status": _ANY}
"""What kinds without a shape of their own still have."""

SHAPES: dict[str, Shape] = {
    "ConfigMap": {"data": _STRINGS, "binaryData": _STRINGS, "immutable": "boolean"},
    "Secret": {"data": _STRINGS, "stringData": _STRINGS, "type": "string", "immutable": "boolean"},
    "Deployment": _WORKLOAD,
    "ReplicaSet": _WORKLOAD,
    "Pod": {
        "spec": _POD_SPEC,
        "status": {
            "phase": "string",
            "containerStatuses": [
                {"name": "string", "ready": "boolean", "restartCount": "integer", "state": {"waiting": {}}}
            ],
        },
    },
    "Service": {
        "spec": {
            "selector": _STRINGS,
            "type": "string",
            "clusterIP": "string",
            "ports": [
                {"name": "string", "port": "integer", "targetPort": "int-or-string", "protocol": "string"},
            ],
        }
    },
    "Lease": {
        "spec": {
            **_closed("preferredHolder strategy"),
            "holderIdentity": "string",
            "leaseDurationSeconds": "integer",
            "leaseTransitions": "integer",
            "renewTime": "string",
            "acquireTime": "string",
        }
    },
    "HorizontalPodAutoscaler": {
        "spec": {
            **_closed("behavior scaleTargetRef"),
            "minReplicas": "integer",
            "maxReplicas": "integer",
            "metrics": [{}],
        }
    },
    "Event": {
        "involvedObject": {"kind": "string", "name": "string", "namespace": "string"},
        "source": {},
        "message": "string",
        "reason": "string",
        "type": "string",
        "count": "integer",
        **dict.fromkeys(("action", "eventTime", "firstTimestamp", "lastTimestamp", "related", "series"), "any"),
        **dict.fromkeys(("reportingComponent", "reportingInstance"), "string"),
    },
    "ServiceAccount": {"automountServiceAccountToken": "boolean", "imagePullSecrets": [{}], "secrets": [{}]},
    "VirtualService": {
        "spec": {
            CLOSED: _ANY,
            "hosts": ["string"],
            "gateways": ["string"],
            "exportTo": ["string"],
            "http": [_HTTP],
            "tls": [_STREAM],
            "tcp": [_STREAM],
        }
    },
    "DestinationRule": {
        "spec": {
            CLOSED: _ANY,
            "workloadSelector": {},
            "host": "string",
            "subsets": [{CLOSED: _ANY, "name": "string", "labels": _STRINGS, "trafficPolicy": {}}],
            "trafficPolicy": {},
            "exportTo": ["string"],
        }
    },
    "Gateway": {
        "spec": {
            "selector": _STRINGS,
            "servers": [
                {"hosts": ["string"], "port": {"number": "integer", "name": "string", "protocol": "string"}, "tls": {}}
            ],
        }
    },
    "EndpointSlice": {
        "addressType": "string",
        "endpoints": [{"addresses": ["string"], "nodeName": "string", "targetRef": {"name": "string"}}],
        "ports": [{"name": "string", "port": "integer", "protocol": "string"}],
    },
    "HTTPRoute": {"spec": _close(HTTP_ROUTE)},
    "AuthorizationPolicy": {"spec": {"selector": {"matchLabels": _STRINGS}, "action": "string", "rules": [{}]}},
    "PeerAuthentication": {"spec": {"selector": {"matchLabels": _STRINGS}, "mtls": {"mode": "string"}}},
}
