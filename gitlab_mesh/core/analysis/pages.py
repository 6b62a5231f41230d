"""The documentation pages of rules, generated from their registration."""

from __future__ import annotations

from gitlab_mesh.core.analysis.registry import Rule
from gitlab_mesh.core.analysis.ruleset import registered

__all__ = ["render_index", "render_page"]

_LEVEL = {"error": "error", "warning": "warning", "info": "remark"}


def render_page(rule: Rule) -> str:
    """Render the page of one rule as Markdown."""
    parts = [f"# {rule.code}: {rule.title}", ""]
    facts = [f"Level: {_LEVEL[rule.level.value]}"]
    if rule.istio:
        facts.append(f"Istio's code: {rule.istio}")
    facts.append("Job: " + ("security-scan" if rule.suite == "security" else "validate"))
    if rule.suite == "security":
        facts.append(f"Profile: {rule.profile}")
    if rule.reads:
        facts.append(f"Reads: {', '.join(rule.reads)}")
    if rule.references:
        facts.append(f"See: {', '.join(rule.references)}")
    parts += [f"- {fact}" for fact in facts]
    parts += ["", "## Why it matters", "", _sentence(rule.why), "", "## What to do", "", _sentence(rule.mend), ""]
    for title, text in (("Has the finding", rule.bad), ("Has not", rule.good)):
        if text:
            shown = text.removeprefix("---\n").rstrip("\n")
            parts += [f"## {title}", "", "```yaml", shown, "```", ""]
    return "\n".join(parts)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def render_index() -> str:
    """Render the list of all rules as Markdown."""
    rows = [
        f"| [{rule.code}]({rule.code}.md) | {rule.istio or '–'} | {_LEVEL[rule.level.value]} | {rule.title} |"
        for rule in registered().values()
    ]
    head = [
        "# Rules",
        "",
        "What `gitlab-mesh job validate` and `gitlab-mesh job security-scan` find.",
        "",
        "| Code | Istio | Level | What |",
        "| :-- | :-- | :-- | :-- |",
    ]
    return "\n".join([*head, *rows, ""])
