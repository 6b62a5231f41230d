"""Recall and precision of the rules on upstream's own cases, kept beside this checkout.

``python benchmarks/oracles.py DIR [--complete] [--quiet]`` prints, per suite, what was found and missed; the last
line sums up; exit code 1 below the goal: at most 2 analysis cases not exact, at least 98 % right verdicts on objects
with no valid object rejected.

DIR holds ``istio-analysis/`` and ``istio-objects/``, each with ``cases.json`` (its ``meta.json`` says what is
compared). A case is judged by the rules that stand for its analyzer: same Istio code, and for IST0101 the same kind
of reference.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.engine import analyze
from gitlab_mesh.core.analysis.model import Document, Level, Options
from gitlab_mesh.core.analysis.ruleset import registered

REFERENCES = {
    "authz.AuthorizationPoliciesAnalyzer": {"GM0187"},
    "gateway.ConflictingGatewayAnalyzer": {"GM0183"},
    "gateway.IngressGatewayPortAnalyzer": {"GM0183"},
    "gateway.SecretAnalyzer": {"GM0183", "GM0184"},
    "sidecar.SelectorAnalyzer": {"GM0185"},
    "telemetry.SelectorAnalyzer": {"GM0186"},
    "virtualservice.DestinationHostAnalyzer": {"GM0101"},
    "virtualservice.DestinationRuleAnalyzer": {"GM0181"},
    "virtualservice.GatewayAnalyzer": {"GM0182"},
}
Counts = Counter[tuple[str, str]]


@dataclass
class Score:
    """What came out of one suite."""

    cases: int = 0
    exact: int = 0
    expected: int = 0
    found: int = 0
    extra: int = 0
    rejected_valid: int = 0
    misses: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.extra) if self.found + self.extra else 1.0


def analysis_documents(folder: Path, case: dict[str, Any]) -> list[Document]:
    if case.get("clusters"):
        documents = []
        for name, inputs in case["clusters"].items():
            for document in FileManifests().read([str(folder / item) for item in inputs]).documents:
                document.cluster = name
                documents.append(document)
        return documents
    paths = [folder / "default-resources.yaml", *(folder / item for item in case["inputs"])]
    paths += [folder / case[key] for key in ("mesh_config", "mesh_networks") if case.get(key)]
    documents = list(FileManifests().read([str(path) for path in paths]).documents)
    wanted = {*case["analyzer_inputs"], "MeshConfig", "MeshNetworks"}
    return [item for item in documents if item.kind in wanted] if case["analyzer_inputs"] else documents


def score_analysis(folder: Path, *, complete: bool) -> Score:
    rules = registered()
    score = Score()
    for case in json.loads((folder / "cases.json").read_text(encoding="utf-8")):
        problems, _ = analyze(analysis_documents(folder, case), Options(complete=complete))
        known = REFERENCES.get(case["analyzer_type"], set())
        got: Counts = Counter()
        for problem in problems:
            istio = rules[problem.code].istio
            if istio in case["analyzer_codes"] and (istio != "IST0101" or problem.code in known):
                got[istio, problem.document.resource] += 1
        want: Counts = Counter((item["code"], item["resource"]) for item in case["expected"])
        score.cases += 1
        score.exact += got == want
        score.expected += want.total()
        score.found += (want & got).total()
        score.extra += (got - want).total()
        if got != want:
            score.misses.append(f"{case['id']}: missing {dict(want - got)}, extra {dict(got - want)}")
    return score


def score_objects(folder: Path) -> dict[str, Score]:
    rules = registered()
    scores: dict[str, Score] = defaultdict(Score)
    files: dict[str, list[Document]] = {}
    broken: dict[str, list[int]] = {}
    for case in json.loads((folder / "cases.json").read_text(encoding="utf-8")):
        name = case["file"]
        if name not in files:
            read = FileManifests().read([str(folder / name)])
            files[name] = list(read.documents)
            broken[name] = [item.document.first_line for item in read.problems]
        line, score = case.get("line") or 1, scores[case["suite"]]
        document = next((item for item in files[name] if item.first_line <= line + 1 and line < item.last_line), None)
        rejected = document is None
        if document is not None:
            document.body.pop("_err", None)
            problems, _ = analyze([document], Options())
            rejected = any(
                rules[item.code].istio == "IST0106" and (item.level or rules[item.code].level) is Level.ERROR
                for item in problems
            )
        score.cases += 1
        right = rejected != case["valid"]
        score.exact += right
        score.expected += not case["valid"]
        score.found += rejected and not case["valid"]
        score.extra += rejected and case["valid"]
        score.rejected_valid += rejected and case["valid"]
        if not right:
            score.misses.append(f"{case['id']} ({case.get('title') or case['name']}): valid is {case['valid']}")
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--complete", action="store_true", help="everything was read: what is missing is an error")
    parser.add_argument("--quiet", action="store_true", help="leave out the misses")
    arguments = parser.parse_args()
    analysis = score_analysis(arguments.folder / "istio-analysis", complete=arguments.complete)
    scores = {"istio-analysis": analysis, **score_objects(arguments.folder / "istio-objects")}
    for name, score in scores.items():
        print(
            f"{name}: {score.exact} of {score.cases} exact, recall {score.recall:.3f} "
            f"({score.found} of {score.expected}), precision {score.precision:.3f} ({score.extra} extra)"
        )
        for miss in () if arguments.quiet else score.misses:
            print(f"  {miss}")
    objects = [score for name, score in scores.items() if name != "istio-analysis"]
    right, cases = sum(score.exact for score in objects), sum(score.cases for score in objects)
    wrong = sum(score.rejected_valid for score in objects)
    good = analysis.cases - analysis.exact <= 2 and right >= 0.98 * cases and not wrong
    print(
        f"analysis {analysis.exact} of {analysis.cases} exact; objects {right} of {cases} right, "
        f"{wrong} valid rejected: {'goal met' if good else 'BELOW THE GOAL'}"
    )
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
