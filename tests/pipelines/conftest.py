"""One world for a module of pipelines: real traffic, a cluster, a GitLab that also serves git and the templates.

The pipelines run the real tool through gitlab-ci-local. What that ignores of GitLab (``retry``, ``timeout``,
``resource_group``) is checked on the YAML in ``tests/templates``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh import __version__
from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.sandbox.gitlab import GitlabServer
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.gitlab.state import MergeRequest
from gitlab_mesh.sandbox.gitlab.state import Pipeline as CiPipeline
from gitlab_mesh.sandbox.shop import HOST, shop_objects
from gitlab_mesh.sandbox.traffic import Traffic
from gitlab_mesh.sandbox.world import Sandbox
from tests.templates.conftest import Pipeline, Project, commit_all, make_repository

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = Path(__file__).parent / "projects"
OF_THE_JOB = {"CI_JOB_ID", "CI_JOB_NAME", "CI_JOB_STAGE", "CI_JOB_URL", "CI_JOB_STATUS", "CI_ENVIRONMENT_NAME"}
# As short as a release can be: what decides is tested elsewhere, here it is how everything is joined.
POLICY = {
    "GITLAB_MESH_ROLLOUT_STEPS": "[50]",
    "GITLAB_MESH_ROLLOUT_STEP_BAKE": "1s",
    "GITLAB_MESH_ROLLOUT_LOOK_INTERVAL": "500ms",
    "GITLAB_MESH_ROLLOUT_DEADLINE": "60s",
    "GITLAB_MESH_ROLLOUT_DRAIN": "2s",
    "GITLAB_MESH_JUDGE_BAKE": "2s",
    "GITLAB_MESH_JUDGE_STARTUP": "1s",
    "GITLAB_MESH_JUDGE_GUARD": "500ms",
    "GITLAB_MESH_JUDGE_MODE": "dry-run",
}


class Front(ThreadingHTTPServer):
    """What a GitLab's host serves: the API and pages of the emulated one, git, and files of a project.

    Args:
        gitlab: The emulated instance.
        repositories: Directory with bare repositories, ``group/project.git``.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, gitlab: GitlabServer, repositories: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gitlab, self.repositories = gitlab, repositories
        self.url = gitlab.base_url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if ".git/" in path:
            self._git(body)
        elif path.startswith("/templates/"):
            self._send(200, {"Content-Type": "text/yaml"}, (ROOT / "ci-templates" / Path(path).name).read_bytes())
        else:
            answer = self.server.gitlab.handle(self.command, self.path, dict(self.headers.items()), body)
            self._send(answer.status, dict(answer.headers), answer.body)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _git(self, body: bytes) -> None:
        """Git's smart HTTP by its own CGI program."""
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.repositories), "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self._send(int(headers.pop("Status", "200").split()[0]), headers, content)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls


