"""A GitLab-compatible API server with GitLab's own token rules, and a page of the merge request to look at.

It is an emulator: it answers what python-gitlab and our library ask, in GitLab's forms (status codes, headers,
refusals), and nothing beyond. Facts come from GitLab's API documentation and, where named, its source.
"""

from __future__ import annotations

from gitlab_mesh.sandbox.gitlab.faults import Fault
from gitlab_mesh.sandbox.gitlab.listener import GitlabListener
from gitlab_mesh.sandbox.gitlab.page import render_merge_request_page
from gitlab_mesh.sandbox.gitlab.server import GitlabServer
from gitlab_mesh.sandbox.gitlab.state import Role

__all__ = ["Fault", "GitlabListener", "GitlabServer", "Role", "render_merge_request_page"]
