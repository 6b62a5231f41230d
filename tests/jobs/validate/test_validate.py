"""``job validate`` and ``job security-scan`` as commands: exit codes, formats, suppressions, baselines, inventory."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.cli.main import main
from tests.jobs.validate.conftest import Run
from tests.jobs.validate.samples import GOOD, ROUTE

FORMATS = ("text", "json", "sarif", "junit", "codequality", "sast")


def test_a_finding_has_everything_that_a_person_needs(run: Run) -> None:
    body = run.json(run.write(ROUTE))
    (found,) = body["findings"]
    assert found.pop("fingerprint")
    assert found == {
        "code": "GM0101",
        "istio_code": "IST0101",
        "level": "error",
        "resource": "VirtualService shop/shop",
        "file": "mesh.yaml",
        "line": 11,
        "column": 15,
        "path": "$.spec.http[0].route[0].destination.host",
        "message": "host shpo (shpo in namespace shop) does not exist",
        "why": "Envoy answers 503 (no such cluster) to every request that is routed there",
        "hint": "did you mean shop?",
        "references": [],
    }
    assert (body["objects"], body["files"], body["skipped"]) == (2, 1, 0)


@pytest.mark.parametrize("form", FORMATS)
def test_the_exit_code_never_depends_on_the_format(run: Run, form: str) -> None:
    run.write(ROUTE)
    assert run("mesh.yaml", "--format", form)[0] == 13
    run.write(GOOD)
    assert run("mesh.yaml", "--format", form)[0] == 0
    assert run("nothing.yaml", "--format", form)[0] == 2


def test_text_shows_the_place(run: Run) -> None:
    _, text = run(run.write(ROUTE))
    assert "mesh.yaml:11:15: error [GM0101/IST0101] VirtualService shop/shop: host shpo" in text
    assert "  11 |         host: shpo\n     |               ^\n" in text
    assert text.endswith("1 error in 2 objects of 1 files\n")


def test_thresholds_and_levels(run: Run) -> None:
    run.write(GOOD.replace("name: http", "name: web"))
    assert run("mesh.yaml")[0] == 0
    assert run("mesh.yaml", "--fail-on", "info")[0] == 13
    assert run.codes("mesh.yaml") == ["GM0118"]
    assert run.codes("mesh.yaml", "--level", "warning") == []
    run.write(ROUTE)
    assert run("mesh.yaml", "--fail-on", "never")[0] == 0


def test_what_was_not_read_is_a_remark_until_everything_was(run: Run) -> None:
    run.write(ROUTE.partition("---")[0])
    assert run.codes("mesh.yaml") == ["GM0100"]
    assert run.codes("mesh.yaml", "--complete") == ["GM0101"]
    assert run.codes("mesh.yaml", "--assume", "shpo.shop.svc.cluster.local") == []
    run.write(
        "apiVersion: v1\nkind: Service\nmetadata: {name: shpo, namespace: shop}\nspec: {ports: [{port: 80}]}\n",
        "inv.yaml",
    )
    assert run.codes("mesh.yaml", "--inventory", "inv.yaml") == [], "and findings of the inventory are not reported"


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("        host: shpo  # gitlab-mesh: ignore=GM0101 the old name, until=2999-01-01", []),
        ("        # gitlab-mesh: ignore=IST0101 the old name\n        host: shpo", []),
        ("        host: shpo  # gitlab-mesh: ignore=GM0101", ["GM0021", "GM0101"]),
        ("        host: shpo  # gitlab-mesh: ignore=GM0101 over until=2001-01-01", ["GM0021", "GM0101"]),
        ("        host: shpo  # gitlab-mesh: ignore=GM0132 another one", ["GM0020", "GM0101"]),
        ("        host: shpo  # gitlab-mesh: ingore=GM0101 typo", ["GM0021", "GM0101"]),
    ],
)
def test_comments_suppress_with_a_reason(run: Run, comment: str, left: list[str]) -> None:
    run.write(ROUTE.replace("        host: shpo", comment))
    assert sorted(run.codes("mesh.yaml")) == left


def test_a_comment_above_a_document_and_annotations_hold_for_all_of_it(run: Run) -> None:
    run.write("# gitlab-mesh: ignore=GM0101 all of it\n" + ROUTE)
    body = run.json("mesh.yaml")
    assert [item["reason"] for item in body["suppressed"]] == ["all of it"]
    for note in (
        "galley.istio.io/analyze-suppress: IST0101",
        "kiali.io/ignore-validations: ''",
        "gitlab-mesh.dev/ignore: GM0101 x",
    ):
        run.write(ROUTE.replace("  namespace: shop\nspec", f"  namespace: shop\n  annotations: {{{note}}}\nspec"))
        assert run.codes("mesh.yaml") == [], note


def test_a_baseline_hides_what_is_known_even_when_lines_move(run: Run) -> None:
    run.write(ROUTE)
    assert run("mesh.yaml", "--baseline", "known.json", "--write-baseline")[0] == 0
    run.write("# moved\n\n" + ROUTE)
    assert run("mesh.yaml", "--baseline", "known.json")[0] == 0
    run.write(ROUTE.replace("shpo", "pay"))
    assert run("mesh.yaml", "--baseline", "known.json")[0] == 13
    run.write("{}", "known.json")
    assert run("mesh.yaml", "--baseline", "known.json")[0] == 2


def test_the_reports_of_gitlab(run: Run) -> None:
    run.write(ROUTE)
    assert run("mesh.yaml", "--output", "out")[0] == 13
    out = run.folder / "out"
    (issue,) = json.loads((out / "gl-code-quality-report.json").read_text())
    assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
    assert issue["location"] == {"path": "mesh.yaml", "lines": {"begin": 11}}
    sast = json.loads((out / "gl-sast-report.json").read_text())
    assert sast["scan"]["status"] == "success"
    assert sast["vulnerabilities"][0]["location"] == {"file": "mesh.yaml", "start_line": 11, "end_line": 11}
    suite = ET.parse(out / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    sarif = json.loads((out / "findings.sarif").read_text())["runs"][0]
    assert sarif["results"][0]["locations"][0]["physicalLocation"]["region"] == {"startLine": 11, "startColumn": 15}
    assert "shpo" in (out / "note.md").read_text()
    assert "MESH_ERRORS=1" in (out / "mesh.env").read_text()
    assert "GM0101" in (out / "report.html").read_text()


def test_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Stdin:
        buffer = io.BytesIO(ROUTE.encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    body = run.json("-")
    assert [(item["file"], item["line"]) for item in body["findings"]] == [("-", 11)]


def test_security_scan_reports_the_posture(run: Run) -> None:
    run.write(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop, namespace: shop}\n"
        "spec: {template: {metadata: {labels: {app: shop, sidecar.istio.io/inject: 'true'}}}}\n---\n"
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        "metadata: {name: default, namespace: istio-system}\nspec: {mtls: {mode: STRICT}}\n"
    )
    body = run.json("mesh.yaml", job="security-scan")
    assert body["facts"] == {
        "workloads in the mesh": "1 of 1 (100 %)",
        "workloads under STRICT mTLS": "1 of 1 (100 %)",
        "workloads under default deny": "0 of 1 (0 %)",
        "workloads that require a token": "0 of 1 (0 %)",
    }
    assert [item["code"] for item in body["findings"]] == ["GM2101"]


def test_profiles(run: Run) -> None:
    run.write(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop}\n"
        "spec: {rules: [{to: [{operation: {notPaths: [/admin]}}]}]}\n"
    )
    assert run.codes("mesh.yaml", job="security-scan") == []
    assert run.codes("mesh.yaml", "--profile", "strict", job="security-scan") == ["GM2103", "GM2113"]


def test_explain(run: Run) -> None:
    run.monkeypatch.setattr(sys, "argv", ["gitlab-mesh", "explain", "ist0132"])
    with pytest.raises(SystemExit):
        main()
    assert run.capsys.readouterr().out.startswith("# GM0132: ")


SCHEMAS = Path(__file__).resolve().parents[4] / "shared" / "gitlab-data"


@pytest.mark.parametrize(
    ("form", "schema"), [("sast", "sast-report-format-15.0.7.condensed.json"), ("codequality", "codeclimate.json")]
)
def test_reports_pass_gitlabs_schemas(run: Run, form: str, schema: str) -> None:
    if not (SCHEMAS / schema).exists():
        pytest.skip(f"GitLab's schema is not beside this checkout (shared/gitlab-data/{schema})")
    import jsonschema

    body = json.loads((SCHEMAS / schema).read_text(encoding="utf-8"))
    report = json.loads(run(run.write(ROUTE), "--format", form)[1])
    validator = jsonschema.validators.validator_for(body)(body)
    items = report if form == "codequality" else [report]  # that schema describes one entry
    assert items
    assert [error.message for item in items for error in validator.iter_errors(item)] == []


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_changed_reports_only_what_the_merge_request_causes(run: Run, require_tool: Any) -> None:
    require_tool("git")
    run.write(ROUTE)
    run.write(GOOD.replace("name: shop", "name: other").replace("hosts: [shop]", "hosts: [other]"), "other.yaml")
    git(run.folder, "init", "-b", "main")
    git(run.folder, "add", ".")
    git(run.folder, "commit", "-m", "first")
    git(run.folder, "checkout", "-b", "feature")
    assert run.codes(".", "--changed", "main") == [], "what was wrong before is not this merge request's"
    (run.folder / "other.yaml").unlink()
    run.write("# moved\n" + ROUTE)
    run.write(ROUTE.replace("name: shop\n", "name: pay\n").replace("hosts: [shop]", "hosts: [pay]"), "new.yaml")
    found = run.json(".", "--changed", "main")["findings"]
    assert [(item["file"], item["resource"], item["code"]) for item in found if item["level"] == "error"] == [
        ("new.yaml", "VirtualService shop/pay", "GM0101")
    ]
    for path in (str(run.folder), "*.yaml", "./new.yaml"):
        assert "GM0101" in run.codes(path, "--changed", "main"), path
    assert run(".", "--changed", "nowhere")[0] == 2
    assert run("-", "--changed", "main")[0] == 2


RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: NAME, namespace: shop}
spec: {host: shop, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: shop, labels: {sidecar.istio.io/inject: 'true'}}
"""
STRICT = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""


