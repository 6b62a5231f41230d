"""Notifiers: plug-ins of the group ``gitlab_mesh.notifiers`` that tell people outside GitLab.

Two come with the tool: a generic webhook (our JSON) and a Slack-compatible one (also Mattermost, Rocket.Chat). Both
are switched on by a variable that holds the address. The address is a secret (whoever has it may post), so it shows
in no message, not even in that of a failed connection. Best effort: they never raise (S10).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.report.model import Report
from gitlab_mesh.core.report.wording import OUTCOME_SYMBOL
from gitlab_mesh.ports import Notifier

__all__ = ["NOTIFIERS", "NotifierPlugin", "Webhook", "render_slack_message", "render_webhook_message"]

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class NotifierPlugin:
    """One kind of notifier.

    Attributes:
        name: Unique among all installed plug-ins.
        build: Gets the environment; returns None where the notifier is not configured.
        api: Version of this contract.
    """

    name: str
    build: Callable[[Mapping[str, str]], Notifier | None]
    api: int = 1


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts one JSON document for a report.

    Attributes:
        name: For messages.
        url: The secret address.
        render: Makes the document of report and job link.
        job_url: ``CI_JOB_URL``, or "".
    """

    name: str
    url: str = field(repr=False)
    render: Callable[[Report, str], Mapping[str, Any]]
    job_url: str = ""

    def notify(self, report: Report) -> str:
        """Send it; return "" or why it could not be done."""
        if not self.url.lower().startswith(("http://", "https://")):
            return f"notifier {self.name} skipped: its address is not an http(s) URL"
        import requests

        try:
            # A redirect could carry the report to somebody else, and would turn the POST into a GET.
            answer = requests.post(
                self.url, json=self.render(report, self.job_url), timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
        except Exception as error:
            # The error's own text holds the address.
            return f"notifier {self.name} failed: {type(error).__name__}"
        if 200 <= answer.status_code < 300:
            return ""
        return f"notifier {self.name} failed: the other side answered {answer.status_code}"


def render_webhook_message(report: Report, job_url: str) -> dict[str, Any]:
    """Return the generic document: the decision, why, what to do, and the link. Keys are an API."""
    return {
        "job": report.job,
        "service": report.service,
        "namespace": report.namespace,
        "outcome": report.outcome.value,
        "exit_code": report.exit_code,
        "headline": report.headline,
        "reason": report.reason,
        "next_step": report.next_step,
        "started": report.started,
        "duration_seconds": report.duration_seconds,
        "job_url": job_url,
    }


def render_slack_message(report: Report, job_url: str) -> dict[str, Any]:
    """Return Slack's ``text`` form, in its own mark-up, which the compatible chats read too."""
    lines = [f"{OUTCOME_SYMBOL[report.outcome]} *{_escape(report.headline)}*"]
    lines += [_escape(text) for text in (report.reason,) if text]
    lines += [f"Next: {_escape(report.next_step)}"] if report.next_step else []
    lines += [f"<{_escape(job_url)}|Job log> · exit code {report.exit_code}"] if job_url else []
    return {"text": "\n".join(lines)}


def _escape(text: str) -> str:
    """Escape Slack's three control characters, so that a report cannot mention @channel or forge links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plugin(name: str, variable: str, render: Callable[[Report, str], Mapping[str, Any]]) -> NotifierPlugin:
    def build(env: Mapping[str, str]) -> Notifier | None:
        url = env.get(variable, "").strip()
        return Webhook(name, url, render, env.get("CI_JOB_URL", "")) if url else None

    return NotifierPlugin(name, build)


NOTIFIERS = (
    _plugin("webhook", "GITLAB_MESH_WEBHOOK_URL", render_webhook_message),
    _plugin("slack", "GITLAB_MESH_SLACK_URL", render_slack_message),
)
"""What this distribution brings; a plug-in registers a tuple like it."""
