"""The GitLab adapters as ports, and their silent forms outside of GitLab CI."""

from __future__ import annotations

import subprocess
import sys

from gitlab_mesh.adapters.ci_env import read_ci
from gitlab_mesh.adapters.gitlab import GitlabDeployments, GitlabNotes, NoDeployments, NoNotes, build_feedback
from gitlab_mesh.sandbox.gitlab import GitlabListener, GitlabServer


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
