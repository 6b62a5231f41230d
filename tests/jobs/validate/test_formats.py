"""Outputs for machines: the JSON fits the schema that is shipped, SARIF what SARIF 2.1.0 asks."""

from __future__ import annotations

import json
import sys
from typing import Any

import jsonschema
import pytest

from gitlab_mesh.cli.main import main
from gitlab_mesh.core.analysis.ruleset import registered
from tests.jobs.validate.conftest import Run
from tests.jobs.validate.samples import ROUTE

BAD = ROUTE + "---\n{a: \n"
"""An error of a rule, and YAML that ends too early."""


def schema(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(sys, "argv", ["gitlab-mesh", "explain", "--schema"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return json.loads(capsys.readouterr().out)


def test_json_fits_the_schema_that_is_shipped(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = schema(monkeypatch, capsys)
    validator = jsonschema.Draft202012Validator(shipped)
    run.write(BAD.replace("host: shpo", "host: shpo  # gitlab-mesh: ignore=GM0101 known"))
    run.write(BAD + "---\napiVersion: v1\nkind: Unknown\nmetadata: {name: x}\n", "other.yaml")
    body = run.json("mesh.yaml", "other.yaml")
    assert body["suppressed"]
    assert body["skipped_kinds"] == {"Unknown": 1}
    validator.validate(body)
    validator.validate(run.json(".", job="security-scan"))
    assert set(body) == set(shipped["properties"]), "and it says everything"
    assert set(body["findings"][0]) == set(shipped["$defs"]["finding"]["properties"])
    assert not validator.is_valid({**body, "findings": [{**body["findings"][0], "line": 0}]})


def test_sarif(run: Run) -> None:
    run.write(BAD.replace("host: shpo", "host: shpo  # gitlab-mesh: ignore=GM0101 known"), "ä b.yaml")
    run.write(BAD)
    body = json.loads(run("./ä b.yaml", str(run.folder / "mesh.yaml"), "--format", "sarif")[1])
    assert body["version"] == "2.1.0"
    (sarif,) = body["runs"]
    codes = [rule["id"] for rule in sarif["tool"]["driver"]["rules"]]
    assert codes == sorted(set(codes))
    for result in sarif["results"]:
        assert codes[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert region["startLine"] >= 1
        assert region["startColumn"] >= 1
        assert len(result["partialFingerprints"]["gitlabMesh/v1"]) == 40
    places = {json.dumps(item["locations"][0]["physicalLocation"]["artifactLocation"]) for item in sarif["results"]}
    assert places == {
        json.dumps({"uri": "%C3%A4%20b.yaml", "uriBaseId": "%SRCROOT%"}),
        json.dumps({"uri": (run.folder / "mesh.yaml").as_uri()}),
    }
    assert set(sarif["originalUriBaseIds"]) == {"%SRCROOT%"}
    justified = [item["suppressions"] for item in sarif["results"] if "suppressions" in item]
    assert justified == [[{"kind": "inSource", "justification": "known"}]]


def test_every_rule_can_be_shown_in_sarif(run: Run) -> None:
    run.write(ROUTE)
    rules = json.loads(run("mesh.yaml", "--format", "sarif")[1])["runs"][0]["tool"]["driver"]["rules"]
    for rule in rules:
        known = registered()[rule["id"]]
        assert rule["shortDescription"]["text"] == known.title
        assert rule["help"]["text"] == known.mend
