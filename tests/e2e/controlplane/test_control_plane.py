"""The starter: users with and without rights, tokens of service accounts, CRDs, a restart, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitlab_mesh.sandbox.processes import Child
from tests.e2e.controlplane.control_plane import PATIENCE, ControlPlane, wait_until
from tests.e2e.controlplane.programs import Programs

SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "starter"}}


def test_is_the_version_that_was_asked_for(control_plane: ControlPlane) -> None:
    assert control_plane.json("GET", "/version")["gitVersion"] == "v1.36.3"


def test_a_user_may_what_a_role_says_and_nothing_else(control_plane: ControlPlane) -> None:
    control_plane.apply(SPACE)
    control_plane.kubectl("create", "role", "reader", "-n", "starter", "--verb=get,list", "--resource=pods")
    control_plane.kubectl("create", "rolebinding", "reader", "-n", "starter", "--role=reader", "--user=viewer")
    path = "/api/v1/namespaces/starter/pods"
    # The authorizer learns of a Role by its own watch, a moment later.
    wait_until("the Role to be in force", lambda: control_plane.request("GET", path, user="viewer").ok)
    assert control_plane.request("GET", path, user="stranger").status_code == 403
    with pytest.raises(subprocess.CalledProcessError, match="exit status 1") as caught:
        control_plane.kubectl("get", "services", "-n", "starter", user="viewer")
    assert "forbidden" in caught.value.stderr


def test_serves_the_objects_of_istio_and_the_gateway_api(control_plane: ControlPlane) -> None:
    control_plane.apply(SPACE)
    control_plane.apply({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "starter"},
        "spec": {"hosts": ["shop"], "http": [{"route": [{"destination": {"host": "shop"}}]}]},
    })  # fmt: skip
    found = control_plane.kubectl("get", "virtualservices,httproutes", "-n", "starter", "-o", "name")
    assert found.split() == ["virtualservice.networking.istio.io/shop"]


def test_what_was_stored_outlives_the_api_server(control_plane: ControlPlane) -> None:
    control_plane.apply(SPACE)
    control_plane.restart_apiserver()
    assert control_plane.json("GET", "/api/v1/namespaces/starter")["metadata"]["name"] == "starter"


@pytest.fixture(scope="module")
def with_controllers(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(programs, tmp_path_factory.mktemp("controllers") / "cluster") as plane:
        plane.start().start_controllers()
        yield plane


def test_the_deployment_controller_makes_pods_that_become_ready(with_controllers: ControlPlane) -> None:
    with_controllers.kubectl("create", "deployment", "web", "--image=registry.example/web:1", "--replicas=2")
    try:
        with_controllers.kubectl("rollout", "status", "deployment/web", f"--timeout={PATIENCE:g}s")
    except subprocess.CalledProcessError as error:
        # Many programs have a part in it; the events say whose is missing.
        error.add_note(with_controllers.kubectl("get", "nodes,serviceaccounts,pods,events", "-o", "wide"))
        raise
    pods = with_controllers.json("GET", "/api/v1/namespaces/default/pods?labelSelector=app%3Dweb")["items"]
    assert len(pods) == 2
    assert all(pod["status"]["podIP"].startswith("10.244.") for pod in pods)


def test_a_service_account_has_a_token_of_its_own(with_controllers: ControlPlane) -> None:
    with_controllers.kubectl("create", "serviceaccount", "robot")
    kubeconfig = with_controllers.account_kubeconfig("default", "robot")
    who = with_controllers.kubectl("--kubeconfig", str(kubeconfig), "auth", "whoami")
    assert "system:serviceaccount:default:robot" in who


STARTER = """
import pathlib, sys, time
from tests.e2e.controlplane.control_plane import ControlPlane
from tests.e2e.controlplane.programs import find_programs
plane = ControlPlane(find_programs(), pathlib.Path(sys.argv[1])).start()
print(*[child.pid for child in plane.processes.running], flush=True)
time.sleep(60)
"""


def test_a_killed_test_run_leaves_no_process(programs: Programs, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", STARTER, str(tmp_path / "cluster")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pids = [int(text) for text in starter.stdout.readline().split()]
        starter.kill()
    assert len(pids) == 2
    wait_until("the end of them all", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_stop_leaves_no_process(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> None:
    plane = ControlPlane(programs, tmp_path_factory.mktemp("short") / "cluster")
    with plane:
        plane.start()
        children: list[Child] = plane.processes.running
        assert len(children) == 2
    assert plane.processes.running == []
    assert all(child.returncode is not None for child in children)
