import pytest

from custom.bundle.metadata_entries import TrainingRange
from custom.errors import InputError

STATED = {
    "kind": "volume",
    "spacing_mm": {"in_plane": [1.0, 2.0], "between_slices": [1.0, 2.0]},
    "matrix": {"in_plane": [64, 256], "slices": [64, 256]},
    "echo_time_ms": [2.0, 6.0],
}
INSIDE = {
    "spacing_mm.in_plane": (1.0, 2.0),
    "spacing_mm.between_slices": (1.5,),
    "matrix.in_plane": (64, 256),
    "matrix.slices": (100,),
    "echo_time_ms": (3.0,),
}


def slugs(facts, stated=STATED):
    return [slug for slug, _ in TrainingRange(stated).faults(facts)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        # Half as much again is not yet far; four times in size.
        ({"spacing_mm.in_plane": (3.0, 1 / 1.5)}, []),
        ({"spacing_mm.in_plane": (1.0, 3.01)}, ["far-spacing"]),
        ({"spacing_mm.between_slices": (0.66,)}, ["far-slice-spacing"]),
        ({"matrix.in_plane": (16, 1024)}, []),
        ({"matrix.in_plane": (15, 64)}, ["far-size"]),
        ({"matrix.slices": (1025,)}, ["far-slice-count"]),
        ({"echo_time_ms": (90.0,)}, ["far-contrast"]),
        ({"echo_time_ms": (1.33,)}, ["far-contrast"]),
        ({"echo_time_ms": ()}, []),
        (
            {"spacing_mm.in_plane": (9.0, 9.0), "matrix.slices": (3,)},
            ["far-spacing", "far-slice-count"],
        ),
    ],
)
def test_far_is_a_factor_beyond_the_range(change, expected):
    assert slugs(INSIDE | change) == expected


def test_the_line_says_what_and_how_far():
    ((_, line),) = TrainingRange(STATED).faults(INSIDE | {"echo_time_ms": (90.0,)})
    assert line == "echo time of 90 ms is far from the 2 to 6 of the training"


def test_what_is_null_or_left_out_does_not_matter():
    odd = dict.fromkeys(INSIDE, (1e-3, 9999.0))
    assert slugs(odd, {"kind": "diffusion"}) == []
    assert slugs(odd, {"kind": "volume", "spacing_mm": None, "matrix": {"slices": None}}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "series"}, "kind must be one of"),
        ({"kind": None}, "kind must be one of"),
        ({"spacing_mm": {"in_plane": [2.0, 1.0]}}, r"spacing_mm.in_plane must be \[lowest"),
        ({"spacing_mm": {"across": [1.0, 2.0]}}, "spacing_mm.across is not known"),
        ({"matrix": [64, 128]}, "training_range.matrix is not known"),
        ({"echo_time_ms": 3.0}, r"echo_time_ms must be \[lowest"),
        ({"echo_time_ms": [0, 3]}, "above 0"),
    ],
)
def test_refuses_what_is_no_range(change, words):
    with pytest.raises(InputError, match=words):
        TrainingRange({**STATED, **change})
