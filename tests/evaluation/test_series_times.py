import csv
from types import SimpleNamespace

import torch

from custom.evaluation.series_times import SERIES_TIME_COLUMNS, SeriesTimes


def test_each_method_has_the_seconds_that_it_took(tmp_path):
    methods = {"input": "image", "wls": "fitted", "vae": "vae", "model": "pred"}
    table = SimpleNamespace(output_dir=tmp_path, methods=methods)
    inferer = SimpleNamespace(seconds=0.0)
    times = SeriesTimes(table, inferer)
    mask = torch.zeros(1, 4, 4, 4)
    mask[0, 0] = 1
    for number, scan in enumerate(("a", "b"), 1):
        inferer.seconds = float(number)
        given = {"scan": scan, "image_mask": mask, "fitted_seconds": 0.25 * number}
        state = SimpleNamespace(batch=[given], output=[{"vae_seconds": torch.tensor(0.5)}])
        times.collect(SimpleNamespace(state=state))
    times.write()
    with (tmp_path / "times.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert tuple(rows[0]) == SERIES_TIME_COLUMNS
    assert [(row["scan"], row["method"], float(row["seconds"])) for row in rows] == [
        ("a", "wls", 0.25),
        ("a", "vae", 0.5),
        ("a", "model", 1.0),
        ("b", "wls", 0.5),
        ("b", "vae", 0.5),
        ("b", "model", 2.0),
    ]
    assert {row["voxels"] for row in rows} == {"16"}
    times.start()
    assert times.rows == []
