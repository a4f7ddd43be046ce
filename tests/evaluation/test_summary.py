import json
import math
import statistics

import numpy as np
import pytest
from small_evaluation import MEASURES, VOLUME_MEASURES, metric_rows, volume_rows

from custom.evaluation.image_measures import mse, psnr
from custom.evaluation.measure import Measure
from custom.evaluation.summary import mean_gain, summarise

SLICES = {"groups": ("plane", "animal"), "unit": ("scan", "slice"), "subject": "animal"}


@pytest.fixture
def rows():
    return metric_rows()


@pytest.fixture
def volumes():
    return [row | {"lpips": None} for row in volume_rows()]


def test_means_by_hand(rows):
    found = summarise(rows, MEASURES, **SLICES)
    assert found["methods"] == ["input", "bicubic", "model"]
    assert list(found["measures"]) == ["mse", "psnr", "ssim"]
    assert found["measures"]["psnr"]["unit"] == "dB"
    assert found["overall"]["model"]["psnr"] == {
        "mean": pytest.approx(24.5),
        "std": pytest.approx(statistics.stdev([22.0, 23.0, 26.0, 27.0])),
        "n": 4,
    }
    assert set(found["groups"]["plane"]) == {"axial", "coronal"}
    assert found["groups"]["plane"]["coronal"]["input"]["psnr"]["mean"] == pytest.approx(24.5)
    assert found["groups"]["animal"]["m1"]["bicubic"]["psnr"]["mean"] == pytest.approx(21.5)


def test_gains_compare_the_same_units_and_count_up_for_better(rows):
    against = summarise(rows, MEASURES, **SLICES)["model_against"]
    assert set(against) == {"input", "bicubic"}
    gain = against["bicubic"]["psnr"]
    assert (gain["mean"], gain["better"], gain["of"]) == (pytest.approx(1), 4, 4)
    assert (gain["std"], gain["subjects"]) == (pytest.approx(0, abs=1e-9), 2)
    assert against["input"]["mse"]["mean"] > 0, "a smaller error is a gain"
    shuffled = sorted(rows, key=lambda row: (row["method"], row["slice"]), reverse=True)
    assert mean_gain(shuffled, psnr(), "bicubic", ("scan", "slice"), "animal") == gain
    for row in rows:
        row["method"] = {"model": "input", "input": "model"}.get(row["method"], row["method"])
    assert summarise(rows, MEASURES, **SLICES)["model_against"]["input"]["psnr"]["better"] == 0


def test_the_interval_is_of_draws_of_subjects_with_all_their_units():
    # Ten units of the first subject, one of each other: few subjects, however many units.
    numbers = np.array([10, 1, 1, 1, 1, 1, 1])
    gains = np.random.default_rng(3).exponential(size=7)
    rows = [
        {"scan": f"s{i}", "slice": k, "subject": f"p{i}", "method": method, "psnr": value}
        for i, (count, gain) in enumerate(zip(numbers, gains, strict=True))
        for k in range(count)
        for method, value in (("model", 30 + gain), ("input", 30.0))
    ]
    found = mean_gain(rows, psnr(), "input", ("scan", "slice"))
    mean = (numbers * gains).sum() / 16
    assert (found["mean"], found["of"], found["subjects"]) == (pytest.approx(mean), 16, 7)
    drawn = np.random.default_rng(7).integers(0, 7, (200_000, 7))
    means = (numbers * gains)[drawn].sum(1) / numbers[drawn].sum(1)
    # Draws of 10,000 scatter by the root of p (1 - p) / n, 0.16 % of the distribution.
    for end, share in zip(found["ci95"], (0.025, 0.975), strict=True):
        low, high = np.quantile(means, [share - 5 * 0.0016, share + 5 * 0.0016])
        assert low <= end <= high
    assert mean_gain(rows, psnr(), "input", ("scan", "slice"))["ci95"] == found["ci95"], "seeded"
    assert mean_gain(rows, psnr(), "input", ("scan", "slice"), seed=1)["ci95"] != found["ci95"]


def test_two_subjects_are_no_evidence_and_a_scan_stands_for_an_unknown_one(rows):
    found = mean_gain(rows, psnr(), "input", ("scan", "slice"), "animal")
    assert (found["subjects"], found["ci95"]) == (2, None)
    for row in rows:
        row["scan"], row["animal"] = f"{row['scan']}{row['slice']}", ""
    found = mean_gain(rows, psnr(), "input", ("scan", "slice"), "animal")
    assert (found["subjects"], found["ci95"]) == (4, pytest.approx([2, 2]))


def test_at_the_lowest_level_and_by_level(volumes):
    how = {"groups": ("noise_level",), "unit": ("scan", "noise_level"), "lowest": "noise_level"}
    found = summarise(volumes, VOLUME_MEASURES, each="scan", **how)
    assert list(found["measures"]) == ["psnr", "ssim"], "LPIPS was not measured"
    assert found["overall"]["model"]["psnr"]["mean"] == pytest.approx(30.5)
    assert found["overall"] == found["groups"]["noise_level"]["0"]
    assert found["groups"]["noise_level"]["0.3"]["cubic"]["psnr"]["mean"] == pytest.approx(27)
    assert found["each"]["v2"]["model"]["psnr"] == pytest.approx(29)
    gain = found["model_against"]["cubic"]["psnr"]
    assert (gain["mean"], gain["better"], gain["of"]) == (pytest.approx(0.5), 1, 2)
    assert "each" not in summarise(volumes, VOLUME_MEASURES, **how)


def test_groups_stand_by_size_then_by_name_then_the_unknown():
    rows = [
        {"scan": str(i), "group": group, "method": "model", "mse": 1.0}
        for i, group in enumerate(["box", "10", "", "9", "averaged"])
    ]
    found = summarise(rows, [mse()], groups=("group",))
    assert list(found["groups"]["group"]) == ["9", "10", "averaged", "box", "unknown"]


def test_infinite_values_are_counted_and_do_not_spoil_the_mean(rows):
    rows[-1]["psnr"] = math.inf
    found = summarise(rows, MEASURES, each="scan", **SLICES)
    psnr = found["overall"]["model"]["psnr"]
    assert psnr["mean"] == pytest.approx((22 + 23 + 26) / 3)
    assert (psnr["n"], psnr["left_out"], psnr["infinite"]) == (3, 1, 1)
    # The same units for every method: else their means could not be compared.
    other = found["overall"]["input"]["psnr"]
    assert (other["n"], other["left_out"], other["infinite"]) == (3, 1, 0)
    assert psnr["mean"] - other["mean"] == pytest.approx(
        found["model_against"]["input"]["psnr"]["mean"]
    )
    assert found["model_against"]["input"]["psnr"]["of"] == 3
    json.dumps(found, allow_nan=False)
    only = [row for row in rows if row["scan"] == "m1_axial" and row["slice"] == "0"]
    assert summarise(only, MEASURES, **SLICES)["overall"]["model"]["psnr"]["std"] is None


def test_what_should_be_right_has_no_gain_and_a_gap_is_no_unit(rows):
    coverage = Measure("psnr", "coverage", "", "target", 3, "", lambda _: None)
    assert mean_gain(rows, coverage, "input", ("scan", "slice")) is None
    rows[0]["psnr"] = None  # the input's first slice
    assert mean_gain(rows, psnr(), "input", ("scan", "slice"))["of"] == 3
