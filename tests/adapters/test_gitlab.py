"""The GitLab adapters as ports, and their silent forms outside of GitLab CI."""

from __future__ import annotations

import subprocess
import sys

from gitlab_mesh.adapters.ci_env import read_ci
from gitlab_mesh.adapters.gitlab import GitlabDeployments, GitlabNotes, NoDeployments, NoNotes, build_feedback
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.report.renderers import carry_history, render_note
from gitlab_mesh.core.report.review import plan_review
from gitlab_mesh.sandbox.gitlab import GitlabListener, GitlabServer, Role


def test_both_ports_in_a_job() -> None:
    server = GitlabServer()
    with GitlabListener(server):
        dana = server.add_user("dana")
        project = server.add_project("acme/shop", dana)
        merge_request = server.open_merge_request(project, dana, "Raise the limits")
        job = server.start_job(server.start_pipeline(project, dana, merge_request=merge_request), "canary")
        env = server.ci_variables(job) | {"GITLAB_MESH_TOKEN": server.add_project_token(project)}
        notes, deployments = build_feedback(read_ci(env))
        assert isinstance(notes, GitlabNotes)
        assert isinstance(deployments, GitlabDeployments)
        assert notes.post("shop", "**promoted**") == ""
        assert deployments.record("production", "success") == ""
    assert [note.body.split("\n")[0] for note in merge_request.notes] == ["**promoted**"]
    assert [item.status for item in project.deployments.values()] == ["success"]


def test_an_option_goes_before_the_environment() -> None:
    server = GitlabServer()
    with GitlabListener(server):
        dana = server.add_user("dana")
        project = server.add_project("acme/shop", dana)
        merge_request = server.open_merge_request(project, dana, "Raise the limits")
        job = server.start_job(server.start_pipeline(project, dana, merge_request=merge_request), "canary")
        env = server.ci_variables(job) | {"GITLAB_MESH_TOKEN": "glpat-wrong"}
        notes, _ = build_feedback(read_ci(env), token=server.add_project_token(project))
        assert notes.post("shop", "x") == ""


def test_outside_of_gitlab_ci_both_say_why() -> None:
    notes, deployments = build_feedback(read_ci({}))
    assert isinstance(notes, NoNotes)
    assert isinstance(deployments, NoDeployments)
    assert "not in GitLab CI" in notes.post("shop", "x")
    assert "not in GitLab CI" in deployments.record("production", "running")


def test_importing_loads_neither_python_gitlab_nor_requests() -> None:
    code = (
        "import sys, gitlab_mesh.gitlab, gitlab_mesh.adapters.gitlab, gitlab_mesh.adapters.notifiers;"
        "print(sorted({'gitlab', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_two_services_share_the_label_and_the_worst_names_it() -> None:
    server = GitlabServer()
    with GitlabListener(server):
        dana = server.add_user("dana")
        project = server.add_project("acme/shop", dana)
        merge_request = server.open_merge_request(project, dana, "Raise the limits")
        pipeline = server.start_pipeline(project, dana, merge_request=merge_request)
        token = server.add_project_token(project, role=Role.DEVELOPER)

        def release(service: str, outcome: Outcome) -> None:
            env = server.ci_variables(server.start_job(pipeline, f"canary {service}")) | {"GITLAB_MESH_TOKEN": token}
            notes, _ = build_feedback(read_ci(env))
            report = Report("canary", service, service, outcome, f"{service}: {outcome}", started=service)
            assert notes.post(service, lambda former: render_note(report, carry_history(former, report))) == ""
            change = plan_review(report)
            assert change is not None
            assert notes.review(service, change) == ""

        release("shop", Outcome.REJECTED)
        release("cart", Outcome.PROMOTED)
        assert merge_request.labels == ["mesh::rejected"]
        threads = [note for note in merge_request.notes if note.threaded]
        assert [note.resolved_by for note in threads] == [None]
        release("shop", Outcome.PROMOTED)
        assert merge_request.labels == ["mesh::promoted"]
        assert threads[0].resolved_by is not None
        assert len(merge_request.notes) == 3, "one note a service, and the thread"
