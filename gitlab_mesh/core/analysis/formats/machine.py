"""JSON of our own, SARIF 2.1.0, JUnit."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from gitlab_mesh.core.analysis.findings import Summary
from gitlab_mesh.core.analysis.model import Finding, Level
from gitlab_mesh.core.analysis.ruleset import registered
from gitlab_mesh.core.report.markdown import clean_text

__all__ = ["finding_json", "render_json", "render_junit", "render_sarif"]

_BASE = "%SRCROOT%"
_SARIF_LEVEL = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}


def finding_json(item: Finding) -> dict[str, Any]:
    """Return one finding as JSON."""
    return {
        "code": item.code,
        "istio_code": item.istio_code,
        "level": item.level.value,
        "resource": item.resource,
        "file": item.file,
        "line": item.line,
        "column": item.column,
        "path": item.path,
        "message": item.message,
        "why": item.why,
        "hint": item.hint,
        "fingerprint": item.fingerprint,
        "references": list(item.references),
    }


def render_json(summary: Summary) -> str:
    """Render everything."""
    body = {
        "version": 1,
        "findings": [finding_json(item) for item in summary.findings],
        "suppressed": [{**finding_json(item), "reason": reason} for item, reason in summary.suppressed],
        "objects": summary.objects,
        "files": summary.files,
        "skipped": sum(summary.skipped.values()),
        "skipped_kinds": dict(summary.skipped),
        "facts": dict(summary.facts),
        "former_facts": dict(summary.former_facts),
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def render_sarif(summary: Summary, *, version: str) -> str:
    """Render SARIF 2.1.0; fingerprints keep a finding the same when lines move."""
    rules = registered()
    used = sorted({item.code for item in summary.findings} | {item.code for item, _ in summary.suppressed})
    results = [_sarif_result(item, used) for item in summary.findings]
    results += [
        {
            **_sarif_result(item, used),
            "suppressions": [{"kind": "external" if reason == "baseline" else "inSource", "justification": reason}],
        }
        for item, reason in summary.suppressed
    ]
    driver = {
        "name": "gitlab-mesh",
        "version": version,
        "rules": [
            {
                "id": code,
                "shortDescription": {"text": rules[code].title},
                "fullDescription": {"text": rules[code].why},
                "help": {"text": rules[code].mend},
                "defaultConfiguration": {"level": _SARIF_LEVEL[rules[code].level]},
                "properties": {"tags": [tag for tag in (rules[code].istio, *rules[code].references) if tag]},
            }
            for code in used
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_BASE: {"description": {"text": "The directory in which gitlab-mesh ran."}}},
        "results": results,
    }
    body = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _sarif_result(item: Finding, used: list[str]) -> dict[str, Any]:
    return {
        "ruleId": item.code,
        "ruleIndex": used.index(item.code),
        "level": _SARIF_LEVEL[item.level],
        "message": {"text": f"{item.resource}: {item.message}. {item.hint}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _artifact(item.file),
                    "region": {"startLine": item.line, "startColumn": item.column},
                },
                "logicalLocations": [{"fullyQualifiedName": f"{item.resource} {item.path}"}],
            }
        ],
        "partialFingerprints": {"gitlabMesh/v1": item.fingerprint},
    }


def _artifact(file: str) -> dict[str, str]:
    """Return a file as SARIF wants it: an encoded URI, a relative one with its base (SARIF 2.1.0, 3.4)."""
    address = quote(file.replace("\\", "/").removeprefix("./"), safe="/")
    return {"uri": f"file://{address}"} if address.startswith("/") else {"uri": address, "uriBaseId": _BASE}


def render_junit(summary: Summary, *, job: str) -> str:
    """Render one case a finding; errors fail, the rest are shown as skipped."""
    from xml.sax.saxutils import escape, quoteattr  # loads the HTTP client: not for those who ask for no JUnit

    cases = []
    for item in summary.findings:
        name = quoteattr(clean_text(f"{item.code} {item.resource} {item.path}"))
        text = clean_text(f"{item.file}:{item.line}:{item.column}: {item.message}\n{item.hint}")
        message = quoteattr(clean_text(item.message))
        if item.level is Level.INFO:
            inner = f"<skipped message={message}/>"
        else:
            inner = f'<failure type="{item.level.value}" message={message}>{escape(text)}</failure>'
        cases.append(
            f'    <testcase classname="gitlab-mesh.{job}" name={name} file={quoteattr(item.file)}>{inner}</testcase>'
        )
    if not cases:
        cases = [f'    <testcase classname="gitlab-mesh.{job}" name="no findings"/>']
    failures = sum(item.level is not Level.INFO for item in summary.findings)
    skipped = len(summary.findings) - failures
    head = f'<testsuite name="{job}" tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}">'
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            "<testsuites>",
            f"  {head}",
            *cases,
            "  </testsuite>",
            "</testsuites>",
            "",
        ]
    )
