"""``artifacts:reports:terraform``: how many objects would be made, changed, taken away, as the merge request's widget.

GitLab takes any JSON object with ``create``, ``update`` and ``delete``, one line of the widget a job
(``lib/gitlab/ci/parsers/terraform/tfplan.rb``); numbers have at most six digits there.
"""

from __future__ import annotations

import json

__all__ = ["render_change_counts"]

_LARGEST = 999_999


def render_change_counts(*, create: int, update: int, delete: int) -> str:
    """Render the three counts.

    Args:
        create: Objects that would be created.
        update: Objects that would be changed.
        delete: Objects that would be deleted.

    Raises:
        ValueError: A count is negative.
    """
    counts = {"create": create, "update": update, "delete": delete}
    if min(counts.values()) < 0:
        raise ValueError(f"counts cannot be negative: {counts}")
    return json.dumps({name: min(count, _LARGEST) for name, count in counts.items()}) + "\n"
