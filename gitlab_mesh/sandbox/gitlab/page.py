"""The merge request as a page for people: served by the sandbox, and written to a file by the demo.

One self-contained HTML document: no script, no external resource (a content security policy says so too), light and
dark by the reader's preference.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.sandbox.gitlab.entities import unresolved_threads
from gitlab_mesh.sandbox.gitlab.markdown import render_markdown
from gitlab_mesh.sandbox.gitlab.scene import Scene
from gitlab_mesh.sandbox.gitlab.state import Deployment, Job, MergeRequest, Note, Pipeline, Project, User

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_index_page", "render_job_page", "render_merge_request_page"]

_SYMBOLS = {
    "success": "✓", "failed": "✕", "running": "◐", "pending": "◔", "created": "○", "canceled": "⊘", "canceling": "⊘",
    "skipped": "»", "opened": "○", "merged": "✓", "closed": "✕", "available": "✓", "stopped": "■",
}  # fmt: skip


def render_merge_request_page(server: Scene, project: str, iid: int) -> str:
    """Render one merge request: title, description, pipelines, deployments, notes and threads.

    Args:
        server: The emulated instance.
        project: Its id or path.
        iid: Number of the merge request.

    Raises:
        ObjectMissingError: There is no such merge request.
    """
    found = server.state.find_project(project)
    merge_request = found.merge_requests.get(iid) if found else None
    if found is None or merge_request is None:
        raise ObjectMissingError(f"merge request {project}!{iid} does not exist in this sandbox")
    pipelines = server.state.pipelines_of(merge_request)
    return _render(
        "merge_request.html.j2",
        mr=merge_request,
        title=merge_request.title,
        description=render_markdown(merge_request.description) if merge_request.description.strip() else "",
        pipelines=[_pipeline(server, pipeline) for pipeline in pipelines[:10]],
        deployments=_deployments(found, merge_request, pipelines),
        activity=_activity(merge_request),
        unresolved=unresolved_threads(merge_request),
    )


def render_index_page(server: Scene) -> str:
    """Render the list of all merge requests."""
    rows = [item for project in server.state.projects.values() for item in project.merge_requests.values()]
    return _render("index.html.j2", title="Merge requests", rows=rows)


def render_job_page(server: Scene, job: Job) -> str:
    """Render a job: its state and its log."""
    return _render("job.html.j2", title=f"{job.name} (#{job.id})", job=job, base_url=server.base_url)


def _pipeline(server: Scene, pipeline: Pipeline) -> dict[str, Any]:
    project = pipeline.project
    statuses = [item for item in project.statuses if item.pipeline is pipeline]
    return {
        "pipeline": pipeline,
        "status": server.state.status_of(pipeline),
        "jobs": [
            {"job": job, "url": f"{server.base_url}/{project.path}/-/jobs/{job.id}"}
            for job in server.state.jobs_of(pipeline)
        ],
        "statuses": [
            {
                "name": status.name,
                "status": status.status,
                "description": status.description or "",
                "url": status.target_url if _is_web_address(status.target_url) else "",
            }
            for status in {item.name: item for item in statuses}.values()
        ],
    }


def _is_web_address(url: str | None) -> bool:
    """True for http(s): anybody with a token chooses this address, and ``javascript:`` is one too."""
    return bool(url) and str(url).lower().startswith(("http://", "https://"))


def _deployments(project: Project, merge_request: MergeRequest, pipelines: list[Pipeline]) -> list[dict[str, Any]]:
    """Return the newest deployment of each environment that this merge request's commits reached."""
    shas = {*merge_request.shas, *(pipeline.sha for pipeline in pipelines)}
    newest: dict[int, list[Deployment]] = {}
    for deployment in sorted(project.deployments.values(), key=lambda item: item.id, reverse=True):
        if deployment.sha in shas:
            newest.setdefault(deployment.environment.id, []).append(deployment)
    return [
        {
            "environment": found[0].environment,
            "url": found[0].environment.external_url if _is_web_address(found[0].environment.external_url) else "",
            "deployments": found[:5],
        }
        for found in newest.values()
    ]


def _activity(merge_request: MergeRequest) -> list[dict[str, Any]]:
    """Return single notes and threads in the order of their first notes."""
    threads: dict[str, list[Note]] = {}
    for note in sorted(merge_request.notes, key=lambda item: item.id):
        threads.setdefault(note.discussion, []).append(note)
    return [
        {
            "threaded": notes[0].threaded,
            "system": notes[0].system,
            "resolved": all(note.resolved_by for note in notes),
            "resolved_by": notes[0].resolved_by,
            "notes": [{"note": note, "html": render_markdown(note.body)} for note in notes],
        }
        for notes in threads.values()
    ]


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    folder = files("gitlab_mesh.sandbox.gitlab").joinpath("pages")
    environment = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["css"] = Markup(folder.joinpath("page.css").read_text("utf-8"))  # noqa: S704 - our own file
    environment.globals["symbol"] = lambda status: _SYMBOLS.get(str(status), "•")
    environment.filters["time"] = _time
    environment.filters["initials"] = _initials
    environment.filters["safe_html"] = Markup  # only for what ``render_markdown`` returned
    return environment


def _render(template: str, **values: Any) -> str:
    context: Mapping[str, Any] = values
    return _environment().get_template(template).render(context)


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if moment else ""


def _initials(user: User) -> str:
    words = user.name.replace("-", " ").replace("_", " ").split()
    return "".join(word[0] for word in words[:2]).upper() or "?"
