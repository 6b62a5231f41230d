"""GitLab from inside a CI job: find the merge request, keep one note in it, record deployments and statuses.

Usable from any Python job, without the rest of gitlab-mesh::

    import os
    from gitlab_mesh.gitlab import Connection, DeploymentRecords, StickyNotes, read_ci

    connection = Connection(read_ci(os.environ))
    problem = StickyNotes(connection).post("load-test", "**Passed**: p99 120 ms at 500 requests/s")
    if problem:
        print(problem)   # one line: what could not be done, why, which scope or role would allow it

Everything here is best effort: it never raises, and one call takes at most ``budget_seconds`` (10 s).
``python-gitlab`` and ``requests`` are imported when a connection is made, not before.
"""

from __future__ import annotations

from gitlab_mesh.gitlab.connection import Connection
from gitlab_mesh.gitlab.context import CIContext, MergeRequestVariables, Token, read_ci
from gitlab_mesh.gitlab.deployments import DeploymentRecords
from gitlab_mesh.gitlab.inspection import TokenFacts, inspect_tokens
from gitlab_mesh.gitlab.labels import MergeRequestLabels
from gitlab_mesh.gitlab.marker import NoteOrder, neutralise_quick_actions
from gitlab_mesh.gitlab.merge_request import Located, MergeRequestRef, find_merge_request
from gitlab_mesh.gitlab.notes import NoteText, StickyNotes
from gitlab_mesh.gitlab.statuses import CommitStatuses
from gitlab_mesh.gitlab.threads import ReviewThreads
from gitlab_mesh.gitlab.tokens import Operation, describe_tokens

__all__ = [
    "CIContext",
    "CommitStatuses",
    "Connection",
    "DeploymentRecords",
    "Located",
    "MergeRequestLabels",
    "MergeRequestRef",
    "MergeRequestVariables",
    "NoteOrder",
    "NoteText",
    "Operation",
    "ReviewThreads",
    "StickyNotes",
    "Token",
    "TokenFacts",
    "describe_tokens",
    "find_merge_request",
    "inspect_tokens",
    "neutralise_quick_actions",
    "read_ci",
]
