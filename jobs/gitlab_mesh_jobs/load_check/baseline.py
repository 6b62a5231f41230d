"""The baseline: read before the load, so that a wrong file costs no run; a first run has none, and says so."""

from __future__ import annotations

import json

from gitlab_mesh.core.load.compare import check_alike, compare_results
from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.result import LoadResult, parse_result
from gitlab_mesh.core.load.settings import LoadBaseline
from gitlab_mesh.core.report.model import VerdictSection
from gitlab_mesh.errors import ObjectMissingError, UsageError
from gitlab_mesh.job import ServicePorts

__all__ = ["compare_with_baseline", "read_baseline"]


def read_baseline(ports: ServicePorts, path: str, plan: LoadPlan) -> LoadResult | None:
    """Read it; None where there is none yet.

    Raises:
        UsageError: The file is no result, or one of another load.
    """
    try:
        text = ports.files.read(path)
    except ObjectMissingError:
        ports.console.line(f"{path} does not exist yet, so nothing is compared with it", tone="warn")
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON", why=str(error)) from error
    baseline = parse_result(value, path)
    check_alike(baseline, [kind.name for kind in plan.kinds], plan.profile.mean_rate)
    return baseline


def compare_with_baseline(baseline: LoadResult, config: LoadBaseline, result: LoadResult) -> VerdictSection:
    """Compare the run with the one before."""
    judgement = compare_results(baseline, result, tolerance=config.tolerance, margin=config.margin)
    return VerdictSection(judgement, "Against the baseline", ("Baseline", "This run"))
