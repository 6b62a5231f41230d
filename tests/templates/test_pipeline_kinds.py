"""Example projects of every kind, from the include line to the note: gitlab-ci-local, the emulated GitLab, its rules.

The tool's stand-in moves no traffic, but what it tells GitLab goes through the real library: which merge request it
is, whose token may write, where the note lands.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh import __version__
from gitlab_mesh.components import render_components
from gitlab_mesh.sandbox.gitlab import GitlabListener, GitlabServer, Role
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.gitlab.state import MergeRequest, Pipeline
from gitlab_mesh.templating import write_templates
from gitlab_mesh_jobs import JOBS
from tests.templates.conftest import commit_all

Project = Any  # conftest.Project

pytestmark = pytest.mark.timeout(180)

TOOL = """#!{python}
import os, pathlib, sys
from gitlab_mesh.gitlab import Connection, DeploymentRecords, StickyNotes, read_ci
print("CALLED", *sys.argv[1:])
if sys.argv[1:3] == ["job", "canary"]:
    connection = Connection(read_ci(os.environ))
    service, environment = os.environ["GITLAB_MESH_SERVICE"], os.environ["GITLAB_MESH_ENVIRONMENT"]
    told = StickyNotes(connection).post(f"{{service}} {{environment}}", "released " + os.environ["GITLAB_MESH_IMAGE"])
    recorded = DeploymentRecords(connection).record(environment, "success")
    print("TOLD", told or "the merge request")
    print("RECORDED", recorded or environment)
    out = pathlib.Path("mesh-out")
    out.mkdir(exist_ok=True)
    (out / "mesh.env").write_text(f"MESH_OUTCOME=promoted\\nMESH_SERVICE={{service}}\\n")
    (out / "junit.xml").write_text("<testsuites/>")
    sys.exit(int(os.environ.get("FAKE_EXIT_CODE", "0")))
"""
OF_THE_JOB = {"CI_JOB_ID", "CI_JOB_NAME", "CI_JOB_STAGE", "CI_JOB_URL", "CI_JOB_STATUS", "CI_ENVIRONMENT_NAME"}
LOCAL = "include: [{local: ci-templates/.gitlab-ci-mesh.yml}]\n"
VARIABLES = """
variables:
  GITLAB_MESH_SERVICE: shop
  GITLAB_MESH_IMAGE: registry.example/shop:$CI_COMMIT_SHORT_SHA
  GITLAB_MESH_PIP_SPEC: ""
  GITLAB_MESH_IN_MERGE_REQUESTS: "true"
"""
CLASSIC = LOCAL + VARIABLES
COMPONENT = """
  - component: $CI_SERVER_FQDN/acme/shop/{name}@$CI_COMMIT_SHA
    inputs:
      service: {service}
      job-prefix: {prefix}
      image: registry.example/{service}:$CI_COMMIT_SHORT_SHA
      pip-spec: ""
      in-merge-requests: true
"""


@dataclass
class Stage:
    """A GitLab with one open merge request, and the checkout that its pipelines run in."""

    server: GitlabServer
    checkout: Project
    tool: Path
    merge_request: MergeRequest
    token: str
    extra: dict[str, str] = field(default_factory=dict)

    def pipeline(self, **options: Any) -> Pipeline:
        project = self.merge_request.project
        user = self.merge_request.author
        return self.server.start_pipeline(options.pop("project", project), user, **options)

    def run(
        self, ci: str, pipeline: Pipeline, *arguments: str, variables: dict[str, str] | None = None, token: bool = True
    ) -> Any:
        """Run the project's pipeline as GitLab would start it."""
        self.commit({".gitlab-ci.yml": ci})
        job = self.server.start_job(pipeline, "mesh-canary", environment="production")
        seen = {name: value for name, value in self.server.ci_variables(job).items() if name not in OF_THE_JOB}
        seen = {name: value for name, value in seen.items() if name.startswith("CI_")} | (variables or {})
        unset = {"CI_COMMIT_BRANCH", "CI_COMMIT_TAG"} - set(seen)
        return self.checkout.run(
            f"--ignore-predefined-vars={','.join(sorted([*seen, *unset]))}",
            *(f"--unset-variable={name}" for name in sorted(unset)),
            *arguments,
            variables=seen,
            env={
                "PATH": f"{self.tool.parent}{os.pathsep}{os.environ['PATH']}",
                "GITLAB_MESH_TOKEN": self.token if token else "",
                **self.extra,
            },
            timeout=150,
        )

    def commit(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.checkout.path / name).write_text(text)
        commit_all(self.checkout)

    def notes(self, merge_request: MergeRequest | None = None) -> list[str]:
        found = (merge_request or self.merge_request).notes
        return sorted(note.body.split("\n")[0] for note in found if not note.system)

    def deployments(self) -> list[tuple[str, str]]:
        found = self.merge_request.project.deployments.values()
        return sorted((item.environment.name, item.status) for item in found)