def repository(run: Run, **files: str) -> None:
    git(run.folder, "init", "-b", "main")
    for name, text in files.items():
        run.write(text, f"{name}.yaml")
    git(run.folder, "add", ".")
    git(run.folder, "commit", "-m", "first")


def test_changed_blames_no_object_that_was_not_touched(run: Run, require_tool: Any) -> None:
    require_tool("git")
    repository(run, a=RULE.replace("NAME", "a"), b=RULE.replace("NAME", "b"), c=GOOD)
    assert "GM1201" in run.codes(".")
    run.write("# touched\n" + RULE.replace("NAME", "a"), "a.yaml")
    assert run.codes(".", "--changed", "main") == [], "b contradicts a now as it did before"


def test_changed_sees_what_a_deleted_object_leaves_behind(run: Run, require_tool: Any) -> None:
    require_tool("git")
    route, _, service = GOOD.partition("---\n")
    other = service.replace("name: shop,", "name: other,")
    repository(run, route=route, service=service, other=other, text=service.replace("name: shop,", "name: old,"))
    (run.folder / "service.yaml").unlink()
    assert run.codes(".", "--changed", "main") == ["GM0101"], "the route was not touched, and leads nowhere now"
    assert run.codes("route.yaml", "other.yaml", "--changed", "main") == [], "the service never was among these paths"


