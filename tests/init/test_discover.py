"""What `init` finds in manifests: services, what is ambiguous about them, and what is left to do."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gitlab_mesh.config.load import load_config
from gitlab_mesh.sandbox.shop import shop_objects
from gitlab_mesh.scaffold import Candidate, Source, discover, render_mesh_yaml, render_pipeline

Json = dict[str, Any]


def deployment(name: str = "shop", labels: Json | None = None, *containers: str, space: str = "prod") -> Json:
    labels = {"app": name, "version": "stable"} if labels is None else labels
    images = [
        {"name": item, "image": f"registry.example:5000/team/{item}:1.2@sha256:{'0' * 64}"} for item in containers
    ]
    return {
        "kind": "Deployment",
        "metadata": {"name": name, **({"namespace": space} if space else {})},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": images or [{"name": name}]}}},
    }


def service(name: str = "shop", selector: Json | None = None, *, space: str = "prod") -> Json:
    metadata = {"name": name, **({"namespace": space} if space else {})}
    return {"kind": "Service", "metadata": metadata, "spec": {"selector": selector or {"app": name}}}


def route(*https: Json, name: str = "shop", space: str = "prod") -> Json:
    metadata = {"name": name, **({"namespace": space} if space else {})}
    return {"kind": "VirtualService", "metadata": metadata, "spec": {"hosts": ["shop.example"], "http": list(https)}}


def to(host: str, name: str = "", subset: str = "", **more: Any) -> Json:
    destination = {"host": host, **({"subset": subset} if subset else {})}
    return {**({"name": name} if name else {}), "route": [{"destination": destination}], **more}


def only(*objects: Json) -> Candidate:
    [found] = discover(objects)
    return found


def test_the_sandboxs_shop() -> None:
    found = only(*shop_objects("registry.example/shop:1.4.2", 2))
    assert (found.name, found.namespace, found.route, found.workload) == ("shop", "shop", "shop", "shop")
    assert found.http == ("primary",), "the route without a match is the users'"
    assert found.http_choices == ("internal", "primary")
    assert (found.label, found.stable, found.image, found.todo) == ("version", "stable", "registry.example/shop", ())


def test_the_image_keeps_registry_and_port_and_loses_tag_and_digest() -> None:
    found = only(deployment("shop", None, "shop"), service(), route(to("shop")))
    assert found.image == "registry.example:5000/team/shop"


@pytest.mark.parametrize("host", ["shop", "shop.prod", "shop.prod.svc", "shop.prod.svc.cluster.local"])
def test_every_form_of_the_host(host: str) -> None:
    found = only(deployment(), service(), route(to(host)))
    assert (found.name, found.host) == ("shop", "")


@pytest.mark.parametrize(
    "objects",
    [
        [deployment(), service()],
        [service(), route(to("shop"))],
        [deployment(), route(to("pay.example.com"))],
        [deployment(space="prod"), service(space="prod"), route(to("shop"), space="other")],
        [deployment(), service(), route(to("shop.other.svc.cluster.local"))],
        [{"kind": "ConfigMap"}, {"nonsense": 1}],
    ],
    ids=["no route", "no Deployment", "outside", "another namespace", "leads to another namespace", "nothing"],
)
def test_what_cannot_be_released_is_no_candidate(objects: list[Json]) -> None:
    assert discover(objects) == []


def test_a_service_that_selects_several_deployments_is_not_guessed() -> None:
    found = only(
        deployment("blue", {"app": "shop", "version": "stable"}),
        deployment("green", {"app": "shop", "version": "stable"}),
        service(), route(to("shop")),
    )  # fmt: skip
    assert found.workload == ""
    assert found.workload_choices == ("blue", "green")


def test_the_stable_subset_tells_which_deployment_is_meant() -> None:
    rule = {
        "kind": "DestinationRule",
        "metadata": {"name": "shop", "namespace": "prod"},
        "spec": {"host": "shop", "subsets": [{"name": "live", "labels": {"track": "main"}}]},
    }
    found = only(
        deployment("shop-main", {"app": "shop", "track": "main"}),
        deployment("shop-next", {"app": "shop", "track": "next"}),
        service(), rule, route(to("shop", subset="live")),
    )  # fmt: skip
    assert (found.workload, found.label, found.stable) == ("shop-main", "track", "live")
    assert "subsets: {label: track, stable: live}" in render_mesh_yaml([found])


def test_pods_without_the_label_are_a_task_for_a_person() -> None:
    found = only(deployment("shop", {"app": "shop"}), service(), route(to("shop")))
    assert found.todo == ("add `version: stable` to spec.template.metadata.labels of Deployment shop",)


def test_several_containers_are_chosen_by_name_or_not_at_all() -> None:
    assert only(deployment("shop", None, "shop", "logs"), service(), route(to("shop"))).container_choices == ()
    assert only(deployment("shop", None, "web", "istio-proxy"), service(), route(to("shop"))).container_choices == ()
    unclear = only(deployment("shop", None, "web", "logs"), service(), route(to("shop")))
    assert unclear.container_choices == ("web", "logs")


def test_routes_without_a_name_must_get_one() -> None:
    found = only(deployment(), service(), route(to("shop", "a", match=[{}]), to("shop")))
    assert found.todo == ("give every HTTP route of VirtualService shop that leads to shop a name",)


def test_an_http_route() -> None:
    gateway = {
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "prod"},
        "spec": {"rules": [{"backendRefs": [{"name": "shop", "port": 80}]}]},
    }
    found = only(deployment(), service(), gateway)
    assert found.kind == "HTTPRoute"
    assert "route: {httpRoute: shop}" in render_mesh_yaml([found])


def test_files_without_a_namespace() -> None:
    found = only(deployment(space=""), service(space=""), route(to("shop"), space=""))
    assert (found.name, found.namespace) == ("shop", "")


@pytest.mark.parametrize("space", ["prod", ""])
def test_what_is_applied_and_lies_in_a_file_is_one_object(space: str) -> None:
    live = [deployment(), service(), route(to("shop"))]
    files = [deployment(space=space), service(space=space), route(to("shop"), space=space)]
    found = only(*live, *files)
    assert (found.workload, found.namespace) == ("shop", "prod")


def test_a_canary_that_is_left_over_is_no_service_of_its_own() -> None:
    both = {"route": [{"destination": {"host": "shop"}, "weight": 90}, {"destination": {"host": "shop-canary"}}]}
    found = discover([deployment(), deployment("shop-canary"), service(), service("shop-canary"), route(both)])
    assert [item.name for item in found] == ["shop"]


STRANGE = Candidate(
    "shop",
    "on",
    "VirtualService",
    "v1.2",
    http=("a b", "no"),
    workload="web",
    container="app",
    label="app.kubernetes.io/x",
)


@pytest.mark.parametrize(
    "found", [only(*shop_objects("shop:1", 1)), STRANGE, Candidate("a", "b", "HTTPRoute", "c", workload="d")]
)
def test_the_written_file_is_valid_whatever_the_names(found: Candidate) -> None:
    loaded = load_config(render_mesh_yaml([found]))
    service = loaded.config.services[found.name]
    assert (service.namespace, service.route.http) == (found.namespace, found.http)
    assert service.stable_workload == found.workload
    assert service.subsets.label == found.label


def test_several_services_share_one_include_by_a_matrix() -> None:
    services = [
        Candidate(name, "shop", "VirtualService", name, workload=name, image=f"r.example/{name}") for name in "ab"
    ]
    text = render_pipeline(services, Source("platform/gitlab-mesh", "v1"), kube_context="$CI_PROJECT_PATH:prod")

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!reference", lambda loader, node: tuple(loader.construct_sequence(node)))  # type: ignore[no-untyped-call]
    parsed = yaml.load(text, Loader=Loader)
    assert parsed["include"] == [
        {"project": "platform/gitlab-mesh", "ref": "v1", "file": "ci-templates/.gitlab-ci-mesh.yml"}
    ]
    assert [row["GITLAB_MESH_SERVICE"] for row in parsed[".mesh-services"]["parallel"]["matrix"]] == ["a", "b"]
    assert parsed["mesh-rollback"]["parallel"] == (".mesh-services", "parallel")
    assert parsed["variables"] == {"GITLAB_MESH_KUBE_CONTEXT": "$CI_PROJECT_PATH:prod"}
