"""``artifacts:reports:metrics``: the run's figures as OpenMetrics text, which GitLab compares with the target branch.

GitLab (Premium) reads lines ``name{labels} value``, drops the quotes of the labels and shows the rest as the key
(``Gitlab::Ci::Parsers::Metrics::Generic``); so labels hold no blanks, and a key is the same in every pipeline:
nothing that changes from run to run (image, commit, time) is part of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite

from gitlab_mesh.core.report.markdown import clean_text
from gitlab_mesh.core.report.model import Report
from gitlab_mesh.core.report.wording import find_verdict_sections

__all__ = ["render_metrics"]

_SUFFIX = {"ratio": "_ratio", "seconds": "_seconds", "percent": "_percent", "per_second": "_per_second"}

Sample = tuple[str, tuple[tuple[str, str], ...], float]


def render_metrics(report: Report) -> str:
    """Render every metric that was judged, both sides, and how long the run took; ends with ``# EOF``."""
    lines: list[str] = []
    families: dict[str, list[Sample]] = {}
    for sample in _list_samples(report):
        families.setdefault(sample[0], []).append(sample)
    for name, samples in families.items():
        lines.append(f"# TYPE {name} gauge")
        seen: set[tuple[tuple[str, str], ...]] = set()
        for _, labels, value in samples:
            if labels not in seen:  # two metrics whose names differ in blanks only
                seen.add(labels)
                shown = ",".join(f'{key}="{text}"' for key, text in labels)
                lines.append(f"{name}{{{shown}}} {value:.6g}")
    return "\n".join([*lines, "# EOF", ""])


def _list_samples(report: Report) -> Iterator[Sample]:
    about = (("service", _label(report.service or report.job)),)
    if isfinite(report.duration_seconds) and report.duration_seconds > 0:
        yield "mesh_run_duration_seconds", about, report.duration_seconds
    for section in find_verdict_sections(report):
        for verdict in section.judgement.verdicts:
            suffix = _SUFFIX.get(verdict.unit, "")
            name = f"mesh_{_name(verdict.metric)}{suffix}" if suffix else f"mesh_{_name(verdict.metric)}"
            values = (verdict.stable, verdict.stable_n), (verdict.canary, verdict.canary_n)
            for side, (value, count) in zip(section.sides, values, strict=True):
                labels = (*about, ("side", _label(side.lower())))
                if value is not None and isfinite(value):
                    yield name, labels, value
                if count:
                    yield "mesh_requests", (*labels, ("metric", _label(verdict.metric))), float(count)


def _name(text: str) -> str:
    """A metric's name: ``[a-zA-Z0-9_]``; the prefix takes care of a digit in front."""
    return re.sub(r"[^a-zA-Z0-9]+", "_", text).strip("_").lower()[:100] or "unnamed"


def _label(text: str) -> str:
    """A label's value without blanks, quotes and backslashes, so that neither side has to unescape it."""
    return re.sub(r"[\s\"\\{},=]+", "_", clean_text(text)).strip("_")[:100]