@dataclass
class World:
    """Everything that the pipelines of a module share; each gets its own merge request and its own version."""

    sandbox: Sandbox
    front: Front
    program: Path
    folder: Path
    released: int = 0
    env: dict[str, str] = field(default_factory=dict)

    @property
    def server(self) -> GitlabServer:
        return self.sandbox.gitlab.server

    def merge_request(self) -> MergeRequest:
        gitlab = self.sandbox.gitlab
        number = len(gitlab.project.merge_requests)
        return self.server.open_merge_request(
            gitlab.project, gitlab.author, f"Change {number}", source_branch=f"change-{number}"
        )

    def start(self, merge_request: MergeRequest | None = None, **options: Any) -> CiPipeline:
        gitlab = self.sandbox.gitlab
        project = options.pop("project", gitlab.project)
        return self.server.start_pipeline(project, gitlab.author, merge_request=merge_request, **options)

    def version(self) -> str:
        """A version that nobody released yet; every one of them behaves well."""
        self.released += 1
        return f"1.5.{self.released}"

    def checkout(self, name: str) -> Project:
        """A new repository with the files of an example project, and the templates where it includes them from."""
        path = self.folder / f"{name}-{self.released}" / "shop"
        shutil.copytree(PROJECTS / name, path)
        if not (path / "mesh.yaml").exists():
            shutil.copy(PROJECTS / "mesh.yaml", path)
        for folder in ("ci-templates", "templates"):
            shutil.copytree(ROOT / folder, path / folder)
        project = make_repository(path, self.program, f"{self.front.url}/shop/shop.git")
        commit_all(project)
        return project

    def run(
        self, project: Project, pipeline: CiPipeline, *arguments: str, release: str = "", token: bool = True,
        **variables: str,
    ) -> Pipeline:  # fmt: skip
        """Run the project's pipeline as GitLab would start it."""
        job = self.server.start_job(pipeline, "mesh-canary", environment="production")
        seen = {name: value for name, value in self.server.ci_variables(job).items() if name.startswith("CI_")}
        seen = {name: value for name, value in seen.items() if name not in OF_THE_JOB}
        seen |= {
            "RELEASE": release,
            "GITLAB_MESH_PIP_SPEC": "",
            "TEMPLATES_URL": f"{self.front.url}/templates",
        } | variables
        unset = {"CI_COMMIT_BRANCH", "CI_COMMIT_TAG"} - set(seen)
        return project.run(
            f"--ignore-predefined-vars={','.join(sorted([*seen, *unset]))}",
            *(f"--unset-variable={name}" for name in sorted(unset)),
            *arguments,
            variables=seen,
            env={
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "KUBECONFIG": str(self.sandbox.kubeconfig()),
                "GITLAB_MESH_TOKEN": self.sandbox.gitlab.token if token else "",
                **POLICY,
                **self.env,
            },
            timeout=200,
        )

    def forget(self) -> None:
        """Remove the records: gitlab-ci-local numbers child pipelines itself, and an older pipeline is refused."""
        for name in ("shop", "cart"):
            self.sandbox.client().delete("ConfigMap", "shop", f"gitlab-mesh-{name}")

    def notes(self, merge_request: MergeRequest) -> list[str]:
        """The first lines of the sticky notes."""
        found = [note.body for note in merge_request.notes if not note.system and not note.threaded]
        return sorted(body.split("\n")[0] for body in found)

    def deployments(self, pipeline: CiPipeline) -> list[tuple[str, str]]:
        """Environment and last state of what the pipeline deployed."""
        found = [item for item in pipeline.project.deployments.values() if item.sha == pipeline.sha]
        return sorted((item.environment.name, item.status) for item in found)

    def image(self, name: str = "shop") -> str:
        deployment = self.sandbox.client().get("Deployment", "shop", name)
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def cart_objects() -> list[dict[str, Any]]:
    """A second service beside the shop, built like it."""
    text = json.dumps(
        [
            item
            for item in shop_objects("registry.example/shop:1.4.2", 1)
            if item["kind"] not in {"Namespace", "Gateway"}
        ]
    )
    for old, new in (
        ('"name": "shop"', '"name": "cart"'), ('"host": "shop"', '"host": "cart"'), ('"app": "shop"', '"app": "cart"'),
        ("shop.example", "cart.example"), ("shop.localhost", "cart.localhost"), ("shop.shop.svc", "cart.shop.svc"),
        ("registry.example/shop", "registry.example/cart"),
    ):  # fmt: skip
        text = text.replace(old, new)
    objects: list[dict[str, Any]] = json.loads(text)
    return objects


def make_platform_repository(folder: Path) -> None:
    """``platform/gitlab-mesh`` with templates and components, tagged as a release is."""
    work, bare = folder / "work", folder / "platform" / "gitlab-mesh.git"
    work.mkdir(parents=True)
    for name in ("ci-templates", "templates"):
        shutil.copytree(ROOT / name, work / name)
    identity = ["-c", "user.name=Example", "-c", "user.email=example@example.com"]
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        [*identity, "commit", "--quiet", "--message=Release"],
        ["tag", f"v{__version__}"],
        ["tag", __version__],
        ["clone", "--quiet", "--bare", str(work), str(bare)],
    ):
        subprocess.run(["git", *command], cwd=work, check=True)


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    require_tool: Callable[[str], Path],
    gitlab_description: Contract | None,
) -> Iterator[World]:
    require_tool("rsync")
    program = require_tool("gitlab-ci-local")
    folder = tmp_path_factory.mktemp("pipelines")
    make_platform_repository(folder / "git")
    with ExitStack() as exits:
        sandbox = exits.enter_context(Sandbox.start())
        sandbox.gitlab.server.contract = gitlab_description
        sandbox.cluster.create(cart_objects())
        front = Front(sandbox.gitlab.server, folder / "git")
        exits.callback(front.close)
        for host in (HOST, "cart.example"):
            plan = LoadPlan(
                url=sandbox.gateway_url,
                rate=60,
                duration_seconds=600,
                headers={"Host": host},
                origin_header="x-version",
            )
            traffic = Traffic(sandbox.processes, load_command(plan))
            exits.callback(traffic.stop)
        assert sandbox.cluster.wait_ready("shop", "cart", 20)
        yield World(sandbox, front, program, folder)


@pytest.fixture(autouse=True)
def _checked_requests(gitlab_contract: Contract | None) -> None:
    """Every test of this folder fails on a request that GitLab's description does not know."""
