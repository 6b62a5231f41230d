"""The text of ``mesh.yaml`` and of the pipeline for services that were found."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gitlab_mesh.scaffold.discover import Candidate
from gitlab_mesh.templating import RELEASE_FILE

__all__ = ["Source", "render_mesh_yaml", "render_pipeline"]

_MATRIX_JOBS = ("mesh-canary", "mesh-plan", "mesh-rollback", "mesh-rollback-now", "mesh-status", "mesh-recover")
"""Jobs about one service, which run once for each; ``mesh-continue`` extends the first."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the template comes from: a project of the same GitLab, or (empty) a copy in this repository."""

    project: str = ""
    ref: str = ""

    @property
    def include(self) -> list[str]:
        """Lines of the item of ``include``, without indentation."""
        if not self.project:
            return [f"- local: ci-templates/{RELEASE_FILE}"]
        ref = [f"  ref: {_scalar(self.ref)}"] if self.ref else []
        return [f"- project: {_scalar(self.project)}", *ref, f"  file: ci-templates/{RELEASE_FILE}"]


def render_mesh_yaml(candidates: Sequence[Candidate]) -> str:
    """Return ``mesh.yaml``: what cannot be known otherwise, and nothing that is a default."""
    lines = ["# Every setting with its default: gitlab-mesh config reference", "version: 1", "services:"]
    for found in candidates:
        lines += [f"  {found.name}:", f"    namespace: {_scalar(found.namespace)}"]
        lines += [f"    host: {_scalar(found.host)}"] if found.host else []
        key = "virtualService" if found.kind == "VirtualService" else "httpRoute"
        named = f", http: [{', '.join(map(_scalar, found.http))}]" if found.http else ""
        lines.append(f"    route: {{{key}: {_scalar(found.route)}{named}}}")
        workload = [f"name: {_scalar(found.workload)}"] if found.workload != found.name else []
        workload += [f"container: {_scalar(found.container)}"] if found.container else []
        lines += [f"    workload: {{{', '.join(workload)}}}"] if workload else []
        subsets = [f"label: {_scalar(found.label)}"] if found.label != "version" else []
        subsets += [f"stable: {_scalar(found.stable)}"] if found.stable != "stable" else []
        lines += [f"    subsets: {{{', '.join(subsets)}}}"] if subsets else []
    return "\n".join([*lines, ""])


def render_pipeline(candidates: Sequence[Candidate], source: Source, *, kube_context: str = "") -> str:
    """Return the pipeline: one service by variables, several by a matrix; one include all the same."""
    lines = [
        "# What each variable does: the head of the included file. Check the setup: gitlab-mesh doctor",
        "include:",
        *(f"  {line}" for line in source.include),
        "",
    ]
    variables = [f"  GITLAB_MESH_KUBE_CONTEXT: {_scalar(kube_context)}"] if kube_context else []
    if len(candidates) == 1:
        variables = [*(f"  {line}" for line in _of_service(candidates[0])), *variables]
    if variables:
        lines += ["variables:", *variables]
    if len(candidates) > 1:
        lines += (
            ["", ".mesh-services:", "  parallel:", "    matrix:"]
            if variables
            else [".mesh-services:", "  parallel:", "    matrix:"]
        )
        for found in candidates:
            first, *rest = _of_service(found)
            lines += [f"      - {first}", *(f"        {line}" for line in rest)]
        for job in _MATRIX_JOBS:
            lines += ["", f"{job}:", "  parallel: !reference [.mesh-services, parallel]"]
    return "\n".join([*lines, ""])


def _of_service(found: Candidate) -> list[str]:
    image = f"{found.image or '$CI_REGISTRY_IMAGE'}:$CI_COMMIT_SHORT_SHA"
    return [f"GITLAB_MESH_SERVICE: {_scalar(found.name)}", f"GITLAB_MESH_IMAGE: {_scalar(image)}"]


def _scalar(text: str) -> str:
    """Return a text as YAML: plain where no reader could take it for anything else."""
    plain = re.fullmatch(r"[A-Za-z$][A-Za-z0-9_./$:-]*[A-Za-z0-9_]|[A-Za-z]", text) and ": " not in text
    return (
        text
        if plain and text.lower() not in {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
        else json.dumps(text)
    )