@pytest.fixture
def stage(tmp_path: Path, new_project: Callable[[str], Project], gitlab_contract: Contract | None) -> Iterator[Stage]:
    server = GitlabServer(contract=gitlab_contract)
    with GitlabListener(server) as listener:
        dana = server.add_user("dana", "Dana Smith")
        project = server.add_project("acme/shop", dana)
        merge_request = server.open_merge_request(project, dana, "Raise the limits", source_branch="raise-limits")
        checkout = new_project(f"{listener.url}/acme/shop.git")
        write_templates(checkout.path / "templates", render_components(JOBS, __version__))
        tool = tmp_path / "bin" / "gitlab-mesh"
        tool.parent.mkdir()
        tool.write_text(TOOL.format(python=sys.executable))
        tool.chmod(0o755)
        yield Stage(server, checkout, tool, merge_request, server.add_project_token(project, role=Role.DEVELOPER))


def of_merge_request(stage: Stage) -> Pipeline:
    return stage.pipeline(merge_request=stage.merge_request)


def of_own_commit(stage: Stage, ci: str) -> Pipeline:
    """A pipeline of the checkout's own commit, at which gitlab-ci-local finds the project's own components."""
    stage.commit({".gitlab-ci.yml": ci})
    stage.merge_request.shas.append(stage.checkout.git("rev-parse", "HEAD"))
    return of_merge_request(stage)


def short(pipeline: Pipeline) -> str:
    return f"released registry.example/shop:{pipeline.sha[:8]}"


def test_include_local_in_a_merge_request_pipeline(stage: Stage) -> None:
    pipeline = of_merge_request(stage)
    done = stage.run(CLASSIC, pipeline)
    assert (done.exit_code, done.results) == (0, {"mesh-canary": "PASS"}), done.output
    assert stage.notes() == [short(pipeline)]
    assert stage.deployments() == [("production", "success")]
    assert (stage.checkout.path / "mesh-out/mesh.env").exists()


def test_one_job_alone_by_include_local(stage: Stage) -> None:
    pipeline = of_merge_request(stage)
    done = stage.run("include: [{local: ci-templates/canary.gitlab-ci.yml}]\n" + VARIABLES, pipeline)
    assert (done.exit_code, done.results) == (0, {"mesh-canary": "PASS"}), done.output
    assert stage.notes() == [short(pipeline)]


