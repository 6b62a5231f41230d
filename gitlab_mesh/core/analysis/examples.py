"""Objects for the examples of rules, written once: each is a YAML document that begins with ``---``."""

from __future__ import annotations

from gitlab_mesh.core.istio_schema.catalog import API_VERSIONS

__all__ = ["container", "example", "pod_example"]


def example(kind: str, spec: str | None, *, name: str = "shop", namespace: str = "shop", **metadata: str) -> str:
    """Return one object.

    Args:
        kind: The engine's word (``KubernetesGateway`` for Gateway API's).
        spec: What stands between the braces of ``spec``; None: the object has none.
        name: Its name.
        namespace: Its namespace; empty: none.
        metadata: ``labels`` and ``annotations``: what stands between their braces.
    """
    words = [f"name: {name}"]
    words += [f"namespace: {namespace}"] if namespace else []
    words += [f"{key}: {{{value}}}" for key, value in metadata.items() if value]
    head = f"---\napiVersion: {API_VERSIONS[kind]}\nkind: {kind.removeprefix('Kubernetes')}\n"
    body = "" if spec is None else f"spec: {{{spec}}}\n"
    return f"{head}metadata: {{{', '.join(words)}}}\n{body}"


def container(more: str = "", *, name: str = "shop") -> str:
    """Return ``containers`` with one container, for a pod's spec."""
    return f"containers: [{{name: {name}, image: registry.example/shop:1.5.0{', ' if more else ''}{more}}}]"


def pod_example(
    spec: str | None = None, *, labels: str = "app: shop", namespace: str = "shop", annotations: str = ""
) -> str:
    """Return a Pod of the service ``shop``."""
    return example("Pod", spec, namespace=namespace, labels=labels, annotations=annotations)
