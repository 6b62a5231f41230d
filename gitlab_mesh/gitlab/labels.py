"""One of a family of labels on the merge request, such as ``mesh::promoted``.

GitLab makes sure that only one label of a scope (``mesh::…``) is set from Premium on; on Free the same names are plain
labels. So the others of the family are always taken off by name, which is right on every tier. A label that does
not exist yet is created by GitLab (GitLab docs, "Merge requests API", ``add_labels``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from gitlab_mesh.gitlab.connection import Connection, Session
from gitlab_mesh.gitlab.context import Token
from gitlab_mesh.gitlab.merge_request import MergeRequestRef, locate
from gitlab_mesh.gitlab.tokens import Operation, choose_tokens, explain_missing

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab

__all__ = ["MergeRequestLabels"]


class MergeRequestLabels:
    """Labels of the pipeline's merge requests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, label: str, *, family: Sequence[str]) -> str:
        """Set ``label`` and take the others of its family off; all other labels stay.

        Args:
            label: Without a comma.
            family: All labels that exclude one another.

        Returns:
            "" or one line with what could not be done, and which scope or role would allow it.
        """
        what = f"label {label!r}"
        context = self._connection.context
        if "," in label or not label.strip():
            return f"{what} not set: GitLab separates labels by commas"
        if context.available and not choose_tokens(self._connection.tokens, Operation.LABEL):
            return f"{what} not set: {explain_missing(context, Operation.LABEL)}"
        others = [name for name in family if name != label]

        def work(session: Session) -> str:
            located = locate(session)
            if not located.merge_requests:
                return f"{what} not set: {located.reason}"
            answers = []
            for reference in located.merge_requests:
                shown = session.run(Operation.LABEL, partial(self._put, reference, label, others))
                if label not in shown:
                    # GitLab leaves a label out without a word where the token may not create it.
                    answers.append(f"{what} of !{reference.iid} not set: create the label in the project once")
            return "; ".join(answers)

        return self._connection.attempt(what, work)

    @staticmethod
    def _put(
        reference: MergeRequestRef, label: str, others: Sequence[str], client: BoundedGitlab, _token: Token
    ) -> list[str]:
        fields = {"add_labels": [label], **({"remove_labels": list(others)} if others else {})}
        updated = client.projects.get(reference.project, lazy=True).mergerequests.update(reference.iid, fields)
        return [str(name) for name in dict(updated)["labels"]]