def test_include_remote(stage: Stage, tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[2] / "ci-templates"

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        include = f"include: [{{remote: 'http://127.0.0.1:{web.server_port}/.gitlab-ci-mesh.yml'}}]\n"
        pipeline = of_merge_request(stage)
        done = stage.run(include + VARIABLES, pipeline)
        web.shutdown()
        thread.join()
    assert done.exit_code == 0, done.output
    assert stage.notes() == [short(pipeline)]


def test_a_catalog_component(stage: Stage) -> None:
    include = "include:" + COMPONENT.format(name="release", service="shop", prefix="mesh-")
    pipeline = of_own_commit(stage, include)
    done = stage.run(include, pipeline)
    assert (done.exit_code, done.results) == (0, {"mesh-canary": "PASS"}), done.output
    assert stage.notes() == [short(pipeline)]
    assert stage.deployments() == [("production", "success")]


def test_a_monorepo_of_two_services_by_component(stage: Stage) -> None:
    services = ("shop", "cart")
    include = "include:" + "".join(
        COMPONENT.format(name="release", service=name, prefix=f"{name}-") for name in services
    )
    pipeline = of_own_commit(stage, include)
    done = stage.run(include, pipeline)
    assert done.results == {"shop-canary": "PASS", "cart-canary": "PASS"}, done.output
    assert stage.notes() == sorted(f"released registry.example/{name}:{pipeline.sha[:8]}" for name in services)


def test_a_monorepo_by_parallel_matrix(stage: Stage) -> None:
    matrix = """
mesh-canary:
  parallel:
    matrix:
      - GITLAB_MESH_SERVICE: [shop, cart, search]
"""
    done = stage.run(CLASSIC + matrix, of_merge_request(stage))
    assert done.exit_code == 0, done.output
    assert len(stage.notes()) == 3, "one note a service"


def test_staging_then_production(stage: Stage) -> None:
    staging = """
staging-canary:
  extends: mesh-canary
  stage: test
  variables: {GITLAB_MESH_ENVIRONMENT: staging}
"""
    done = stage.run(CLASSIC + staging, of_merge_request(stage))
    assert done.results == {"staging-canary": "PASS", "mesh-canary": "PASS"}, done.output
    assert done.output.index("CALLED job canary") < done.output.index("RECORDED staging")
    assert done.output.index("RECORDED staging") < done.output.index("RECORDED production")
    assert stage.deployments() == [("production", "success"), ("staging", "success")]
    assert len(stage.notes()) == 2


def test_a_manual_gate(stage: Stage) -> None:
    gate = "\nmesh-canary:\n  rules: [{when: manual}]\n"
    waiting = stage.run(CLASSIC + gate, of_merge_request(stage))
    assert "mesh-canary" not in waiting.results, waiting.output
    assert stage.notes() == []
    pipeline = of_merge_request(stage)
    done = stage.run(CLASSIC + gate, pipeline, "--manual", "mesh-canary")
    assert done.results == {"mesh-canary": "PASS"}, done.output
    assert stage.notes() == [short(pipeline)]


def test_parent_and_child(stage: Stage) -> None:
    # gitlab-ci-local hands a child pipeline none of the parent's variables: here the rules are the project's own, and
    # which merge request it is cannot be known. GitLab gives CI_MERGE_REQUEST_IID to children too.
    stage.commit({"child.yml": CLASSIC + ALWAYS})
    parent = "release:\n  trigger:\n    include: [{local: child.yml}]\n    strategy: depend\n"
    done = stage.run(parent, of_merge_request(stage))
    assert done.exit_code == 0, done.output
    called = [line.partition("CALLED ")[2] for line in done.output.splitlines() if "CALLED" in line]
    assert called == ["job canary", "job rollback --if-unfinished --output mesh-out/after-script"]


def test_a_rejected_release_starts_the_net(stage: Stage) -> None:
    stage.extra["FAKE_EXIT_CODE"] = "10"
    done = stage.run(CLASSIC, of_merge_request(stage))
    assert done.exit_code == 1
    assert done.results == {"mesh-canary": "FAIL", "mesh-rollback": "PASS"}, done.output
    assert "CALLED job rollback --if-unfinished --output mesh-out/after-script" in done.output


@dataclass(frozen=True)
class Kind:
    """How a pipeline is started, and what the job says about its merge request."""

    start: Callable[[Stage], Pipeline]
    said: str
    noted: bool
    rules: str = ""
    token: bool = True


# Without `when`: each job keeps its own (manual, on_failure).
ALWAYS = "\n.gitlab-mesh:\n  rules: [{if: $CI_PIPELINE_ID}]\n"


def _fork(stage: Stage) -> Pipeline:
    fork = stage.server.add_project("dana/shop", stage.merge_request.author)
    stage.merge_request.source_project = fork
    return stage.pipeline(project=fork, merge_request=stage.merge_request)


KINDS = {
    "a branch with an open merge request": Kind(
        lambda stage: stage.pipeline(ref="raise-limits", sha=stage.merge_request.shas[-1]),
        "the merge request", True, ALWAYS,
    ),
    "a merged result": Kind(
        lambda stage: stage.pipeline(merge_request=stage.merge_request, sha="f" * 40), "the merge request", True
    ),
    "the default branch after a merge commit": Kind(
        lambda stage: stage.pipeline(sha=stage.server.merge(stage.merge_request)), "the merge request", True
    ),
    "the default branch after a squash": Kind(
        lambda stage: stage.pipeline(sha=stage.server.merge(stage.merge_request, how="squash")),
        "the merge request", True,
    ),
    "a tag on the merge": Kind(
        lambda stage: stage.pipeline(ref="v1.5.0", tag=True, sha=stage.server.merge(stage.merge_request)),
        "the merge request", True, ALWAYS,
    ),
    "a commit that no merge request brought": Kind(
        lambda stage: stage.pipeline(source="api", sha="e" * 40), "no merge request: this pipeline (source api)", False
    ),
    "a fork": Kind(_fork, "pipelines of forks do not get the target project's variables", False, "", token=False),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_way_to_start_a_pipeline(stage: Stage, name: str) -> None:
    kind = KINDS[name]
    pipeline = kind.start(stage)
    done = stage.run(CLASSIC + kind.rules, pipeline, token=kind.token)
    assert done.results.get("mesh-canary") == "PASS", done.output
    [said] = {line.partition("TOLD ")[2] for line in done.output.splitlines() if "TOLD " in line}
    assert kind.said in said
    assert stage.notes() == ([short(pipeline)] if kind.noted else [])


def test_a_schedule_recovers_and_releases_nothing(stage: Stage) -> None:
    pipeline = stage.pipeline(source="schedule")
    done = stage.run(CLASSIC, pipeline, variables={"GITLAB_MESH_SCHEDULE": "recover"})
    assert done.exit_code == 0, done.output
    assert done.results == {"mesh-recover": "PASS"}
    assert "CALLED job recover" in done.output
    assert stage.notes() == []
