"""What a judge that only reports (``judge: {mode: dry-run}``) would have done."""

from __future__ import annotations

from gitlab_mesh.core.report.formatting import format_duration, format_percent
from gitlab_mesh.core.report.headline import say_sentence
from gitlab_mesh.driver.timeline import Timeline

__all__ = ["say_opinion"]


def say_opinion(timeline: Timeline) -> tuple[str, str]:
    """Return a word for later jobs ("reject", "promote", "wait") and a sentence for people."""
    if timeline.objection is not None:
        time, share, reason = timeline.objection
        when = f"after {format_duration(time)}, at {format_percent(share)}"
        return "reject", say_sentence(f"It would have rejected this release {when}: {reason}")
    judgement = timeline.judgement
    if judgement is None:
        return "wait", "It has seen nothing yet."
    if judgement.promote_gate.open:
        return "promote", "It would let this release be promoted."
    return "wait", say_sentence(f"It would not promote this release yet: {judgement.promote_gate.reason}")
