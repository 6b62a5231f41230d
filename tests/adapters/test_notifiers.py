"""Notifiers: the exact document that is sent, and that nothing they meet gets out but one line without the address."""

from __future__ import annotations

import json

import pytest
import requests
import responses

from gitlab_mesh.adapters.notifiers import NOTIFIERS
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.ports import Notifier

URL = "https://hooks.example/services/planted-secret"
REPORT = Report(
    job="canary",
    service="shop",
    namespace="shop",
    outcome=Outcome.REJECTED,
    headline="shop 1.5.0 was rejected <!channel>",
    reason="5 % of requests failed & rising",
    next_step="look at `kubectl logs deploy/shop-canary`",
    exit_code=10,
)
VARIABLES = {"webhook": "GITLAB_MESH_WEBHOOK_URL", "slack": "GITLAB_MESH_SLACK_URL"}


def build(name: str, url: str = URL) -> Notifier:
    [plugin] = [plugin for plugin in NOTIFIERS if plugin.name == name]
    notifier = plugin.build({VARIABLES[name]: url, "CI_JOB_URL": "https://gitlab.example/j/1"})
    assert notifier is not None
    return notifier


def test_each_plugin_states_its_api_and_is_off_without_its_variable() -> None:
    assert {plugin.name for plugin in NOTIFIERS} == set(VARIABLES)
    assert all(plugin.api == 1 and plugin.build({}) is None for plugin in NOTIFIERS)


@responses.activate
def test_the_generic_document() -> None:
    responses.post(URL, status=204)
    assert build("webhook").notify(REPORT) == ""
    sent = json.loads(responses.calls[0].request.body or b"")
    assert sent == {
        "job": "canary",
        "service": "shop",
        "namespace": "shop",
        "outcome": "rejected",
        "exit_code": 10,
        "headline": REPORT.headline,
        "reason": REPORT.reason,
        "next_step": REPORT.next_step,
        "started": "",
        "duration_seconds": 0.0,
        "job_url": "https://gitlab.example/j/1",
    }


@responses.activate
def test_slack_gets_text_in_which_nobody_can_mention_everybody() -> None:
    responses.post(URL, status=200)
    assert build("slack").notify(REPORT) == ""
    text = json.loads(responses.calls[0].request.body or b"")["text"]
    assert "&lt;!channel&gt;" in text
    assert "failed &amp; rising" in text
    assert "`kubectl logs deploy/shop-canary`" in text
    assert "<https://gitlab.example/j/1|Job log> · exit code 10" in text


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    "fault", [404, 500, 302, requests.ConnectionError(URL), requests.Timeout(URL), ValueError(URL)], ids=repr
)
@responses.activate
def test_no_fault_raises_or_tells_the_address(name: str, fault: int | Exception) -> None:
    if isinstance(fault, int):
        responses.post(URL, status=fault, headers={"Location": "https://evil.example"})
    else:
        responses.post(URL, body=fault)
    answer = build(name).notify(REPORT)
    assert f"notifier {name} failed" in answer
    assert "planted" not in answer
    assert "\n" not in answer


def test_an_address_that_is_no_web_address_and_representations_hide_it() -> None:
    notifier = build("webhook", "file:///etc/planted")
    assert "not an http(s) URL" in notifier.notify(REPORT)
    assert "planted" not in repr(notifier)
