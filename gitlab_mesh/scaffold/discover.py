"""Which services a project could release: routes that lead to Services that select Deployments.

What is ambiguous is not guessed: the candidate carries the choices, and whoever asks takes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.mesh.hosts import resolve_host

__all__ = ["Candidate", "discover"]

Json = Mapping[str, Any]
_SIDECAR = "istio-proxy"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One service that could be released.

    Attributes:
        name: Its name in ``mesh.yaml``: the Service's.
        namespace: Empty where no object names one.
        kind: "VirtualService" or "HTTPRoute".
        route: The route's name.
        http: Names of the HTTP routes to move, empty where only one leads to the service.
        http_choices: All HTTP routes by name that lead to the service, where there are several.
        workload: Name of the Deployment; empty where several could be meant.
        workload_choices: Those that could be meant.
        container: Container that the image is for; empty where there is one, or it has the service's name.
        container_choices: Those that could be meant, where it is not clear.
        label: Pod label that tells the sides apart.
        stable: Name of the stable subset.
        host: The destination's host where it is not the service's name.
        image: Repository of the Deployment's image, without tag or digest.
        todo: What a person has to do before a release can work, one sentence each.
    """

    name: str
    namespace: str
    kind: str
    route: str
    http: tuple[str, ...] = ()
    http_choices: tuple[str, ...] = ()
    workload: str = ""
    workload_choices: tuple[str, ...] = ()
    container: str = ""
    container_choices: tuple[str, ...] = ()
    label: str = "version"
    stable: str = "stable"
    host: str = ""
    image: str = ""
    todo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Lead:
    """That a route leads to a Service: through which HTTP routes, and to which subset."""

    route: Json
    kind: str
    host: str
    service: str
    https: tuple[Json, ...]
    subset: str


@dataclass(slots=True)
class _Objects:
    by_kind: dict[str, list[Json]] = field(default_factory=dict)

    def of(self, kind: str, namespace: str) -> list[Json]:
        """Return the objects of a namespace; those that name none may belong to any."""
        return [item for item in self.by_kind.get(kind, ()) if namespace in ("", _space(item)) or not _space(item)]


def discover(objects: Iterable[Json]) -> list[Candidate]:
    """Return the services that routes lead to and Deployments serve, by namespace and name.

    Args:
        objects: Kubernetes objects as JSON, of files or of a cluster; kinds that say nothing about it are left aside.
            Of one that comes twice (applied, and as a file that may name no namespace) the first counts.
    """
    known = _Objects()
    for item in objects:
        same = known.by_kind.setdefault(str(item.get("kind")), [])
        if not any(_name(other) == _name(item) and _space(item) in ("", _space(other)) for other in same):
            same.append(item)
    found: dict[tuple[str, str], Candidate] = {}
    for kind in ("VirtualService", "HTTPRoute"):
        for route in known.by_kind.get(kind, ()):
            for lead in _leads(route, kind):
                candidate = _candidate(known, lead)
                if candidate is not None:
                    found.setdefault((candidate.namespace, candidate.name), candidate)
    return [found[key] for key in sorted(found)]


def _leads(route: Json, kind: str) -> Iterator[_Lead]:
    """Yield the Services of the route's own namespace that it leads to."""
    space = _space(route)
    spec = route.get("spec") or {}
    rules = spec.get("http" if kind == "VirtualService" else "rules") or ()
    by_host: dict[str, tuple[str, list[Json], dict[str, int]]] = {}
    for rule in rules:
        for host, subset, weight in _destinations(rule, kind):
            full = resolve_host(host, space or "default")
            name, _, rest = full.partition(".")
            if not rest.startswith(f"{space or 'default'}.svc"):
                continue  # another namespace's, or none of the cluster
            _, https, subsets = by_host.setdefault(full, (host, [], {}))
            if rule not in https:
                https.append(rule)
            subsets[subset] = subsets.get(subset, 0) + weight
    for full, (host, https, subsets) in by_host.items():
        name = full.partition(".")[0]
        if not name.endswith("-canary"):
            yield _Lead(route, kind, host, name, tuple(https), max(subsets, key=lambda key: subsets[key]))


def _destinations(rule: Json, kind: str) -> Iterator[tuple[str, str, int]]:
    """Yield host, subset and weight of each destination."""
    if kind == "VirtualService":
        for item in rule.get("route") or ():
            destination = item.get("destination") or {}
            if destination.get("host"):
                yield str(destination["host"]), str(destination.get("subset") or ""), int(item.get("weight") or 1)
        return
    for item in rule.get("backendRefs") or ():
        if item.get("kind", "Service") == "Service" and not item.get("namespace"):
            yield str(item["name"]), "", int(item.get("weight") or 1)


