"""Example projects from the include line to the note: the real tool, real traffic, the cluster and the emulated GitLab.

Each of ``projects/`` is a project as somebody would have it; each runs in the kind of pipeline that suits it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pipelines.conftest import World
    from tests.templates.conftest import Project

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240, func_only=True), pytest.mark.xdist_group("pipelines")]


def outcome(project: Project, folder: str = "mesh-out") -> str:
    report = json.loads((project.path / folder / "report.json").read_text(encoding="utf-8"))
    return str(report["outcome"])


def promoted(release: str, service: str = "shop") -> str:
    return f"### ✅ {service} {release} was promoted"


def test_include_local_in_a_merge_request_pipeline(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("include-local"), world.merge_request()
    pipeline = world.start(merge_request)
    done = world.run(project, pipeline, release=release)
    assert done.exit_code == 0, done.output
    assert done.results == {"build": "PASS", "mesh-canary": "PASS", "after": "PASS"}
    assert "told promoted of shop" in done.log("after"), "the dotenv report reaches later jobs"
    [note] = world.notes(merge_request)
    assert note.startswith(promoted(release))
    assert world.deployments(pipeline) == [("production", "success")]
    assert world.image() == f"registry.example/shop:{release}"
    assert "nothing to do" in done.log("mesh-canary"), "after_script finds a finished release"
    for name in ("report.html", "junit.xml", "mesh.env", "metrics.txt", "annotations.json"):
        assert (project.path / "mesh-out" / name).stat().st_size > 0
    assert merge_request.labels == ["mesh::promoted"]


def test_include_project_on_the_default_branch_after_the_merge(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("include-project"), world.merge_request()
    pipeline = world.start(sha=world.server.merge(merge_request))
    done = world.run(project, pipeline, release=release)
    assert done.exit_code == 0, done.output
    [note] = world.notes(merge_request)
    assert note.startswith(promoted(release))
    assert world.deployments(pipeline) == [("production", "success")]


def test_include_remote_on_a_branch_with_an_open_merge_request(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("include-remote"), world.merge_request()
    pipeline = world.start(ref=merge_request.source_branch, sha=merge_request.shas[-1])
    done = world.run(project, pipeline, release=release)
    assert done.results == {"mesh-canary": "PASS"}, done.output
    [note] = world.notes(merge_request)
    assert note.startswith(promoted(release))


def test_a_component_of_another_project_in_a_merged_result(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("component"), world.merge_request()
    pipeline = world.start(merge_request, sha=f"{len(world.server.state.pipelines):040x}")
    done = world.run(project, pipeline, release=release)
    assert done.results == {"mesh-canary": "PASS"}, done.output
    [note] = world.notes(merge_request)
    assert note.startswith(promoted(release))


def test_the_projects_own_component_at_its_own_commit(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("own-component"), world.merge_request()
    merge_request.shas.append(project.git("rev-parse", "HEAD"))
    done = world.run(project, world.start(merge_request), release=release)
    assert done.results == {"mesh-canary": "PASS"}, done.output
    [note] = world.notes(merge_request)
    assert note.startswith(promoted(release))


def test_a_monorepo_by_matrix_has_one_note_a_service(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("monorepo-matrix"), world.merge_request()
    done = world.run(project, world.start(merge_request), release=release)
    assert done.exit_code == 0, done.output
    assert len([line for line in done.output.splitlines() if line.startswith(" PASS")]) == 2
    notes = world.notes(merge_request)
    assert [note.startswith(promoted(release, name)) for note, name in zip(notes, ("cart", "shop"), strict=True)] == [
        True, True,
    ], notes  # fmt: skip
    assert (world.image(), world.image("cart")) == (
        f"registry.example/shop:{release}",
        f"registry.example/cart:{release}",
    )


def test_a_monorepo_by_two_components_on_the_default_branch_after_a_squash(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("monorepo-components"), world.merge_request()
    pipeline = world.start(sha=world.server.merge(merge_request, how="squash"))
    done = world.run(project, pipeline, release=release)
    assert done.results == {"shop-canary": "PASS", "cart-canary": "PASS"}, done.output
    assert len(world.notes(merge_request)) == 2
    assert {status for _, status in world.deployments(pipeline)} == {"success"}


def test_a_child_pipeline_releases_and_the_parent_waits(world: World) -> None:
    # gitlab-ci-local hands a child none of the parent's CI variables, so it cannot know its merge request.
    # Nor does it fail the parent for it: what was released says how the child ended.
    release, project = world.version(), world.checkout("parent-child")
    child = project.path / "release.yml"
    child.write_text(child.read_text().replace("$RELEASE", release))
    world.forget()
    done = world.run(project, world.start(), release=release)
    world.forget()
    assert done.exit_code == 0, done.output
    assert world.image() == f"registry.example/shop:{release}", done.output


def test_staging_then_production(world: World) -> None:
    project, merge_request = world.checkout("staging-then-production"), world.merge_request()
    release = world.version()
    pipeline = world.start(sha=world.server.merge(merge_request))
    done = world.run(project, pipeline, release=release)
    assert done.results == {"staging-canary": "PASS", "mesh-canary": "PASS"}, done.output
    assert world.deployments(pipeline) == [("production", "success"), ("staging", "success")]
    assert world.image() == world.image("cart") == f"registry.example/shop:{release}"


def test_a_manual_gate_on_a_tag(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("manual-gate"), world.merge_request()
    before = world.image()
    sha = world.server.merge(merge_request)
    waiting = world.run(project, world.start(ref=f"v{release}", tag=True, sha=sha), release=release)
    assert waiting.exit_code == 0, waiting.output
    assert "mesh-canary" not in waiting.results
    assert (world.image(), world.notes(merge_request)) == (before, [])
    pressed = world.start(ref=f"v{release}", tag=True, sha=sha)
    done = world.run(project, pressed, "--manual", "mesh-canary", release=release)
    assert done.results == {"mesh-canary": "PASS"}, done.output
    [note] = world.notes(merge_request)
    assert note.startswith(promoted(release))


def test_a_schedule_recovers_and_releases_nothing(world: World) -> None:
    project, before = world.checkout("scheduled-recover"), world.image()
    done = world.run(project, world.start(source="schedule"), release="9.9.9", GITLAB_MESH_SCHEDULE="recover")
    assert (done.exit_code, done.results) == (0, {"mesh-recover": "PASS"}), done.output
    assert world.image() == before


def test_a_bad_release_is_rejected_and_the_net_finds_nothing_to_do(world: World) -> None:
    project, merge_request, before = world.checkout("include-local"), world.merge_request(), world.image()
    pipeline = world.start(merge_request)
    world.env["GITLAB_MESH_ROLLOUT_READY_DEADLINE"] = "10s"
    done = world.run(project, pipeline, release="never-ready")
    world.env.clear()
    assert done.exit_code == 1
    assert done.results == {"build": "PASS", "mesh-canary": "FAIL", "mesh-rollback": "PASS"}, done.output
    assert "FAIL 10" in done.log("mesh-canary"), done.log("mesh-canary")
    assert world.image() == before
    assert world.deployments(pipeline) == [("production", "failed")]
    [note] = world.notes(merge_request)
    assert "was rejected" in note
    assert merge_request.labels == ["mesh::rejected"]
    assert [note.resolved_by for note in merge_request.notes if note.threaded] == [None], "the merge is blocked"


def test_a_fork_releases_without_the_projects_token_and_says_why_it_is_silent(world: World) -> None:
    release, project, merge_request = world.version(), world.checkout("one-job"), world.merge_request()
    author = world.sandbox.gitlab.author
    fork = world.server.add_project(f"dana/shop-{release}", author)
    merge_request.source_project = fork
    done = world.run(project, world.start(merge_request, project=fork), release=release, token=False)
    assert done.results == {"mesh-canary": "PASS"}, done.output
    assert "pipelines of forks do not get the target project's variables" in done.output
    assert world.notes(merge_request) == []


def test_a_plan_in_a_merge_request_counts_what_a_release_would_change(world: World) -> None:
    project, merge_request, before = world.checkout("plan"), world.merge_request(), world.image()
    done = world.run(project, world.start(merge_request), release=world.version())
    assert (done.exit_code, done.results) == (0, {"mesh-plan": "PASS"}), done.output
    counts = json.loads((project.path / "mesh-out/plan/changes.json").read_text())
    assert counts["create"] >= 1
    assert counts["update"] >= 1
    assert world.image() == before


def test_the_doctor_as_a_job(world: World) -> None:
    project = world.checkout("doctor")
    done = world.run(project, world.start(world.merge_request()))
    assert (done.exit_code, done.results) == (0, {"mesh-doctor": "PASS"}), done.output
    assert outcome(project, "mesh-out/doctor") == "passed"


def test_no_request_of_a_user_failed_and_no_secret_was_shown(world: World) -> None:
    """Over everything that the pipelines before wrote; run last in the file, but true at any time."""
    secrets = {*world.server.state.tokens, *(job.token for job in world.server.state.jobs.values())}
    written = [path for path in world.folder.rglob("mesh-out/**/*") if path.is_file()]
    texts = {path: path.read_text(encoding="utf-8") for path in written}
    texts |= {
        Path(f"note {note.id}"): note.body
        for merge_request in world.sandbox.gitlab.project.merge_requests.values()
        for note in merge_request.notes
    }
    assert not [(path, secret[:9]) for path, text in texts.items() for secret in secrets if secret in text]
    assert world.sandbox.requests_failed_by_mesh == 0
