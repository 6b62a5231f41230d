"""Quick actions in notes: which lines GitLab takes as commands, and what the few that matter here do.

The lines are found as ``lib/gitlab/quick_actions/extractor.rb`` finds them: carriage returns are dropped first, a
command is ``/name`` at the very beginning of a line, and lines in fenced code, HTML blocks and ``>>>`` quotes are
passed over. (The original also passes over some multi-line inline code; here such lines run, which is stricter.)
"""

from __future__ import annotations

import re
from typing import Any

from gitlab_mesh.sandbox.gitlab.state import MergeRequest

__all__ = ["extract_commands", "run_commands"]

# Commands of merge requests (docs, "GitLab quick actions").
_NAMES = """
approve assign assign_reviewer award cc clear_milestone close copy_metadata done draft estimate label lock merge
milestone react reassign reassign_reviewer rebase ready relabel remove_estimate remove_milestone remove_time_spent
reopen request_changes request_review shrug spend spend_time submit_review subscribe tableflip target_branch title
todo unapprove unassign unassign_reviewer unlabel unlock unsubscribe
"""

_PATTERN = re.compile(
    r"(?P<code>^```.+?\n```$)"
    r"|(?P<html>^<[^>]+?>\n.+?\n</[^>]+?>$)"
    r"|(?P<quote>^>>>.+?\n>>>$)"
    rf"|^/(?P<name>{'|'.join(sorted(_NAMES.split(), key=len, reverse=True))})(?: (?P<argument>[^\n]*))?(?:\s*\n|\s*\Z)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)


def extract_commands(body: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the body without its commands, and the commands as (name, argument)."""
    commands: list[tuple[str, str]] = []

    def take(found: re.Match[str]) -> str:
        if not found["name"]:
            return found.group()
        commands.append((found["name"].lower(), (found["argument"] or "").strip()))
        return ""

    return _PATTERN.sub(take, body.replace("\r", "")).rstrip(), commands


def run_commands(merge_request: MergeRequest, commands: list[tuple[str, str]]) -> dict[str, Any]:
    """Run the commands; returns ``commands_changes`` as GitLab reports it."""
    changes: dict[str, Any] = {}
    for name, argument in commands:
        if name == "close" and merge_request.state == "opened":
            merge_request.state = "closed"
            changes["state_event"] = "close"
        elif name == "reopen" and merge_request.state == "closed":
            merge_request.state = "opened"
            changes["state_event"] = "reopen"
        elif name == "label":
            merge_request.labels += re.findall(r"~\"?([^\"~]+?)\"?(?=\s|$)", argument)
            changes["add_label_ids"] = list(merge_request.labels)
        elif name == "title" and argument:
            merge_request.title = argument
            changes["title"] = argument
        else:
            changes[name] = argument
    return changes
