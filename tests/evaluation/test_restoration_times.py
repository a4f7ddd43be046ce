import csv
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine

from custom.evaluation.restoration_times import TIME_COLUMNS, RestorationTimes

METHODS = {"input": "image", "plain": "unet", "model": "pred"}


def evaluator(inferer):
    """Two scans; the model takes a second a slice of the first, two of the second."""

    def step(engine, batch):
        number = engine.state.iteration
        inferer.seconds_per_slice = float(number)
        pred = torch.zeros(1, 4, 4, 2 + number)
        return [{"pred": pred, "unet": pred, "unet_seconds_per_slice": 0.25}]

    return Engine(step)


def run(engine):
    about = {"animal": "m1", "plane": "axial", "region": "head"}
    engine.run([[{"scan": name, **about}] for name in ("first", "second")])


def read(path):
    with path.open(newline="") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("runs", [1, 2])
def test_each_scan_has_the_time_of_the_model_and_of_each_peer(tmp_path, runs):
    inferer = SimpleNamespace(seconds_per_slice=0.0)
    times, engine = RestorationTimes(tmp_path, METHODS, inferer), evaluator(inferer)
    times.attach(engine)
    for _ in range(runs):  # a second run forgets the first
        run(engine)
    rows = read(tmp_path / "times.csv")
    assert tuple(rows[0]) == TIME_COLUMNS
    assert [
        (row["scan"], int(row["slices"]), row["method"], float(row["seconds_per_slice"]))
        for row in rows
    ] == [
        ("first", 3, "plain", 0.25),
        ("first", 3, "model", 1),
        ("second", 4, "plain", 0.25),
        ("second", 4, "model", 2),
    ]
    assert {row["plane"] for row in rows} == {"axial"}
