"""The unmodified kubectl against the server, over HTTPS and by its kubeconfig."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gitlab_mesh.sandbox.apiserver.http_server import HttpServer
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import VIEWER, config_map, deployment, pod, route, running

pytestmark = pytest.mark.tool("kubectl")

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kubectl(require_tool: Callable[[str], Path], kubeconfig: Path, tmp_path: Path) -> Kubectl:
    program = str(require_tool("kubectl"))

    def run(*arguments: str, fails: bool = False, config: Path = kubeconfig) -> subprocess.CompletedProcess[str]:
        command = [program, f"--kubeconfig={config}", f"--cache-dir={tmp_path / 'cache'}", *arguments]
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """A list of a Deployment, a VirtualService and a ConfigMap as a user has it."""
    path = tmp_path / "release.json"
    items = [deployment(), route(), config_map()]
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return path


def test_get_prints_columns_and_objects(kubectl: Kubectl, cluster: MemoryCluster) -> None:
    cluster.load([deployment(), route(), pod("shop-1"), config_map()])
    table = kubectl("get", "deploy,vs,po,cm,ns").stdout
    assert "deployment.apps/shop-v1" in table
    assert "0/2" in table
    assert '["shop"]' in table
    assert "Pending" in table
    body = json.loads(kubectl("get", "virtualservices.v1alpha3.networking.istio.io", "shop", "-o", "json").stdout)
    assert body["apiVersion"] == "networking.istio.io/v1alpha3"
    assert "hosts:\n  - shop" in kubectl("get", "vs", "shop", "-o", "yaml").stdout
    assert kubectl("get", "po", "-l", "app=other", "-o", "name").stdout == ""
    assert "not found" in kubectl("get", "vs", "nothing", fails=True).stderr


def test_create_apply_twice_and_delete(kubectl: Kubectl, manifests: Path, cluster: MemoryCluster) -> None:
    assert kubectl("create", "-f", str(manifests)).stdout.count(" created") == 3
    assert "AlreadyExists" in kubectl("create", "-f", str(manifests), fails=True).stderr
    assert kubectl("delete", "-f", str(manifests)).stdout.count(" deleted") == 3
    assert kubectl("apply", "-f", str(manifests)).stdout.count(" created") == 3
    assert kubectl("apply", "-f", str(manifests)).stdout.count(" unchanged") == 3
    manifests.write_text(manifests.read_text().replace("1.4.0", "1.5.0").replace('"weight": 100', '"weight": 90'))
    said = kubectl("apply", "-f", str(manifests)).stdout
    assert "deployment.apps/shop-v1 configured" in said
    assert "settings unchanged" in said
    live = cluster.get("Deployment", "shop", "shop-v1")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"].endswith("1.5.0")
    assert "kubectl" in live["metadata"]["managedFields"][0]["manager"]


def test_server_side_apply_and_dry_run(kubectl: Kubectl, manifests: Path, cluster: MemoryCluster) -> None:
    kubectl("apply", "--server-side", "--dry-run=server", "-f", str(manifests))
    assert cluster.list("VirtualService", "shop") == []
    kubectl("apply", "--server-side", "--field-manager=helm", "-f", str(manifests))
    weight = [{"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 80}]
    cluster.patch("VirtualService", "shop", "shop", weight)
    refused = kubectl("apply", "--server-side", "--field-manager=helm", "-f", str(manifests), fails=True)
    assert 'conflict with "gitlab-mesh"' in refused.stderr
    assert ".spec.http" in refused.stderr
    kubectl("apply", "--server-side", "--field-manager=helm", "--force-conflicts", "-f", str(manifests))
    assert cluster.get("VirtualService", "shop", "shop")["spec"]["http"][0]["route"][0]["weight"] == 100


def test_patches_of_all_types(kubectl: Kubectl, cluster: MemoryCluster) -> None:
    cluster.load([route(), deployment()])
    weight = "/spec/http/0/route/1/weight"
    test_and_set = json.dumps(
        [{"op": "test", "path": weight, "value": 0}, {"op": "replace", "path": weight, "value": 10}]
    )
    kubectl("patch", "vs", "shop", "--type=json", "-p", test_and_set)
    assert "request is invalid" in kubectl("patch", "vs", "shop", "--type=json", "-p", test_and_set, fails=True).stderr
    kubectl("patch", "vs", "shop", "--type=merge", "-p", '{"metadata":{"annotations":{"a":"b"}}}')
    refused = kubectl("patch", "vs", "shop", "-p", '{"spec":{"hosts":["x"]}}', fails=True)
    assert "application/strategic-merge-patch+json" in refused.stderr
    containers = '{"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"A","value":"1"}]}]}}}}'
    kubectl("patch", "deploy", "shop-v1", "-p", containers)
    [container] = cluster.get("Deployment", "shop", "shop-v1")["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("registry.example/shop:1.4.0", [{"name": "A", "value": "1"}])


def test_the_servers_refusals_reach_the_person(kubectl: Kubectl, cluster: MemoryCluster) -> None:
    cluster.load([route()])
    wrong = kubectl("patch", "vs", "shop", "--type=merge", "-p", '{"spec":{"hosts":"x"}}', fails=True)
    assert "spec.hosts in body must be of type array" in wrong.stderr
    negative = '{"spec":{"http":[{"route":[{"destination":{"host":"shop"},"weight":-1}]}]}}'
    assert "weight -1 < 0" in kubectl("patch", "vs", "shop", "--type=merge", "-p", negative, fails=True).stderr


def test_scale_labels_images(kubectl: Kubectl, cluster: MemoryCluster) -> None:
    cluster.load([deployment()])
    kubectl("scale", "deploy", "shop-v1", "--replicas=5")
    assert (
        "Expected replicas"
        in kubectl("scale", "deploy", "shop-v1", "--replicas=1", "--current-replicas=9", fails=True).stderr
    )
    kubectl("set", "image", "deploy/shop-v1", "app=registry.example/shop:2")
    kubectl("label", "deploy", "shop-v1", "team=checkout")
    live = cluster.get("Deployment", "shop", "shop-v1")
    assert live["spec"]["replicas"] == 5
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/shop:2"
    assert live["metadata"]["labels"]["team"] == "checkout"


def test_typed_commands_that_send_protobuf(kubectl: Kubectl, cluster: MemoryCluster) -> None:
    kubectl("create", "ns", "other")
    kubectl("create", "configmap", "c", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "sa", "deployer")
    kubectl("create", "deployment", "d", "--image=registry.example/x:1", "--replicas=2")
    kubectl("create", "service", "clusterip", "svc", "--tcp=80:8080")
    assert cluster.get("ConfigMap", "shop", "c")["data"] == {"a": "b"}
    assert cluster.get("Secret", "shop", "s")["data"] == {"a": "Yg=="}
    assert cluster.get("Deployment", "shop", "d")["spec"]["replicas"] == 2
    [port] = cluster.get("Service", "shop", "svc")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, 8080)
    assert cluster.get("ServiceAccount", "shop", "deployer")["kind"] == "ServiceAccount"
    kubectl("delete", "ns", "other")


def test_rights(kubectl: Kubectl, http: HttpServer, tmp_path: Path) -> None:
    assert kubectl("auth", "can-i", "patch", "vs").stdout == "yes\n"
    poor = tmp_path / "poor"
    poor.write_text(http.render_kubeconfig(VIEWER.token, namespace="shop"))
    assert kubectl("auth", "can-i", "get", "pods", config=poor).stdout == "yes\n"
    assert kubectl("auth", "can-i", "get", "pods", "--subresource=proxy", config=poor, fails=True).stdout == "no\n"
    assert "virtualservices" in kubectl("auth", "can-i", "--list", config=poor).stdout
    assert "Forbidden" in kubectl("get", "secrets", config=poor, fails=True).stderr
    nobody = tmp_path / "nobody"
    nobody.write_text(http.render_kubeconfig("unknown", namespace="shop"))
    assert "must be logged in" in kubectl("get", "pods", config=nobody, fails=True).stderr


def test_raw_paths_and_the_pod_proxy(kubectl: Kubectl, http: HttpServer, cluster: MemoryCluster) -> None:
    running(cluster, "shop-1")
    http.api.pod_proxy = lambda namespace, name, port, path: (200, {}, f"{name} {port} {path}".encode())
    http.api.pod_logs = lambda namespace, name, container: b"one\ntwo\n"
    raw = kubectl("get", "--raw", "/api/v1/namespaces/shop/pods/shop-1:15020/proxy/stats/prometheus?filter=a")
    assert raw.stdout == "shop-1 15020 /stats/prometheus?filter=a"
    assert kubectl("logs", "shop-1", "--tail=1").stdout == "two\n"
    assert kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_rollout_status_and_wait(kubectl: Kubectl, cluster: MemoryCluster) -> None:
    created = cluster.create(deployment())
    conditions = [{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True"}]
    counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), 2)
    cluster.update_status({**created, "status": {**counts, "observedGeneration": 1, "conditions": conditions}})
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/shop-v1", "--timeout=10s").stdout
    assert "condition met" in kubectl("wait", "--for=condition=Available", "deploy/shop-v1", "--timeout=10s").stdout
    kubectl("describe", "deploy", "shop-v1")
    kubectl("api-resources")
    kubectl("version")
