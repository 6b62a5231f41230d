"""The mesh follows objects and pods without losing a request, and survives what goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.errors import GitlabMeshError, ObjectMissingError, TransientError
from gitlab_mesh.sandbox.envoy.mesh import Mesh
from gitlab_mesh.sandbox.envoy.model import UntranslatableError, XdsRejectedError
from gitlab_mesh.sandbox.envoy.ports import ReservedPorts
from gitlab_mesh.sandbox.envoy.proxy import EnvoyProxy
from gitlab_mesh.sandbox.envoy.translate import translate
from gitlab_mesh.sandbox.processes import Processes

pytestmark = pytest.mark.sandbox


class Load:
    """Requests one after another on some kept-alive connections, until told to stop."""

    def __init__(self, world: Any, connections: int = 4) -> None:
        self.seen: Counter[tuple[int, str]] = Counter()
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(world.client(),)) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def _run(self, client: Any) -> None:
        while not self._stop.is_set():
            try:
                answer = client.get()
                self.seen[answer.status, answer.headers.get("x-app", "")] += 1
            except OSError as error:
                self.errors.append(repr(error))
                return

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def clusters(world: Any) -> set[str]:
    lines = world.mesh.proxy.admin.get("/clusters").splitlines()
    return {line.split("::")[0] for line in lines}


def test_weight_changes_under_load_lose_nothing(world, make) -> None:
    load = Load(world)
    for step in range(100):
        world.put(make.weights(("v1", 100 - step), ("v2", step), version=str(step + 10)))
        world.settle()
        assert world.mesh.accepted_resource_version("VirtualService", "shop", "shop") == str(step + 10)
    load.stop()
    assert load.errors == []
    assert {status for status, _ in load.seen} == {200}
    assert load.seen[200, "v2"] > 0


def test_pods_and_subsets_come_and_go_under_load(world, make) -> None:
    load = Load(world)
    for turn in range(8):
        name = f"shop-v3-{turn}"
        world.pods.append(make.pod("v3", name=name, app_port=world.upstreams.start(f"v3-{turn}")))
        world.put(make.rule("v1", "v2", "v3"))
        world.settle()
        world.put(make.weights(("v1", 50), ("v3", 50)))
        world.settle()
        world.put(make.weights(("v1", 100), ("v3", 0)))
        world.settle()
        world.pods.pop()
        world.put(make.rule("v1", "v2"))
        world.settle()
        assert world.mesh.inbound_port("shop", name) is None
    load.stop()
    assert load.errors == []
    assert {status for status, _ in load.seen} == {200}


def test_a_request_in_flight_survives_the_removal_of_its_pod(world, make, wait_until) -> None:
    world.put(make.weights(("v1", 0), ("v2", 100)))
    world.settle()
    answers: list[int] = []
    client = world.client()
    held = threading.Thread(target=lambda: answers.append(client.get("/hold").status))
    held.start()
    world.upstreams.held.acquire(timeout=10)
    key = next(name for name in clusters(world) if name.startswith("inbound|shop/shop-v2-0"))
    assert world.mesh.active_requests("shop", "shop-v2-0") == 1
    world.put(make.weights(("v1", 100), ("v2", 0)))
    del world.pods[1]
    world.put(make.rule("v1"))
    world.settle()
    assert world.mesh.proxy.active_requests(key) == 1
    world.upstreams.release()
    held.join(10)
    assert answers == [200]
    wait_until(lambda: key not in clusters(world))  # idle now, so it is taken away
    assert key not in world.mesh.proxy.admin.get("/listeners")


def test_what_cannot_be_translated_keeps_the_last_good_configuration(world, make) -> None:
    bad = make.route([{"route": [make.to("v2")], "corsPolicy": {}}])
    world.put(bad)
    with pytest.raises(UntranslatableError, match=r"spec.http\[0\].corsPolicy"):
        world.settle()
    assert world.client().get().pod == "v1"
    assert [type(one) for one in world.problems] == [UntranslatableError]
    world.put(make.route([{"route": [make.to("v2")]}]))
    world.settle()
    assert world.mesh.problem is None
    assert world.client().get().pod == "v2"


@pytest.mark.parametrize("fault", [{"corsPolicy": {}}, {"match": [{"uri": {"regex": "(("}}]}])
def test_pods_are_followed_although_an_object_is_at_fault(world, make, fault: dict[str, Any]) -> None:
    world.put(make.route([{"route": [make.to("v2")], **fault}]))
    world.pods[0] = make.pod("v1", name="shop-v1-1", app_port=world.upstreams.start("v1-new"))
    world.mesh.pods_changed()
    assert world.client().get().pod == "v1-new"
    with pytest.raises(ObjectMissingError):
        world.mesh.telemetry.render("shop", "shop-v1-0")
    with pytest.raises(GitlabMeshError):
        world.settle()


def test_what_envoy_refuses_keeps_serving_also_after_a_restart(world, make) -> None:
    world.put(make.route([{"match": [{"uri": {"regex": "(("}}], "route": [make.to("v2")]}], version="7"))
    with pytest.raises(XdsRejectedError, match=r"missing \)"):
        world.settle()
    assert world.client().get().pod == "v1"
    assert world.mesh.accepted_resource_version("VirtualService", "shop", "shop") == "1"
    os.kill(world.mesh.proxy.child.pid, signal.SIGKILL)
    world.mesh.proxy.child.wait(10)
    world.mesh.restart_proxy()
    assert world.client().get().pod == "v1"
    world.put(make.weights(("v1", 0), ("v2", 1), version="8"))
    world.settle()
    assert world.client().get().pod == "v2"
    assert world.mesh.accepted_resource_version("VirtualService", "shop", "shop") == "8"


def test_versions_say_what_is_in_force(make, mesh_settings, tmp_path) -> None:
    (tmp_path / "envoy").mkdir()
    with Processes(tmp_path) as processes:
        proxy = EnvoyProxy(tmp_path / "envoy", processes)
        settings = replace(mesh_settings, gateway_port=proxy.gateway_port, mesh_port=proxy.mesh_port)
        try:
            proxy.start(translate([make.service()], [], settings).config, "1")
            assert proxy.accepted_version() == "1"
            proxy.apply(translate([make.service(), make.rule("v1")], [], settings).config, "2")
            proxy.wait_accepted("2")
            assert proxy.accepted_version() == "2"
            with pytest.raises(TransientError, match="was replaced by 2"):
                proxy.wait_accepted("1")
            bad = make.route([{"match": [{"uri": {"regex": "(("}}], "route": [make.to()]}])
            with pytest.raises(XdsRejectedError):
                proxy.apply(translate([make.service(), bad], [], settings).config, "3")
            assert proxy.accepted_version() == "2"
            proxy.apply(translate([], [], settings).config, "4")
            assert proxy.collect() is False
            assert not list((tmp_path / "envoy").glob("eds.*"))
            proxy.restart()
            assert proxy.accepted_version() == "4"
        finally:
            proxy.stop()


def test_a_killed_envoy_comes_back_on_the_same_ports_with_what_was_missed(world, make) -> None:
    ports = (world.mesh.gateway_port, world.mesh.mesh_port, world.mesh.inbound_port("shop", "shop-v1-0"))
    os.kill(world.mesh.proxy.child.pid, signal.SIGKILL)
    world.mesh.proxy.child.wait(10)
    world.put(make.weights(("v1", 0), ("v2", 1)))
    with pytest.raises(TransientError, match="Envoy does not run"):
        world.settle()
    with pytest.raises(OSError, match="refused"):
        world.client().get()
    world.mesh.pods_changed()  # no error: pods go on while Envoy is down
    assert world.mesh.active_requests("shop", "shop-v1-0") == 0
    world.mesh.restart_proxy()
    assert world.client().get().pod == "v2"
    assert (world.mesh.gateway_port, world.mesh.mesh_port, world.mesh.inbound_port("shop", "shop-v1-0")) == ports
    world.settle()


def test_an_untranslatable_object_at_the_start_is_a_problem_not_an_end(make, upstreams, tmp_path) -> None:
    objects = [make.service(), make.body("VirtualService", "x", {"hosts": ["x"], "tcp": []})]
    (tmp_path / "envoy").mkdir()
    with Processes(tmp_path) as processes:
        mesh = Mesh(lambda: objects, list, tmp_path / "envoy", processes)
        mesh.start()
        try:
            assert isinstance(mesh.problem, UntranslatableError)
            objects.pop()
            mesh.wait(mesh.notify())
            assert mesh.problem is None
        finally:
            mesh.stop()
    assert not list(processes.running)


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({"kind": "Service", "metadata": {"name": "odd"}, "spec": {"ports": [{}]}}, "cannot take in a change"),
        (None, "cannot list"),
    ],
)
def test_neither_a_broken_object_nor_a_broken_lister_ends_the_mesh(world, odd: Any, why: str) -> None:
    world.objects.append(odd)
    with pytest.raises(GitlabMeshError, match=why):
        world.settle()
    world.objects.pop()
    world.settle()
    assert world.client().get().status == 200


def test_several_meshes_side_by_side(world, make, tmp_path) -> None:
    (tmp_path / "second").mkdir()
    port = world.upstreams.start("other")
    with Processes(tmp_path) as processes:
        mesh = Mesh(lambda: [make.service()], lambda: [make.pod(app_port=port)], tmp_path / "second", processes)
        mesh.start()
        try:
            assert world.client(mesh.mesh_port).get().pod == "other"
            assert world.client().get().pod == "v1"
        finally:
            mesh.stop()


def test_a_reserved_port_is_nobody_elses() -> None:
    ports = ReservedPorts()
    try:
        number = ports.port("a")
        assert ports.port("a") == number
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", number))
        ports.release("a")
        with socket.socket() as other:
            other.bind(("127.0.0.1", number))
    finally:
        ports.close()
