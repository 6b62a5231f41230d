"""JUnit XML for ``artifacts:reports:junit``: GitLab's merge request shows which metric failed, and why.

One suite a service; one case a metric that counts (critical or normal) and one for the release's decision.
Undecided and no-data are *skipped* with their reason: they are no failure of the metric, and never a pass.
"""

from __future__ import annotations

from html import escape

from gitlab_mesh.core.judge.model import Importance, VerdictKind
from gitlab_mesh.core.report.markdown import clean_text
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.report.wording import OUTCOME_WORD, VerdictRow, find_verdict_sections, list_verdict_rows

__all__ = ["render_junit"]

_GOES_ON = {Outcome.RUNNING, Outcome.PAUSED, Outcome.PLANNED}


def render_junit(*reports: Report) -> str:
    """Render one document for the reports of one job."""
    suites = "\n".join(_render_suite(report) for report in reports)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="gitlab-mesh">\n{suites}\n</testsuites>\n'


def _attribute(text: str) -> str:
    """A quoted attribute; line ends and tabs survive attribute normalisation as character references."""
    # not xml.sax.saxutils.quoteattr: that module loads an HTTP client, and every job loads this one
    quoted = escape(clean_text(text), quote=False).replace('"', "&quot;")
    return f'"{quoted}"'.replace("\n", "&#10;").replace("\t", "&#9;")


def _render_suite(report: Report) -> str:
    rows = [
        (row, section.sides)
        for section in find_verdict_sections(report)
        for row in list_verdict_rows(section.judgement)
        if row.verdict.importance is not Importance.INFORMATIONAL
    ]
    class_name = ".".join(part for part in ("gitlab-mesh", report.job, report.service) if part)
    results = [_decide(report), *(_judge(row, sides) for row, sides in rows)]
    names = [f"release decision: {report.service or report.job}", *(row.metric for row, _ in rows)]
    cases = [
        f'    <testcase classname={_attribute(class_name)} name={_attribute(name)} time="{seconds:.3f}">'
        f"{result}</testcase>"
        for name, result, seconds in zip(names, results, [report.duration_seconds, *[0.0] * len(rows)], strict=True)
    ]
    counts = {
        word: sum(result.startswith(f"<{tag}") for result in results)
        for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    totals = " ".join(f'{word}="{count}"' for word, count in counts.items())
    started = f" timestamp={_attribute(report.started)}" if report.started else ""
    name = _attribute(" ".join(part for part in (report.job, report.service) if part))
    head = f'<testsuite name={name} tests="{len(cases)}" {totals} time="{report.duration_seconds:.3f}"{started}>'
    return "\n".join([f"  {head}", *cases, "  </testsuite>"])


def _decide(report: Report) -> str:
    if report.outcome in _GOES_ON and report.exit_code == 0:
        return f"<skipped message={_attribute(f'{OUTCOME_WORD[report.outcome]}: {report.headline}')}/>"
    if report.exit_code == 0:
        return ""
    details = "\n".join(part for part in (report.reason, report.next_step) if part)
    return (
        f"<failure type={_attribute(report.outcome.value)} message={_attribute(report.headline)}>"
        f"{escape(clean_text(details), quote=False)}</failure>"
    )


def _judge(row: VerdictRow, sides: tuple[str, str]) -> str:
    left, right = (side.lower() for side in sides)
    figures = f"{left} {row.stable}{_n(row.stable_n)}, {right} {row.canary}{_n(row.canary_n)}, {row.difference}"
    message = _attribute(row.verdict.reason or f"{row.metric}: {row.word}")
    match row.verdict.kind:
        case VerdictKind.PASS:
            return ""
        case VerdictKind.BREACH:
            return f'<failure type="breach" message={message}>{escape(clean_text(figures), quote=False)}</failure>'
        case VerdictKind.ERROR:
            return f'<error type="error" message={message}>{escape(clean_text(figures), quote=False)}</error>'
        case VerdictKind.UNDECIDED | VerdictKind.NO_DATA:
            text = f"{row.word}: {row.verdict.reason}" if row.verdict.reason else row.word
            return f"<skipped message={_attribute(text)}/>"


def _n(count: str) -> str:
    return f" (n {count})" if count else ""
