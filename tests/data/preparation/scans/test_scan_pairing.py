from pathlib import Path

import numpy as np
import pytest
import torch

from custom.data.preparation.scans.scan_description import (
    ScanDescription,
    find_region,
    plain_name,
    plane_of,
)
from custom.data.preparation.scans.scan_pairing import fit_grids, name_regions, pair_scans
from custom.physics.downsampling import high_affine


def scan(source="s", matrix=150, averages=1, **changes):
    """A stack of 30 slices of 0.6 mm, field of view 30 mm, in ParaVision's way of centring."""
    affine = np.diag([30 / matrix, 30 / matrix, 0.6, 1.0])
    affine[:3, 3] = [-15, -15, -8.7 + changes.pop("z", 0.0)]
    fields = {
        "path": Path(source),
        "source": source,
        "animal": "m1",
        "plane": "axial",
        "region": "head",
        "size": (matrix, matrix, 30),
        "affine": affine,
        "averages": averages,
    }
    return ScanDescription(**fields | changes)


def turned_by(degrees):
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


FAST = scan("fast")
DEFAULT = scan("default", 300, 5)


def test_paravision_s_centring_is_half_a_fine_voxel():
    fit = fit_grids(FAST, DEFAULT)
    assert fit.fault is None
    np.testing.assert_allclose(fit.shift_voxels, [-0.5, -0.5], atol=1e-9)


