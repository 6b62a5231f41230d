"""The pages that the sandbox serves beside the API: a list, a merge request, a job."""

from __future__ import annotations

import re
from urllib.parse import unquote

from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.sandbox.gitlab.messages import Answer
from gitlab_mesh.sandbox.gitlab.page import render_index_page, render_job_page, render_merge_request_page
from gitlab_mesh.sandbox.gitlab.scene import Scene

__all__ = ["answer_web"]

_MERGE_REQUEST = re.compile(r"/(?P<project>.+)/-/merge_requests/(?P<iid>\d{1,9})/?")
_JOB = re.compile(r"/(?P<project>.+)/-/jobs/(?P<job>\d{1,18})/?")
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def answer_web(server: Scene, method: str, path: str) -> Answer:
    """Answer a request for a page; ``path`` is relative to the URL root."""
    if method not in {"GET", "HEAD"}:
        return Answer(405, b"405 Method Not Allowed", {"Content-Type": "text/plain"})
    if path in {"", "/"}:
        return _page(render_index_page(server))
    if found := _MERGE_REQUEST.fullmatch(path):
        try:
            return _page(render_merge_request_page(server, unquote(found["project"]), int(found["iid"])))
        except ObjectMissingError as error:
            return Answer(404, str(error).encode(), {"Content-Type": "text/plain; charset=utf-8"})
    if found := _JOB.fullmatch(path):
        job = server.state.jobs.get(int(found["job"]))
        if job and job.pipeline.project.path == unquote(found["project"]):
            return _page(render_job_page(server, job))
    return Answer(404, b"404 Page Not Found", {"Content-Type": "text/plain"})


def _page(html: str) -> Answer:
    return Answer(200, html.encode(), _HEADERS)
