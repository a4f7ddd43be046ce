"""The memory that a restoration plans with, against a hand calculation."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom.errors import InputError
from custom.inferers.memory_plan import MemoryPlanner, free_memory
from custom.inferers.tile_layout import lay_tiles


def planner(free: float, **settings: Any) -> MemoryPlanner:
    settings = {"network_bytes": 1000, "halo": 4, "overlap": 4, "share": 1.0} | settings
    return MemoryPlanner(memory=lambda _: int(free), **settings)


def test_whole_if_it_just_fits() -> None:
    needed = 30 * 40 * 50 * 1000
    assert planner(needed).plan((30, 40, 50)).tile is None
    assert planner(needed - 1).plan((30, 40, 50)).tile is not None
    assert "whole" in planner(needed).plan((30, 40, 50)).text
    assert "tiles" in planner(needed - 1).plan((30, 40, 50)).text


def test_the_result_is_counted_too() -> None:
    needed = 30 * 40 * 50 * 1000
    result = 12 * 8 * 30 * 40 * 50
    assert planner(needed + result, result_bytes=12).plan((30, 40, 50)).tile is None
    assert planner(needed + result - 1, result_bytes=12).plan((30, 40, 50)).tile is not None


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(30, 200), st.integers(30, 200), st.integers(30, 200)),
    free=st.floats(1e8, 3e9),
)
def test_what_is_planned_fits_and_the_next_size_does_not(
    shape: tuple[int, int, int], free: float
) -> None:
    plan = planner(free).plan(shape)
    if plan.tile is None:
        assert math.prod(shape) * 1000 <= free
        return

    def needed(tile: int) -> int:
        tiles = lay_tiles(shape, tile, 4, 4)
        return 1000 * max(math.prod(s.read_stop - s.read_start for s in spans) for spans in tiles)

    assert needed(plan.tile) <= free
    assert plan.tile + 8 > max(shape) or needed(plan.tile + 8) > free


def test_a_result_of_512_voxels_a_side_is_planned_in_4_gigabytes() -> None:
    """A network of 2 kB a voxel would need 34 GB for the whole volume."""
    plan = planner(4e9, network_bytes=2000, result_bytes=16, halo=8, overlap=8).plan((256,) * 3)
    assert plan.tile is not None
    assert 60 <= plan.tile <= 110


@pytest.mark.parametrize(
    ("free", "settings", "remedy"),
    [
        (1e6, {}, "larger machine"),
        (1e8, {"result_bytes": 1000}, "parts of the volume"),
        (1e8, {"tile": "whole"}, "tile to auto"),
        (1e8, {"tile": 96}, "tile lower"),
    ],
)
def test_what_cannot_fit_is_refused_in_one_line(
    free: float, settings: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(InputError, match="too large") as raised:
        planner(free, **settings).check((100, 100, 100))
    assert remedy in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_number_is_obeyed() -> None:
    assert planner(1e12, tile=20).plan((100, 100, 100)).tile == 20


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"tile": "all"}, "tile"),
        ({"tile": 3}, "tile"),
        ({"network_bytes": 0}, "network_bytes"),
        ({"result_bytes": -1}, "result_bytes"),
        ({"share": 0}, "share"),
        ({"scale": 0}, "scale"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        planner(1e9, **settings)


def test_free_memory_is_that_of_the_machine() -> None:
    assert 1e6 < free_memory() < 1e15
