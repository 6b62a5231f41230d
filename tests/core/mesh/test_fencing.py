"""Which of two fences came first."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.mesh.fencing import is_older


@pytest.mark.parametrize(
    ("fence", "ours", "older"),
    [
        ("shop-1/1", "shop-1/2", True),
        ("shop-1/2", "shop-1/2", False),
        ("shop-2/3", "shop-1/2", False),
        ("shop-1/9", "shop-1/10", True),
        (None, "shop-1/2", False),
        ("somebody's", "shop-1/2", False),
        ("shop-1/1", "", False),
    ],
)
def test_only_a_lower_fencing_number_is_older(fence: str | None, ours: str, older: bool) -> None:
    assert is_older(fence, ours) is older
