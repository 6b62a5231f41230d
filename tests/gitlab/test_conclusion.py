"""What a run leaves in GitLab, on the model of the world: deployment, label, thread, and the counts of a plan."""

from __future__ import annotations

import json

from gitlab_mesh.core.report.history import parse_state
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.report.review import ThreadChange
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from tests.jobs.releases import release, service


def run(tag: str) -> ModelPorts:
    ports = ModelPorts(ShopModel(), service())
    release(ports, tag)
    return ports


def test_a_good_release_from_running_to_promoted() -> None:
    ports = run("good")
    *before, end = ports.deployments.states
    assert end == ("production", "success")
    # On a simulated clock the whole run may be over before the first live state is sent.
    assert set(before) <= {("production", "running")}
    [(key, review)] = ports.notes.reviews
    assert (key, review.outcome, review.thread) == ("shop", Outcome.PROMOTED, ThreadChange.RESOLVE)
    state = parse_state(ports.notes.bodies["shop"])
    assert state is not None
    assert (state.job, state.attempt.outcome, state.history) == ("canary", Outcome.PROMOTED, ())
    assert ports.notes.bodies["shop"].startswith("### ✅ shop good was promoted after")


def test_a_bad_release_is_a_failed_deployment_and_opens_the_thread() -> None:
    ports = run("bad")
    assert ports.deployments.states[-1] == ("production", "failed")
    [(_, review)] = ports.notes.reviews
    assert (review.outcome, review.thread) == (Outcome.REJECTED, ThreadChange.OPEN)
    assert "shop bad was rejected" in review.body


def test_where_no_note_could_be_written_nothing_else_is_tried_and_it_is_said_once() -> None:
    ports = ModelPorts(ShopModel(), service())
    ports.notes.problem = "merge request note 'shop' not written: set GITLAB_MESH_TOKEN"
    release(ports, "good")
    assert ports.notes.reviews == []
    assert sum("GITLAB_MESH_TOKEN" in line for line in ports.console.lines()) == 1


def test_a_plan_counts_what_would_be_made_and_changed_and_tells_gitlab_nothing() -> None:
    ports = ModelPorts(ShopModel(), service())
    result = release(ports, "good", dry_run=True)
    counts = json.loads(result.files["changes.json"])
    assert counts["create"] >= 1
    assert counts["update"] >= 1
    assert counts["delete"] == 0
    assert (ports.deployments.states, ports.notes.bodies, ports.notes.reviews) == ([], {}, [])


def test_the_links_lead_to_the_report() -> None:
    body = run("good").notes.bodies["shop"]
    assert "[Report](https://gitlab.example/acme/shop/-/jobs/1000/artifacts/file/mesh-out/report.html)" in body
    assert "[Job log](https://gitlab.example/acme/shop/-/jobs/1000)" in body
