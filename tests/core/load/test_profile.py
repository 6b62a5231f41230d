"""The schedule: the inverse of the expected arrivals, over plateaus, ramps and pauses."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gitlab_mesh.core.load.profile import Profile, Stage
from gitlab_mesh.errors import UsageError

RATES = st.floats(min_value=0, max_value=1000)
STAGES = st.lists(
    st.builds(Stage, RATES, st.floats(min_value=0.1, max_value=100), st.one_of(st.none(), RATES)),
    min_size=1,
    max_size=5,
)


def test_a_plateau_is_evenly_spaced() -> None:
    profile = Profile([Stage(500, 40)])
    moments = [profile.moment(number) for number in range(20_001)]
    assert moments[:3] == pytest.approx([0, 0.002, 0.004])
    assert moments[19_999] == pytest.approx(39.998)
    assert moments[20_000] == math.inf


def test_a_ramp_from_nothing_gets_denser() -> None:
    profile = Profile([Stage(100, 10, 0.0)])
    moments = [profile.moment(number) for number in range(500)]
    assert profile.arrivals == 500
    assert moments[125] == pytest.approx(5.0)  # a quarter of the requests in the first half of the time
    assert moments[499] < 10
    assert profile.moment(500) == math.inf


def test_stages_follow_one_another_and_a_pause_sends_nothing() -> None:
    profile = Profile([Stage(10, 1), Stage(0, 5), Stage(10, 1)])
    moments = [profile.moment(number) for number in range(20)]
    assert moments[9] == pytest.approx(0.9)
    assert moments[10] == pytest.approx(6.0)
    assert profile.seconds == 7
    assert profile.mean_rate == pytest.approx(20 / 7)


@given(STAGES)
def test_moment_is_the_inverse_of_the_expected_arrivals(stages: list[Stage]) -> None:
    assume(sum(stage.arrivals for stage in stages) > 0.01)
    profile = Profile(stages)
    last = 0.0
    for share in (0.0, 0.1, 0.33, 0.5, 0.77, 0.999):
        wanted = share * profile.arrivals
        moment = profile.moment(wanted)
        assert last <= moment <= profile.seconds * (1 + 1e-9)
        assert profile.expected_until(moment) == pytest.approx(wanted, rel=1e-6, abs=1e-3)
        last = moment


@pytest.mark.parametrize(
    "stages", [[], [Stage(0, 10)], [Stage(1, 0)], [Stage(-1, 1)], [Stage(math.inf, 1)], [Stage(1, math.nan)]]
)
def test_a_profile_that_sends_nothing_or_no_number_is_refused(stages: list[Stage]) -> None:
    with pytest.raises(UsageError, match="load"):
        Profile(stages)
