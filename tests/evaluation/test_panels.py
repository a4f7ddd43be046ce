import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from custom.evaluation import panels as module
from custom.evaluation.image_measures import mse, psnr, ssim
from custom.evaluation.panel_rows import image_row
from custom.evaluation.panels import Choice, Panels

METHODS = {"input": "image", "model": "pred"}
COLUMNS = {"plane": "", "noise_level": "noise {:g}", "slice": "slice {}"}


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn, in place of drawing."""
    found = []

    def draw(rows, titles, heading, inches, best):
        found.append(SimpleNamespace(rows=rows, titles=titles, heading=heading, best=best))
        return Figure(figsize=(0.1, 0.1))

    monkeypatch.setattr(module, "draw_rows", draw)
    return found


def evaluate(folder, scans, **options):
    """Run the handler over ``(scan, columns, PSNR of the model by slice)``; return the table."""
    table = SimpleNamespace(rows=[], methods=METHODS, measures=[psnr(), ssim()], output_dir=folder)
    handler = Panels(table, [image_row], columns=COLUMNS, measures=["psnr", "ssim"], **options)
    for number, (scan, columns, values) in enumerate(scans):
        for index, value in values.items():
            about = {"scan": scan, "plane": "", "noise_level": "", **columns}
            if len(values) > 1:
                about["slice"] = index
            for method, gain in (("input", -3.0), ("model", 0.0)):
                known = None if value is None else value + gain
                ssim_of = None if value is None else value / 100
                table.rows.append(about | {"method": method, "psnr": known, "ssim": ssim_of})
        stack = number + torch.arange(8.0).expand(1, 4, 4, 8)
        item = {"scan": scan, "image": stack, "pred": stack, "label": stack}
        state = SimpleNamespace(batch=[item], output=[{}])
        handler.collect(SimpleNamespace(state=state))
    handler.write()
    with (folder / "figures" / "figures.csv").open(newline="") as text:
        return list(csv.DictReader(text))


def test_of_each_plane_the_middle_of_the_first_scans_and_the_worst_slice(tmp_path, drawn):
    scans = [
        ("a", {"plane": "axial"}, {0: 25.0, 2: 26.0, 5: 27.0, 6: 24.0}),  # 1, 3, 4, 7 excluded
        ("b", {"plane": "axial"}, {0: 30.0, 1: 20.0}),
        ("c", {"plane": "coronal"}, {3: 21.0, 4: 28.0}),
    ]
    found = evaluate(tmp_path, scans, choices=[Choice(1, "psnr", by="plane")])
    assert [(row["scan"], row["slice"], row["plane"]) for row in found] == [
        ("a", "5", "axial"),  # the middle of what is left of it
        ("b", "1", "axial"),  # the worst of the plane, in another scan
        ("c", "4", "coronal"),
        ("c", "3", "coronal"),
    ]
    files = [f"{row['scan']}_slice{row['slice']}.png" for row in found]
    assert [row["file"] for row in found] == files
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == set(files)
    assert found[1]["caption"].startswith("b, slice 1: lowest PSNR")
    assert found[0]["caption"].startswith("a, slice 5: middle slice. From the top: slice.")
    # Scan b is the second, and slice 1 of it: 1 + 1.
    np.testing.assert_array_equal(drawn[1].rows[0].images["model"], 2.0)
    assert drawn[1].titles["model"][1] == "20.00 / 0.200"
    assert drawn[1].titles["input"][1] == "17.00 / 0.200"
    assert drawn[1].best == "model"


def test_at_some_levels_only_and_no_slice_twice(tmp_path, drawn):
    scans = [
        (scan, {"noise_level": level}, {0: psnr})
        for scan, level, psnr in (
            ("a", 0.0, 30.0),
            ("a", 0.3, 20.0),
            ("b", 0.0, 29.0),
            ("b", 0.1, 5.0),
            ("b", 0.3, 10.0),
        )
    ]
    choices = [
        Choice(1, "psnr", where={"noise_level": 0.0}),
        Choice(1, where={"noise_level": 0.3}, reason="strongest noise"),
        Choice(2, where={"noise_level": 0.3}, reason="once more"),
    ]
    found = evaluate(tmp_path, scans, choices=choices)
    assert [(row["file"], row["noise_level"], row["chosen"]) for row in found] == [
        ("a_slice4.png", "0", "middle slice"),
        ("b_slice4.png", "0", found[1]["chosen"]),
        ("a_slice4_2.png", "0.3", "strongest noise"),
        ("b_slice4_2.png", "0.3", "once more"),
    ]
    assert "of the model" in found[1]["chosen"]
    assert "a, noise 0.3, slice 4: strongest noise" in drawn[2].heading
    np.testing.assert_array_equal(drawn[2].rows[0].images["input"], 1 + 4)


def test_all_scans_unless_told_otherwise_and_a_last_figure_of_all_measures(tmp_path, drawn):
    scans = [(name, {}, {0: 30.0}) for name in "abc"]
    found = evaluate(tmp_path, scans, distributions=["psnr", "lpips"])
    assert [row["scan"] for row in found] == ["a", "b", "c", ""]
    assert found[-1]["file"] == "distributions.png"
    assert (tmp_path / "figures" / "distributions.png").is_file()
    with pytest.raises(ValueError, match="first"):
        Choice(-1)


def test_a_measure_that_should_be_small_is_worst_where_it_is_large(tmp_path, drawn):
    methods = {"model": "pred"}
    table = SimpleNamespace(rows=[], methods=methods, measures=[mse()], output_dir=tmp_path)
    handler = Panels(table, [image_row], [Choice(0, "mse")], measures=["mse"])
    for scan, error in (("a", 0.1), ("b", 0.4), ("c", 0.2)):
        table.rows.append({"scan": scan, "method": "model", "mse": error})
        item = {"scan": scan, "pred": torch.zeros(1, 2, 2, 2), "label": torch.zeros(1, 2, 2, 2)}
        handler.collect(SimpleNamespace(state=SimpleNamespace(batch=[item], output=[{}])))
    handler.write()
    (figure,) = drawn
    assert figure.heading == "b, slice 1: highest MSE of the model (MSE)"


def test_a_slice_without_the_region_of_a_measure_is_no_worst_one(tmp_path, drawn):
    scans = [("a", {}, {0: 25.0, 1: None, 2: 24.0}), ("b", {}, {0: None, 1: None})]
    choice = Choice(1, "psnr", by="scan")
    found = evaluate(tmp_path, scans, choices=[choice], distributions=["psnr"])
    assert [(row["scan"], row["slice"]) for row in found[:3]] == [
        ("a", "1"),
        ("a", "2"),
        ("b", "1"),
    ]
    assert drawn[0].titles["model"][1] == "- / -"
    assert drawn[0].best == ""
