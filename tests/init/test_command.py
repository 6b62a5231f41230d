"""`gitlab-mesh init`: what it writes, what it asks, and what it never overwrites."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gitlab_mesh.cli import init as command
from gitlab_mesh.cli.init import init
from gitlab_mesh.config.load import load_config
from gitlab_mesh.errors import UsageError
from gitlab_mesh.sandbox.shop import shop_objects
from gitlab_mesh.templating import RELEASE_FILE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the shop's manifests and no cluster anywhere."""
    (tmp_path / "k8s").mkdir()
    objects = shop_objects("registry.example/shop:1.4.2", 2)
    (tmp_path / "k8s/shop.yaml").write_text(yaml.safe_dump_all(objects))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str, answers: str = "") -> Result:
    """Run it; our errors are raised, as ``main`` gets them."""
    result = CliRunner().invoke(init, arguments, input=io.StringIO(answers).getvalue(), standalone_mode=False)
    if isinstance(result.exception, UsageError):
        raise result.exception
    assert result.exception is None, result.output
    return result


def test_three_files_for_a_new_project(checkout: Path) -> None:
    result = run("--yes")
    assert load_config(checkout / "mesh.yaml").config.services["shop"].namespace == "shop"
    pipeline = yaml.safe_load((checkout / ".gitlab-ci.yml").read_text())
    assert pipeline["variables"]["GITLAB_MESH_IMAGE"] == "registry.example/shop:$CI_COMMIT_SHORT_SHA"
    template = (checkout / "ci-templates" / RELEASE_FILE).read_text()
    assert template == (ROOT / "ci-templates" / RELEASE_FILE).read_text(), "the copy is what `template check` holds"
    assert "+    namespace: shop" in result.stdout, "the diff is shown"
    assert "gitlab-mesh rbac render" in result.stderr


def test_a_second_run_changes_nothing(checkout: Path) -> None:
    run("--yes")
    before = {path: path.read_text() for path in checkout.rglob("*") if path.is_file()}
    assert "everything is there already" in run("--yes").stderr
    assert {path: path.read_text() for path in checkout.rglob("*") if path.is_file()} == before


def test_nothing_is_overwritten_without_force_and_nothing_is_half_written(checkout: Path) -> None:
    (checkout / "mesh.yaml").write_text("version: 1  # mine\n")
    with pytest.raises(UsageError, match=r"mesh.yaml would be overwritten; nothing was written"):
        run("--yes")
    assert (checkout / "mesh.yaml").read_text() == "version: 1  # mine\n"
    assert not (checkout / ".gitlab-ci.yml").exists()
    result = run("--yes", "--force")
    assert "-version: 1  # mine" in result.stdout
    assert load_config(checkout / "mesh.yaml")


def test_a_pipeline_that_is_there_gets_one_include(checkout: Path) -> None:
    (checkout / ".gitlab-ci.yml").write_text("stages: [build]\n# ours\nbuild: {stage: build, script: [make]}\n")
    with pytest.raises(UsageError, match=r"\.gitlab-ci\.yml would be overwritten"):
        run("--yes")
    run("--yes", "--force")
    pipeline = yaml.safe_load((checkout / ".gitlab-ci.yml").read_text())
    assert pipeline["include"] == [{"local": ".gitlab/mesh.gitlab-ci.yml"}]
    assert pipeline["stages"] == ["build", "test", "deploy"]
    assert pipeline["build"] == {"stage": "build", "script": ["make"]}
    own = yaml.safe_load((checkout / ".gitlab/mesh.gitlab-ci.yml").read_text())
    assert own["variables"]["GITLAB_MESH_SERVICE"] == "shop"


def test_a_project_that_includes_the_template_its_own_way_keeps_it(checkout: Path) -> None:
    own = f"include: [{{project: platform/mesh, file: ci-templates/{RELEASE_FILE}}}]\n"
    (checkout / ".gitlab-ci.yml").write_text(own)
    run("--yes")
    assert (checkout / ".gitlab-ci.yml").read_text() == own
    assert not (checkout / "ci-templates").exists()
    assert (checkout / "mesh.yaml").exists()


def test_a_pipeline_that_no_program_can_edit(checkout: Path) -> None:
    (checkout / ".gitlab-ci.yml").write_text("spec: {}\n---\nbuild: {script: [make]}\n")
    with pytest.raises(UsageError, match="cannot be edited by a program") as caught:
        run("--yes", "--force")
    assert "GITLAB_MESH_SERVICE: shop" in caught.value.hint
    assert not (checkout / "mesh.yaml").exists()


def test_templates_of_a_platform_project_are_not_copied(checkout: Path) -> None:
    run("--yes", "--include-project", "platform/gitlab-mesh", "--include-ref", "v0.1.0")
    [item] = yaml.safe_load((checkout / ".gitlab-ci.yml").read_text())["include"]
    assert (item["project"], item["ref"]) == ("platform/gitlab-mesh", "v0.1.0")
    assert not (checkout / "ci-templates").exists()


def test_the_repositorys_own_agent_is_the_context(checkout: Path) -> None:
    agent = checkout / ".gitlab/agents/prod/config.yaml"
    agent.parent.mkdir(parents=True)
    agent.write_text("ci_access: {}\n")
    run("--yes")
    variables = yaml.safe_load((checkout / ".gitlab-ci.yml").read_text())["variables"]
    assert variables["GITLAB_MESH_KUBE_CONTEXT"] == "$CI_PROJECT_PATH:prod"


def test_nothing_found_says_what_it_takes(checkout: Path) -> None:
    (checkout / "k8s/shop.yaml").write_text("kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n")
    with pytest.raises(UsageError, match="nothing that could be released was found") as caught:
        run("--yes")
    assert "helm template" in caught.value.hint
    assert list(checkout.glob("*.y*ml")) == []


def test_a_namespace_that_nothing_names_is_asked_for(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkout / "k8s/shop.yaml"
    path.write_text(path.read_text().replace("  namespace: shop\n", "").replace("shop.shop.svc", "shop.prod.svc"))
    with pytest.raises(UsageError, match="Namespace of shop: nothing says it"):
        run("--yes")
    run("--yes", "--namespace", "staging")
    assert load_config(checkout / "mesh.yaml").config.services["shop"].namespace == "staging"
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    run(answers="prod\ninternal,primary\n\ny\n")
    shop = load_config(checkout / "mesh.yaml").config.services["shop"]
    assert (shop.namespace, shop.route.http) == ("prod", ("internal", "primary"))


def test_a_persons_no_writes_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "mesh.yaml").write_text("version: 1  # mine\n")
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    with pytest.raises(UsageError, match="nothing was written"):
        run(answers="primary\nplatform/gitlab-mesh\nn\n")
    assert (checkout / "mesh.yaml").read_text() == "version: 1  # mine\n"
    assert not (checkout / ".gitlab-ci.yml").exists()


def test_helm_templates_are_left_aside_aloud(checkout: Path) -> None:
    (checkout / "k8s/chart.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Values.name }}\n")
    assert "k8s/chart.yaml" in run("--yes").stderr
