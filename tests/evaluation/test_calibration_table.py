"""Calibration against deviations that are right, or wrong by a known factor."""

from types import SimpleNamespace

import pytest
import torch

from custom.evaluation.calibration_table import CalibrationTable
from custom.evaluation.units import Slices


def item(scale: float, of: str, factor: float = 1.0) -> dict:
    """A stack whose errors are normal, of a deviation that grows from slice to slice."""
    torch.manual_seed(int(100 * scale))
    label = torch.rand(1, 60, 50, 8) + 1
    true = scale * torch.linspace(0.5, 2, 8).expand(1, 60, 50, 8)
    pred = label + true * torch.randn(label.shape)
    return {"label": label, "pred": pred, "spread": factor * true, "scan": of, "kind": of}


def table(**options) -> CalibrationTable:
    units = Slices(["scan", "kind"], {"left": left_half})
    return CalibrationTable(SimpleNamespace(units=units, methods={"model": "pred"}), **options)


def left_half(images) -> torch.Tensor:
    mask = torch.zeros_like(images.reference)
    mask[:, :, :30] = 1
    return mask


@pytest.mark.parametrize("region", [None, "left"])
def test_right_deviations_are_calibrated(region):
    found = table(region=region, group="kind")
    found.keep(item(0.01, "a"))
    found.keep(item(0.05, "b"))
    made = found.tables([])[0]
    assert made["columns"][0] == "kind"
    names = [line[0] for line in made["rows"]]
    assert names == ["all", "a", "b"]
    for _, units, spread, one, two, rank in made["rows"]:
        assert units in (8, 16)
        assert spread == pytest.approx(1, abs=0.02)
        assert one == pytest.approx(0.683, abs=0.01)
        assert two == pytest.approx(0.954, abs=0.01)
        assert rank > 0.97


def test_a_deviation_of_half_the_error_says_so():
    found = table()
    found.keep(item(0.02, "a", factor=0.5))
    line = found.tables([])[0]["rows"][0]
    assert line[2] == pytest.approx(0.5, abs=0.01)
    assert line[3] == pytest.approx(0.383, abs=0.01)  # of a normal distribution within 0.5
    assert line[4] == pytest.approx(0.683, abs=0.01)


def test_the_region_alone_counts():
    wrong = item(0.02, "a")
    wrong["spread"][:, 30:] *= 100
    found = table(region="left")
    found.keep(wrong)
    assert found.tables([])[0]["rows"][0][2] == pytest.approx(1, abs=0.02)


def test_without_deviations_there_is_no_table():
    found = table()
    found.keep({key: value for key, value in item(0.02, "a").items() if key != "spread"})
    assert found.tables([]) == []
    found.keep(item(0.02, "a"))
    found.start()
    assert found.tables([]) == []