def _candidate(known: _Objects, lead: _Lead) -> Candidate | None:
    space = _space(lead.route)
    service = next((item for item in known.of("Service", space) if _name(item) == lead.service), None)
    deployments = _deployments(known, space, lead.service, service)
    if not deployments:
        return None
    label, value, stable = _sides(known, space, lead)
    if len(deployments) > 1:
        deployments = [item for item in deployments if _labels(item).get(label) == value] or deployments
    named = [item for item in deployments if _name(item) == lead.service] or deployments
    chosen = named[0] if len(named) == 1 else None
    https, choices, todo = _https(lead)
    container, containers = _container(chosen, lead.service) if chosen else ("", ())
    if chosen is not None and label not in _labels(chosen):
        todo += (f"add `{label}: {value}` to spec.template.metadata.labels of Deployment {_name(chosen)}",)
    spaces = [_space(item) for item in (lead.route, service or {}, *deployments)]
    return Candidate(
        name=lead.service,
        namespace=next((text for text in spaces if text), ""),
        kind=lead.kind,
        route=_name(lead.route),
        http=https,
        http_choices=choices,
        workload=_name(chosen) if chosen is not None else "",
        workload_choices=() if chosen is not None else tuple(_name(item) for item in named),
        container=container,
        container_choices=containers,
        label=label,
        stable=stable,
        host="" if lead.host.partition(".")[0] == lead.service else lead.host,
        image=_image(chosen, container or lead.service) if chosen is not None else "",
        todo=todo,
    )


def _deployments(known: _Objects, space: str, name: str, service: Json | None) -> list[Json]:
    """Return the Deployments that the Service selects; without a Service in sight the one of its name."""
    found = [item for item in known.of("Deployment", space) if not _name(item).endswith("-canary")]
    if service is None:
        return [item for item in found if _name(item) == name]
    selector = (service.get("spec") or {}).get("selector") or {}
    return [item for item in found if selector and selector.items() <= _labels(item).items()]


def _sides(known: _Objects, space: str, lead: _Lead) -> tuple[str, str, str]:
    """Return label, its value for stable, and the stable subset's name, as the DestinationRule has them."""
    full = resolve_host(lead.host, space or "default")
    for rule in known.of("DestinationRule", space):
        spec = rule.get("spec") or {}
        subsets: Sequence[Json] = spec.get("subsets") or ()
        if resolve_host(str(spec.get("host", "")), space or "default") != full or not subsets:
            continue
        only = str(subsets[0].get("name")) if len(subsets) == 1 else ""
        wanted = lead.subset or only or "stable"
        for subset in subsets:
            labels = subset.get("labels") or {}
            if subset.get("name") == wanted and labels:
                label = "version" if "version" in labels else next(iter(labels))
                return label, str(labels[label]), wanted
    return "version", lead.subset or "stable", lead.subset or "stable"


def _https(lead: _Lead) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the HTTP routes to move, those to choose from, and what is to be done first."""
    if len(lead.https) == 1:
        return (), (), ()
    named = tuple(str(item["name"]) for item in lead.https if item.get("name"))
    # What has no match takes everybody who is left: the users. Routes for testers and the like come before it.
    open_to_all = tuple(str(item["name"]) for item in lead.https if item.get("name") and not _matches(item, lead.kind))
    todo: tuple[str, ...] = ()
    if len(named) < len(lead.https):
        todo = (f"give every HTTP route of {lead.kind} {_name(lead.route)} that leads to {lead.service} a name",)
    return open_to_all or named, named, todo


def _matches(rule: Json, kind: str) -> bool:
    if kind == "VirtualService":
        return bool(rule.get("match"))
    everything = {"path": {"type": "PathPrefix", "value": "/"}}  # what the API server writes where nothing was said
    return any(item and item != everything for item in rule.get("matches") or ())


def _container(deployment: Json, service: str) -> tuple[str, tuple[str, ...]]:
    names = [str(item.get("name")) for item in _containers(deployment) if item.get("name") != _SIDECAR]
    if len(names) < 2 or service in names or _name(deployment) in names:
        return "", ()
    return "", tuple(names)


def _image(deployment: Json, container: str) -> str:
    own = [item for item in _containers(deployment) if item.get("name") != _SIDECAR]
    wanted = {container, _name(deployment)}
    chosen = next((item for item in own if item.get("name") in wanted), own[0] if own else {})
    image = str(chosen.get("image") or "").partition("@")[0]
    head, slash, tail = image.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"


def _containers(deployment: Json) -> Sequence[Json]:
    template = (deployment.get("spec") or {}).get("template") or {}
    found: Sequence[Json] = (template.get("spec") or {}).get("containers") or ()
    return found


def _labels(deployment: Json) -> dict[str, str]:
    template = (deployment.get("spec") or {}).get("template") or {}
    labels: dict[str, str] = (template.get("metadata") or {}).get("labels") or {}
    return labels


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name") or "")


def _space(item: Json) -> str:
    return str((item.get("metadata") or {}).get("namespace") or "")