def test_equal_boxes_need_no_shift():
    affine = high_affine(torch.as_tensor(FAST.affine), "acquired", (2, 2, 1)).numpy()
    fit = fit_grids(FAST, scan("default", 300, 5, affine=affine))
    np.testing.assert_allclose(fit.shift_voxels, [0, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("default", "reason"),
    [
        (scan("d", 300, 5, size=(300, 300, 28)), "it has 28 slices, fast has 30"),
        (scan("d", 256, 5), "256 x 256 is not twice 150 x 150"),
        (scan("d", 300, 5, z=0.3), "slices lie 0.3 mm off"),
        (scan("d", 300, 5, affine=turned_by(3) @ DEFAULT.affine), "differs by 3.0 degrees"),
        (
            scan("d", 300, 5, affine=DEFAULT.affine @ np.diag([-1, 1, 1, 1])),
            "differs by 180.0 degrees",
        ),
        (
            scan("d", 300, 5, affine=DEFAULT.affine @ np.diag([1, 0.8, 1, 1])),
            "30 x 24 mm, 30 x 30 mm",
        ),
        (scan("d", 300, 5, affine=DEFAULT.affine @ np.diag([1, 1, 2, 1])), "slice distance is 2"),
        (scan("d", 300, 5, affine=DEFAULT.affine + np.eye(4, k=3)), "1 mm off that of fast"),
    ],
)
def test_what_does_not_fill_the_same_box_is_told(default, reason):
    assert reason in str(fit_grids(FAST, default).fault)
    pairs, left_out = pair_scans([FAST, default])
    assert pairs == []
    assert {item.source for item in left_out} == {"fast", "d"}
    assert all(reason in item.reason for item in left_out)


def nearly_the_same_box(change):
    """The fine scan of the same box as FAST, changed about its middle by a matrix."""
    affine = high_affine(torch.as_tensor(FAST.affine), "acquired", (2, 2, 1)).numpy()
    to_middle = np.eye(4)
    to_middle[:3, 3] = (affine @ [149.5, 149.5, 14.5, 1])[:3]
    return scan("d", 300, 5, affine=to_middle @ change @ np.linalg.inv(to_middle) @ affine)


def moved(axis, by_mm):
    change = np.eye(4)
    change[axis, 3] = by_mm
    return change


def stretched(axis, by):
    return np.diag(1.0 + by * np.eye(4)[axis])


# By a share of what is allowed: half a coarse voxel of 0.2 mm in the plane, a tenth of a slice
# distance of 0.6 mm across, half a degree, one percent.
BORDERS = [
    (lambda share: moved(0, 0.5 * 0.2 * share), "field of view lies 0.11 mm off"),
    (lambda share: moved(1, -0.5 * 0.2 * share), "field of view lies 0.11 mm off"),
    (lambda share: moved(2, 0.1 * 0.6 * share), "slices lie 0.066 mm off"),
    (lambda share: moved(2, -0.1 * 0.6 * share), "slices lie 0.066 mm off"),
    (lambda share: turned_by(0.5 * share), "degrees from fast"),
    (lambda share: stretched(0, 0.01 * share), "field of view is 30.33 x 30 mm"),
    (lambda share: stretched(1, -0.01 * share), "field of view is 30 x 29.67 mm"),
    (lambda share: stretched(2, 0.01 * share), "slice distance is 1.01 times"),
    (lambda share: stretched(2, -0.01 * share), "slice distance is 0.989 times"),
]


@pytest.mark.parametrize(("change", "reason"), BORDERS)
def test_a_fault_begins_at_its_border(change, reason):
    assert fit_grids(FAST, nearly_the_same_box(change(0.9))).fault is None
    assert reason in str(fit_grids(FAST, nearly_the_same_box(change(1.1))).fault)


def test_parameters_choose_and_everything_else_is_listed():
    middle = scan("middle", 200, 3)
    early = scan("early", 300, 5, order=(1.0,))
    late = scan("late", 300, 5, order=(2.0,))
    alone = scan("alone", animal="m2")
    scans = [early, alone, late, middle, FAST]
    pairs, left_out = pair_scans(scans)
    assert [(pair.scan_id, pair.fast, pair.default) for pair in pairs] == [
        ("m1_axial_head", FAST, late)
    ]
    reasons = {item.source: item.reason for item in left_out}
    assert set(reasons) == {"early", "middle", "alone"}
    assert "late has the same parameters" in reasons["early"]
    assert "neither fastest nor longest" in reasons["middle"]
    assert "no partner" in reasons["alone"]


def test_an_earlier_scan_is_taken_where_the_latest_does_not_fit():
    away = scan("moved", 300, 5, z=2.0, order=(9.0,))
    pairs, left_out = pair_scans([FAST, DEFAULT, away])
    assert pairs[0].default is DEFAULT
    assert [item.source for item in left_out] == ["moved"]


def test_every_scan_is_in_a_pair_or_in_the_list():
    rng = np.random.default_rng(3)
    scans = [
        scan(
            f"s{number}",
            int(rng.choice([150, 256, 300])),
            int(rng.choice([1, 5])),
            animal=f"m{rng.integers(3)}",
            plane=str(rng.choice(["axial", "coronal"])),
            region=str(rng.choice(["head", ""])),
            order=(float(number),),
        )
        for number in range(40)
    ]
    pairs, left_out = pair_scans(scans)
    used = [part.source for pair in pairs for part in (pair.fast, pair.default)]
    listed = [item.source for item in left_out]
    assert sorted(used + listed) == sorted(item.source for item in scans)
    assert pairs


def test_names_of_files_decide_where_they_tell():
    pairs, _ = pair_scans([scan("a", 300, kind="default"), scan("b", 150, kind="fast")])
    assert pairs[0].fast.source == "b"
    _, left_out = pair_scans([scan("a", 300, kind="default")])
    assert "the fast scan is missing" in left_out[0].reason


def test_unnamed_places_are_numbered_from_the_head():
    scans = [scan("tail", region="", z=-20), scan("head", region=""), scan("near", region="", z=1)]
    regions = {item.source: item.region for item in name_regions(scans, "body")}
    assert regions == {"head": "body-1", "near": "body-1", "tail": "body-2"}
    assert name_regions([FAST, scan(region="")], "body")[1].region == "body"


def test_plane_follows_the_slice_normal():
    assert plane_of(np.diag([1, 1, 3, 1.0])) == "axial"
    assert plane_of(np.array([[1, 0, 0, 0], [0, 0.1, -1, 0], [0, 1, 0.1, 0], [0, 0, 0, 1.0]])) == (
        "coronal"
    )
    sagittal = np.diag([1, 1, 3, 1.0])[[2, 0, 1, 3]]
    assert plane_of(sagittal) == "sagittal"


def test_first_matching_region_counts():
    patterns = {"head-thorax": "head|brain", "thorax-abdomen": "abdom"}
    assert find_region(["Study 5", "T2_Abdomen"], patterns) == "thorax-abdomen"
    assert find_region(["Brain and ABDOMEN"], patterns) == "head-thorax"
    assert find_region(["leg"], patterns) == ""
    assert plain_name("mouse_7/b ") == "mouse-7-b"
