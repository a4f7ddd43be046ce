"""The page of the DICOM results says what was measured."""

import numpy as np

from benchmarks.dicom_page import overhead_table, read_table, run_table

ROWS = [
    {
        "folder": "a",
        "volume": {"shape": [4, 5, 6], "spacing_mm": [1.0, 1.5, 2.0]},
        "diffusion": {"refused": "no-b-values", "line": "no b-value"},
    },
    {
        "folder": "b",
        "volume": {"refused": "duplicate-positions", "line": "several images"},
        "diffusion": {
            "shape": [4, 5, 6, 3],
            "spacing_mm": [1.0, 1.0, 1.0],
            "bvals": {"0": 1, "1000": 2},
        },
    },
]


def test_readings_and_reasons():
    lines = read_table(ROWS).splitlines()
    assert lines[2] == "| `a` | 4 x 5 x 6, 1 x 1.5 x 2 mm | `no-b-values` |"
    assert lines[3].startswith("| `b` | refused (`duplicate-positions`): several images |")
    assert lines[3].endswith("| 4 x 5 x 6 x 3, 1 x 1 x 1 mm; 1 of b = 0, 2 of b = 1000 |")
    assert lines[-1] == "- `no-b-values`: no b-value"


def test_runs():
    steps = dict.fromkeys(("load", "select", "volume", "write"), 0.5)
    seconds = {**steps, "restore": 8.0, "application": 11.0, "plain": 10.0}
    run = {
        "bundle": "x",
        "refuse": "far",
        "warn": {"restored": 9, "uncertainty": 9},
        "seconds": seconds,
        "checks": {"new_errors": [], "corner_mm": 1.2e-5, "value": 3e-8},
    }
    row = run_table([run, {"bundle": "y", "refuse": "no", "warn": "no"}]).splitlines()
    assert row[2] == (
        "| `x` | refused: far | restored: 9 images, uncertainty: 9 images | 0 | 1e-05 mm | "
        "3e-08 of the largest |"
    )
    assert row[3] == "| `y` | refused: no | refused: no |  |  |  |"
    assert overhead_table([run]).splitlines()[2].endswith("| 11.00 | 10.00 | 1.10 |")


def test_corners_are_where_the_affine_puts_them():
    from benchmarks.publish_dicom import corners

    found = corners(np.diag([2.0, 3.0, 4.0, 1.0]), (2, 3, 4))
    assert found.shape == (3, 8)
    assert sorted(map(tuple, found.T.tolist()))[-1] == (2.0, 6.0, 12.0)
