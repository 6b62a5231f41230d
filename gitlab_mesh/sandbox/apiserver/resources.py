"""What the server serves: every kind of ``core.kinds`` with its versions, subresources and habits."""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.core.kinds import KINDS, Kind

__all__ = ["RESOURCES", "Resource", "find_resource", "resource_of_kind"]


@dataclass(frozen=True, slots=True)
class Resource:
    """One stored kind.

    Attributes:
        versions: Served versions, the preferred one first; objects are stored in the first one.
        custom: Defined by a CRD on a real server: no strategic merge, lists are atomic for field ownership.
        status: Has the ``status`` subresource, so that writes of the object leave the status alone.
        scale: Has the ``scale`` subresource.
        counts_generation: ``metadata.generation`` counts changes of the wanted state.
        returns_deleted: DELETE answers with the object, not with a Status.
        review: A kind that is asked and never stored (SelfSubjectAccessReview).
        aliases: Other API groups under which the same objects are served ("events.k8s.io").
    """

    kind: str
    group: str
    versions: tuple[str, ...]
    plural: str
    namespaced: bool = True
    custom: bool = False
    status: bool = False
    scale: bool = False
    counts_generation: bool = False
    returns_deleted: bool = False
    review: bool = False
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """Plural with group, as the server's messages have it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """Lower-case kind."""
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        """``apiVersion`` in which objects are stored."""
        return f"{self.group}/{self.versions[0]}" if self.group else self.versions[0]


_CUSTOM_GROUPS = {
    "networking.istio.io": ("v1", "v1beta1", "v1alpha3"),
    "security.istio.io": ("v1", "v1beta1"),
    "gateway.networking.k8s.io": ("v1", "v1beta1"),
}
_STATUS = {
    "Namespace", "Pod", "Service", "Deployment", "ReplicaSet", "HorizontalPodAutoscaler", "PodDisruptionBudget",
    "NetworkPolicy",
}  # fmt: skip
_GENERATION = {"Deployment", "ReplicaSet", "Pod", "PodDisruptionBudget", "NetworkPolicy"}
_SCALE = {"Deployment", "ReplicaSet"}
_RETURNS_DELETED = {"Pod", "Service", "ServiceAccount"}
_SHORT = {
    "Namespace": ("ns",), "Pod": ("po",), "Service": ("svc",), "ServiceAccount": ("sa",), "ConfigMap": ("cm",),
    "Event": ("ev",), "Deployment": ("deploy",), "ReplicaSet": ("rs",), "HorizontalPodAutoscaler": ("hpa",),
    "PodDisruptionBudget": ("pdb",), "NetworkPolicy": ("netpol",), "VirtualService": ("vs",),
    "DestinationRule": ("dr",), "Gateway": ("gw",), "AuthorizationPolicy": ("ap",), "PeerAuthentication": ("pa",),
}  # fmt: skip
_ALL = {"Pod", "Service", "Deployment", "ReplicaSet", "HorizontalPodAutoscaler"}


def _resource(kind: Kind) -> Resource:
    custom = kind.group in _CUSTOM_GROUPS
    categories: tuple[str, ...] = ("all",) if kind.name in _ALL else ()
    if kind.group.endswith("istio.io"):
        categories = ("istio-io", kind.group.replace(".", "-"))
    elif custom:
        categories = ("gateway-api",)
    return Resource(
        kind=kind.name,
        group=kind.group,
        versions=_CUSTOM_GROUPS.get(kind.group, (kind.version,)),
        plural=kind.plural,
        namespaced=kind.namespaced,
        custom=custom,
        status=custom or kind.name in _STATUS,
        scale=kind.name in _SCALE,
        counts_generation=custom or kind.name in _GENERATION,
        returns_deleted=kind.name in _RETURNS_DELETED,
        review=kind.name.endswith("Review"),
        short_names=_SHORT.get(kind.name, ()),
        categories=categories,
        aliases=("events.k8s.io",) if kind.name == "Event" else (),
    )


RESOURCES: tuple[Resource, ...] = (
    *(_resource(kind) for kind in KINDS.values()),
    Resource(
        "SelfSubjectRulesReview",
        "authorization.k8s.io",
        ("v1",),
        "selfsubjectrulesreviews",
        namespaced=False,
        review=True,
    ),
)

_BY_WORD = dict(zip(KINDS, RESOURCES, strict=False))
_BY_PATH = {
    (group, version, resource.plural): resource
    for resource in RESOURCES
    for group, versions in ((resource.group, resource.versions), *((alias, ("v1",)) for alias in resource.aliases))
    for version in versions
}


def find_resource(group: str, version: str, plural: str) -> Resource | None:
    """Return what is served at this place of the API."""
    return _BY_PATH.get((group, version, plural))


def resource_of_kind(kind: str) -> Resource:
    """Return the resource of a word of ``core.kinds``. Raises KeyError."""
    return _BY_WORD[kind]
