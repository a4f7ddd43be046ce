import csv
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine

from custom.evaluation.summary import summarise_seconds
from custom.evaluation.table import Times


@pytest.mark.parametrize("runs", [1, 2])
def test_each_method_has_the_seconds_that_it_took(tmp_path, runs):
    methods = {"input": "image", "wls": "fitted", "unet": "unet", "model": "pred"}
    table = SimpleNamespace(output_dir=tmp_path, methods=methods)
    inferer = SimpleNamespace(seconds=0.0)
    mask = torch.zeros(1, 4, 4, 4)
    mask[0, 0] = 1

    def step(engine, batch):
        number = engine.state.iteration
        inferer.seconds = float(number)
        return [{"pred": torch.zeros(1, 4, 4, 2 + number), "unet_seconds": torch.tensor(0.5)}]

    engine, times = Engine(step), Times(table, inferer)
    times.attach(engine)
    for _ in range(runs):  # a second run forgets the first
        engine.run([[{"scan": "a", "image_mask": mask, "fitted_seconds": 0.25}], [{"scan": "b"}]])
    with (tmp_path / "times.csv").open(newline="") as text:
        rows = [tuple(row.values()) for row in csv.DictReader(text)]
    assert rows == [
        ("a", "wls", "3", "16", "0.25"),
        ("a", "unet", "3", "16", "0.5"),
        ("a", "model", "3", "16", "1"),
        ("b", "unet", "4", "64", "0.5"),
        ("b", "model", "4", "64", "2"),
    ]


def rows(**seconds):
    """One row for each scan and method, the peer before the model, as they come."""
    return [
        {"scan": f"s{index}", "method": method, "slices": 10, "seconds": values[index]}
        for index in range(len(seconds["model"]))
        for method, values in seconds.items()
    ]


def test_medians_and_ratios_by_hand():
    # The ratios of the scans are 5, 2 and 3: their median is not the ratio of the medians, 2.
    taken = rows(unet=[1.0, 3.0, 6.0], model=[5.0, 6.0, 18.0])
    found = summarise_seconds(taken)
    assert list(found) == ["model", "unet"]
    assert found["model"] == {"median": 6, "min": 5, "max": 18, "scans": 3}
    unet = {"median": 3, "min": 1, "max": 6, "scans": 3, "model_ratio": pytest.approx(3)}
    assert found["unet"] == unet
    by_slice = summarise_seconds(taken, "slice")
    assert by_slice["model"] == {"median": 0.6, "min": 0.5, "max": 1.8, "scans": 3}
    assert by_slice["unet"]["model_ratio"] == pytest.approx(3)


def test_nothing_timed_is_nothing_said():
    assert summarise_seconds([]) == {}
