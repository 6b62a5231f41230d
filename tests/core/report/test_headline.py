"""The first line: which release, what happened, where traffic is."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.report.headline import name_release, say_headline, say_sentence
from gitlab_mesh.core.report.model import Outcome

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("registry.example/team/shop:1.5.0", "shop 1.5.0"),
        ("registry.example:5000/team/shop:1.5.0", "shop 1.5.0"),
        (f"registry.example/shop@{DIGEST}", "shop 0123456789ab"),
        (f"registry.example/shop:1.5.0@{DIGEST}", "shop 1.5.0"),
        ("registry.example/backend:1.5.0", "shop backend 1.5.0"),
        ("registry.example/shop", "shop"),
        ("registry.example/shop:1.5.0, envoyproxy/envoy:v1.30", "shop (1.5.0, envoy v1.30)"),
        ("", "shop"),
        ("not an image at all", "shop not an image at all"),
    ],
)
def test_a_release_is_called_as_people_call_it(what: str, said: str) -> None:
    assert name_release("shop", what) == said


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_says_where_traffic_is_if_it_can_be_on_both_sides(outcome: Outcome) -> None:
    away = say_headline(outcome, "shop 1.5.0", 75.0, 0.0)
    held = say_headline(outcome, "shop 1.5.0", 75.0, 0.25)
    assert away.startswith("shop 1.5.0")
    assert not away.endswith(".")
    settled = {Outcome.PROMOTED, Outcome.DEPLOYED, Outcome.REFUSED, Outcome.PLANNED, Outcome.PASSED, Outcome.UNSAFE}
    if outcome not in settled:
        assert "stable serves everything" in away
        assert "25\u202f% of the requests" in held


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("errors: canary 5 %", "Errors: canary 5 %."),
        ("every metric passed", "Every metric passed."),
        ("shop-canary does not run", "shop-canary does not run."),
        ("gitlab-mesh.dev/rollout is gone", "gitlab-mesh.dev/rollout is gone."),
        ("Already one.", "Already one."),
        ("see `kubectl get pods`", "See `kubectl get pods`"),
        ("", ""),
    ],
)
def test_a_reason_is_a_sentence(text: str, said: str) -> None:
    assert say_sentence(text) == said
