"""What each pod's sidecar would answer at ``:15020/stats/prometheus``, out of the one Envoy that plays them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.sandbox.envoy.admin import EnvoyAdmin
from gitlab_mesh.sandbox.envoy.labels import LATEST, UNKNOWN
from gitlab_mesh.sandbox.envoy.model import ProxyPod
from gitlab_mesh.sandbox.envoy.telemetry_tags import PROXY_TAG, SOURCE_TAG, source_labels

__all__ = ["Telemetry", "rewrite_exposition"]

_LINE = re.compile(r"envoy_(istio_\w+)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ENVOY = "envoy_"
_CONSTANT = {
    # One cluster, and neither gRPC nor certificates in the emulated mesh.
    "destination_cluster": "Kubernetes",
    "source_principal": UNKNOWN,
    "destination_principal": UNKNOWN,
    "grpc_response_status": "",
}
_SETTLE_READS = 4


class Telemetry:
    """Renders the exposition of one pod.

    Args:
        admin: Of the Envoy that counts.
        proxies: Returns the emulated proxies that there are now: pod ("namespace/name") → value of ``PROXY_TAG``.
        sources: The pods that send requests, by the name of their listener.
    """

    def __init__(
        self, admin: EnvoyAdmin, proxies: Callable[[], Mapping[str, str]], sources: Mapping[str, ProxyPod]
    ) -> None:
        self._admin = admin
        self._proxies = proxies
        self._sources = {name: source_labels(pod) for name, pod in sources.items()}

    def pods(self) -> list[str]:
        """Return the pods that have a proxy now, as "namespace/name"."""
        return sorted(self._proxies())

    def render(self, namespace: str, pod: str) -> str:
        """Return the Prometheus text exposition of a pod's proxy.

        Args:
            namespace: Of the pod.
            pod: A pod of an app, of the client, or of the gateway.

        Raises:
            ObjectMissingError: No such pod.
            TransientError: Envoy does not run.
        """
        key = self._proxies().get(f"{namespace}/{pod}")
        if key is None:
            raise ObjectMissingError(f"no proxy runs in pod {namespace}/{pod}", hint="list the pods of the namespace")
        pattern = f"^istio\\..*\\.{PROXY_TAG}\\.{re.escape(key)}$"
        # Asking starts the merge of the workers' histograms; the answer to the next question has it. Under load,
        # requests arrive in between, so that counter and histogram need not agree; a few questions are enough.
        self._admin.stats("^$")
        text = ""
        for _ in range(_SETTLE_READS):
            text = rewrite_exposition(self._admin.prometheus(pattern), self._sources)
            if _is_settled(text):
                break
        return text


def rewrite_exposition(text: str, sources: Mapping[str, Mapping[str, str]]) -> str:
    """Turn Envoy's exposition into Istio's.

    Takes Envoy's prefix and the emulation's own labels off, adds the sender's labels, and writes what is not known
    as Istio does. Series that are the same afterwards are added up.
    """
    kinds: dict[str, str] = {}
    series: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            kinds[name.removeprefix(_ENVOY)] = kind
        elif found := _LINE.match(line):
            name, labels, value = found.groups()
            key = tuple(_istio_labels(dict(_LABEL.findall(labels)), sources).items())
            values = series.setdefault(name, {})
            values[key] = values.get(key, 0.0) + float(value)
    lines = []
    for base, kind in kinds.items():
        lines.append(f"# TYPE {base} {kind}")
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for part in parts:
            for labels_of, number in series.get(base + part, {}).items():
                written = ",".join(f'{name}="{one}"' for name, one in labels_of)
                lines.append(f"{base}{part}{{{written}}} {number:.15g}")
    return "\n".join(lines) + "\n" if lines else ""


def _istio_labels(labels: dict[str, str], sources: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    del labels[PROXY_TAG]
    bound = {"le": labels.pop("le")} if "le" in labels else {}
    source = labels.pop(SOURCE_TAG, None)
    sender = sources.get(source, source_labels(None)) if source is not None else {}
    for name, value in labels.items():
        if value in ("", "-") and name != "response_flags":
            labels[name] = LATEST if name.endswith("_canonical_revision") else UNKNOWN
    return {**labels, **sender, **_CONSTANT, **bound}


def _is_settled(text: str) -> bool:
    """Whether the histogram has all requests that the counter has."""
    totals = {"istio_requests_total": 0.0, "istio_request_duration_milliseconds_count": 0.0}
    for line in text.splitlines():
        name, _, rest = line.partition("{")
        if name in totals:
            totals[name] += float(rest.rpartition(" ")[2])
    return len(set(totals.values())) == 1
