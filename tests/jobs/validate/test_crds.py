"""``validate --crds``: the user's CustomResourceDefinitions, as the API server applies them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.model import Document, Problem
from gitlab_mesh.errors import UsageError

pytest.importorskip("jsonschema_rs", reason="the extra crds is not installed")
pytest.importorskip("cel", reason="the extra crds is not installed")
from gitlab_mesh.adapters.crds import Crds
from tests.jobs.validate.conftest import Run

DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - {name: v0, served: false, storage: false, schema: {openAPIV3Schema: {type: object}}}
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - {rule: "self.low <= self.high", message: low must not be above high, fieldPath: .low}
            - {rule: "self.high == oldSelf.high", message: high must not change}
            properties:
              low: {type: integer, default: 1, exclusiveMinimum: true, minimum: 0}
              high: {type: integer, default: 10, format: int32}
              port: {x-kubernetes-int-or-string: true}
              note: {type: string, nullable: true, enum: [a, b]}
              mode: {type: string}
              namespace:
                type: string
                x-kubernetes-validations: [{rule: "self != 'kube-system'", messageExpression: "'not in ' + self"}]
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, size: {type: number}}}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              wait: {type: string, format: duration}
              address: {type: string, format: ipv4}
              more: {type: object, x-kubernetes-preserve-unknown-fields: true}
              labels: {type: object, additionalProperties: {type: string}}
              amount:
                type: string
                x-kubernetes-validations: [{rule: "quantity(self).isGreaterThan(quantity('1'))", message: too few}]
"""
WIDGET = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n"


def documents(text: str, **more: Any) -> list[Document]:
    return list(FileManifests(text.encode()).read(["-"], **more).documents)


@pytest.fixture(scope="module")
def crds() -> Crds:
    return Crds(documents(DEFINITION))


def check(crds: Crds, spec: str, head: str = WIDGET) -> list[Problem]:
    (document,) = documents(f"{head}spec: {{{spec}}}\n", defined=crds.kinds)
    found = crds.check(document)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "low: null, high: 3",
        "note: null",
        "note: b",
        "port: 80",
        "port: http",
        "mode: null",
        "more: {anything: [1]}",
        "labels: {a: b}",
        "parts: [{name: a}, {name: b, size: 1}]",
        "tags: [a, b]",
        "wait: 1m30s",
        "address: 192.0.2.1",
        "namespace: shop",
    ],
)
def test_what_the_api_server_takes(crds: Crds, spec: str) -> None:
    assert check(crds, spec) == []


@pytest.mark.parametrize(
    ("spec", "code", "path", "words"),
    [
        ("hihg: 3", "GM0010", ("spec", "hihg"), "hihg is not a field"),
        ("low: many", "GM0011", ("spec", "low"), "integer"),
        ("low: 0", "GM0013", ("spec", "low"), "0"),
        ("high: 3000000000", "GM0013", ("spec", "high"), "2147483647"),
        ("note: c", "GM0013", ("spec", "note"), "c"),
        ("port: [1]", "GM0011", ("spec", "port"), "integer"),
        ("parts: [{size: 1}]", "GM0012", ("spec", "parts", 0), "name"),
        ("parts: [null]", "GM0011", ("spec", "parts", 0), "null"),
        ("parts: [{name: a}, {name: a}]", "GM0015", ("spec", "parts", 1), "name a stands twice"),
        ("tags: [a, a]", "GM0015", ("spec", "tags", 1), "a stands twice"),
        ("labels: {a: 1}", "GM0011", ("spec", "labels", "a"), "string"),
        ("wait: soon", "GM0013", ("spec", "wait"), "duration"),
        ("address: '::1x'", "GM0013", ("spec", "address"), "ipv4"),
        ("low: 20", "GM0022", ("spec", "low"), "low must not be above high"),
        ("high: 0", "GM0022", ("spec", "low"), "low must not be above high"),
        ("namespace: kube-system", "GM0022", ("spec", "namespace"), "not in kube-system"),
    ],
)
def test_what_the_api_server_refuses(crds: Crds, spec: str, code: str, path: tuple[str | int, ...], words: str) -> None:
    (problem,) = check(crds, spec)
    assert (problem.code, problem.path) == (code, path)
    assert words in problem.message


