"""Foresight: the objects after a planned change are those that an API server would keep."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.mesh.foresight import foresee
from gitlab_mesh.core.mesh.http_route import plan_http_weight
from gitlab_mesh.core.mesh.http_route_additions import plan_http_restore
from gitlab_mesh.core.mesh.route import RouteState
from tests.core.mesh.test_http_route import FENCE, PAIR, World, shapes


@pytest.mark.parametrize("name", shapes())
def test_it_sees_what_is_written_at_each_point(name: str) -> None:
    world = World(*shapes()[name])
    state = RouteState(objects=dict(world.objects), share=None, pair=(100, 0), fence=None)
    prepared = world.prepare()
    state = foresee(state, prepared)
    world.apply(prepared)
    assert state.objects == world.objects
    for share in (0.25, 1.0, 0.0):
        change = plan_http_weight(world.route, PAIR, share, FENCE)
        state = foresee(state, change)
        world.apply(change)
        assert state.objects == world.objects
    end = plan_http_restore(world.route, world.others, PAIR, prepared.originals, FENCE)
    state = foresee(state, end)
    world.apply(end)
    assert state.objects == world.objects


def test_what_was_read_stays_as_it_was() -> None:
    world = World(*shapes()["as small as it can be"])
    state = RouteState(objects=dict(world.objects), share=None, pair=(100, 0), fence=None)
    foresee(state, world.prepare())
    assert state.objects == World(*shapes()["as small as it can be"]).objects
