import pytest

from custom.evaluation.time_summary import summarise_seconds, summarise_times


def rows(**seconds):
    """One row for each scan and method, the peer before the model, as they come."""
    return [
        {"scan": f"s{index}", "method": method, "slices": 10, "seconds_per_slice": value}
        for index in range(len(seconds["model"]))
        for method, values in seconds.items()
        for value in [values[index]]
    ]


def test_medians_and_ratios_by_hand():
    # The ratios of the scans are 5, 2 and 3: their median is not the ratio of the medians, 2.
    summary = summarise_times(rows(unet=[1.0, 3.0, 6.0], model=[5.0, 6.0, 18.0]))
    assert list(summary) == ["model", "unet"]
    assert summary["model"] == {"median": 6, "min": 5, "max": 18, "scans": 3, "slices": 30}
    assert summary["unet"] == {
        "median": 3,
        "min": 1,
        "max": 6,
        "scans": 3,
        "slices": 30,
        "model_ratio": pytest.approx(3),
    }


def test_one_disturbed_scan_changes_no_median():
    calm = summarise_times(rows(unet=[1.0, 1.0, 1.0], model=[2.0, 2.0, 2.0]))
    disturbed = summarise_times(rows(unet=[1.0, 1.0, 1.0], model=[2.0, 90.0, 2.0]))
    assert disturbed["model"]["median"] == calm["model"]["median"] == 2
    assert disturbed["unet"]["model_ratio"] == calm["unet"]["model_ratio"] == 2


def test_nothing_timed_is_nothing_said():
    assert summarise_times([]) == {}


def test_seconds_of_scans():
    taken = [{"method": "model", "seconds": value} for value in (3.0, 1.0, 8.0)]
    assert summarise_seconds(taken) == {"model": {"median": 3.0, "min": 1.0, "max": 8.0}}