def test_entries_of_a_wrong_type_stand_for_themselves(crds: Crds) -> None:
    assert {problem.code for problem in check(crds, "parts: [1, 1, null, null, {name: a}]")} == {"GM0011", "GM0015"}


def test_the_nearest_field_is_named(crds: Crds) -> None:
    assert check(crds, "hihg: 3")[0].hint == "did you mean high?"


def test_a_version_that_is_not_served(crds: Crds) -> None:
    (problem,) = check(crds, "", WIDGET.replace("/v1", "/v0"))
    assert (problem.code, problem.hint) == ("GM0017", "write one of v1")


def test_a_rule_that_the_library_cannot_evaluate_is_said_and_counted() -> None:
    crds = Crds(documents(DEFINITION))
    assert check(crds, "amount: '2'") == []
    assert check(crds, "amount: '3', namespace: shop") == []
    (remark,) = crds.finish()
    assert remark.code == "GM0023"
    assert "not checked (2 times): quantity(self)" in remark.message
    assert crds.count() == "3 evaluated, 2 not"


@pytest.mark.parametrize(
    "text", [WIDGET, DEFINITION.replace("minimum: 0", "pattern: '('"), DEFINITION.replace("served: true", "served: no")]
)
def test_what_defines_nothing(text: str) -> None:
    with pytest.raises(UsageError):
        Crds(documents(text))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(UsageError, match="--crds needs the library jsonschema_rs"):
        Crds(documents(DEFINITION))


def test_the_command(run: Run) -> None:
    run.write(DEFINITION, "crd.yaml")
    run.write(WIDGET + "spec: {low: 20}\n", "widget.yaml")
    assert run.json("widget.yaml")["skipped_kinds"] == {"Widget": 1}
    body = run.json("widget.yaml", "--crds", "crd.yaml")
    (found,) = body["findings"]
    assert (found["code"], found["resource"], found["line"]) == ("GM0022", "Widget shop/w", 4)
    assert body["skipped"] == 0
    assert body["facts"] == {"rules of CustomResourceDefinitions": "1 evaluated, 0 not"}
    assert run("widget.yaml", "--crds", "widget.yaml")[0] == 2


def test_the_users_schema_holds_instead_of_ours(run: Run) -> None:
    own = DEFINITION.replace("group: example.com", "group: networking.istio.io").replace("Widget", "VirtualService")
    run.write(own, "crd.yaml")
    run.write(
        WIDGET.replace("example.com", "networking.istio.io").replace("Widget", "VirtualService") + "spec: {high: 3}\n"
    )
    assert "GM0010" in run.codes("mesh.yaml"), "our VirtualService has no such field"
    assert [code for code in run.codes("mesh.yaml", "--crds", "crd.yaml") if "GM0010" <= code <= "GM0017"] == []


ORACLES = Path(__file__).resolve().parents[4] / "shared" / "oracles" / "istio-objects"


@pytest.mark.skipif(not ORACLES.is_dir(), reason="the cases are not beside this checkout (shared/oracles)")
def test_upstreams_own_cases_with_upstreams_own_definitions() -> None:
    loaded = {
        path.stem: Crds(FileManifests().read([str(path)]).documents)
        for path in sorted((ORACLES / "crds").glob("*.yaml"))
    }
    cases = json.loads((ORACLES / "cases.json").read_text(encoding="utf-8"))
    wrong, cases = [], [case for case in cases if case["suite"] != "istio-webhook"]
    for case in cases:
        crds = loaded.get(case["schema"]) or loaded[f"gateway-api-{case['schema']}"]
        found = FileManifests().read([str(ORACLES / case["file"])], defined=crds.kinds).documents
        line = case["line"]
        document = next((item for item in found if item.first_line <= line + 1 and line < item.last_line), None)
        if document is not None:
            document.body.pop("_err", None)
        if (document is None or bool(crds.check(document))) == case["valid"]:
            wrong.append(case["id"])
    assert len(cases) > 100
    assert len(wrong) <= 0.02 * len(cases), wrong