def test_security_scan_shows_the_change_of_the_posture(run: Run, require_tool: Any) -> None:
    require_tool("git")
    repository(run, pod=POD)
    run.write(STRICT, "peer.yaml")
    body = run.json(".", "--changed", "main", "--output", "out", job="security-scan")
    assert body["facts"]["workloads under STRICT mTLS"] == "1 of 1 (100 %)"
    assert body["former_facts"]["workloads under STRICT mTLS"] == "0 of 1 (0 %)"
    assert "Before the merge request" in (run.folder / "out" / "note.md").read_text()


def test_in_a_merge_request_the_posture_is_compared_by_itself(
    run: Run, require_tool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_tool("git")
    repository(run, pod=POD)
    run.write(STRICT, "peer.yaml")
    assert run.json(".", job="security-scan")["former_facts"] == {}
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", "main")
    body = run.json(".", job="security-scan")
    assert body["former_facts"]["workloads under STRICT mTLS"] == "0 of 1 (0 %)"
    assert [item["code"] for item in body["findings"]] == ["GM2101"], "all findings, those of before, too"
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", "0" * 40)
    assert run.json(".", job="security-scan")["former_facts"] == {}
    assert "not compared with the target branch" in run.errors


def test_changed_says_nothing_about_a_mesh_yaml_that_was_not_touched(run: Run, require_tool: Any) -> None:
    require_tool("git")
    repository(run, mesh="version: 9\n", route=GOOD)
    assert run.codes("route.yaml", "--changed", "main") == []
    run.write("version: 8\n")
    assert "GM0030" in run.codes("route.yaml", "--changed", "main")
