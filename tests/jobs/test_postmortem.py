"""A canary that never became ready leaves its events and the end of its log in report and console."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.core.report.model import TextSection
from gitlab_mesh.errors import AccessDeniedError, TransientError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from tests.jobs.releases import assert_nothing_left, release, service, user_objects


def world(log: bytes = b"") -> ShopModel:
    model = ShopModel()
    model.cluster.server.pod_logs = lambda namespace, pod, container: log
    return model


def texts(result: Any) -> list[TextSection]:
    found = (section for section in result.report.sections if isinstance(section, TextSection))
    return [section for section in found if section.title.startswith("Why the canary was not ready")]


def tell(model: ShopModel, message: str) -> None:
    """An event about the canary's Deployment, as its controller writes it."""
    about = {"kind": "Deployment", "name": "shop-canary", "namespace": "shop"}
    model.cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e1", "namespace": "shop"},
            "involvedObject": about,
            "type": "Warning",
            "reason": "FailedCreate",
            "message": message,
        }
    )


def test_a_crash_is_explained_by_its_last_words() -> None:
    model = world(b"".join(b"line %d\n" % number for number in range(80)))
    tell(model, "exceeded quota")
    before = user_objects(model)
    ports = ModelPorts(model, service())
    result = release(ports, "crash")
    assert result.exit_code == 10
    [*sections] = texts(result)
    assert 1 <= len(sections) <= 2
    text = sections[0].text
    assert "container shop: CrashLoopBackOff: back-off restarting; 3 restarts" in text
    assert "Warning FailedCreate: exceeded quota" in text
    assert "last lines of container shop:" in text
    assert "line 29" not in text
    assert text.endswith("line 79")
    assert sections[0].folded
    assert sections[0].preformatted
    assert "  line 79" in ports.console.text
    assert_nothing_left(model, before)


def test_a_probe_that_never_passes_is_told() -> None:
    result = release(ModelPorts(world(b"listening\n"), service()), "never-ready")
    assert "its readiness probe does not pass" in texts(result)[0].text
    assert texts(result)[0].text.endswith("listening")


@pytest.mark.parametrize("tag", ["bad", "1.5.0"])
def test_a_canary_that_was_ready_is_not_asked(tag: str) -> None:
    model = world()
    asked: list[str] = []
    model.cluster.server.pod_logs = lambda namespace, pod, container: asked.append(pod) or b""
    assert texts(release(ModelPorts(model, service()), tag)) == []
    assert asked == []


class Refuse:
    """Reads of events and logs fail."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def before(self, call: Any) -> None:
        if call.kind == "Pod/log" or (call.kind, call.verb) == ("Event", "list"):
            raise self.error("no")

    def after(self, call: Any) -> None:
        return


@pytest.mark.parametrize("error", [AccessDeniedError, TransientError])
def test_what_cannot_be_read_changes_nothing(error: type[Exception]) -> None:
    model = world()
    before = user_objects(model)
    ports = ModelPorts(model, service(), cluster=model.cluster.as_actor("gitlab-mesh", fault=Refuse(error)))
    result = release(ports, "crash")
    assert result.exit_code == 10
    assert "CrashLoopBackOff" in texts(result)[0].text
    assert "no log of container shop: no" in texts(result)[0].text
    assert "no events are told: no" in ports.console.text
    assert_nothing_left(model, before)


def test_events_of_no_form_that_we_know_change_nothing() -> None:
    model = world(b"x\n")
    before = user_objects(model)
    tell(model, "fine")
    ports = ModelPorts(model, service())
    listed = ports.cluster.list

    def spoil(kind: str, namespace: str, *, label_selector: str = "") -> list[Any]:
        found = listed(kind, namespace, label_selector=label_selector)
        return [{**item, "count": "many"} for item in found] if kind == "Event" else found

    ports.cluster.list = spoil  # type: ignore[method-assign]
    result = release(ports, "crash")
    assert result.exit_code == 10
    assert texts(result) == []
    assert "why the canary is not ready is not known: ValueError" in ports.console.text
    assert_nothing_left(model, before)


def test_it_is_asked_when_no_weight_is_written_any_more() -> None:
    model = world(b"x\n")
    shares: list[float] = []
    model.cluster.server.pod_logs = lambda namespace, pod, container: shares.append(model._share()) or b"x\n"
    release(ModelPorts(model, replace(service(), smoke=())), "crash")
    assert shares
    assert set(shares) == {0.0}
