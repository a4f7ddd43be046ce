from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusion_series import make_series, restored_item, study_table
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel
from matplotlib.figure import Figure

from custom.evaluation.dwi_panels import DwiFigures, compare_series

SERIES = make_series((9, 8, 7), sigma=0.1)
TABLE = study_table()
METHODS = {"input": "image", "model": "pred"}


def item(scan: str = "head", **more: Any) -> dict[str, Any]:
    return restored_item(SERIES, scan=scan, **more)


def test_the_middle_slice_of_the_middle_weighted_volume_is_shown() -> None:
    found = compare_series(item(true_noise_level=torch.tensor(0.1)), METHODS, {})
    assert (found.volume, found.slice_index, found.b_value) == (16, 3, 1000.0)
    assert found.noise_level == pytest.approx(0.1)
    assert found.pixel_mm == (2.0, 2.0)
    unit = np.median(SERIES.s0[SERIES.inside])
    np.testing.assert_allclose(found.true_signals, SERIES.clean[..., 3, 16] / unit, rtol=1e-5)
    np.testing.assert_allclose(found.signals["input"], SERIES.noisy[..., 3, 16] / unit, rtol=1e-5)
    assert list(found.signals) == list(found.anisotropy) == ["input", "model"]


def test_anisotropy_against_dipy() -> None:
    found = compare_series(item(), METHODS, {})
    gtab = gradient_table(TABLE.bvals, bvecs=TABLE.bvecs, b0_threshold=0, atol=0.05)
    inside = SERIES.inside[..., 3]
    expected = TensorModel(gtab).fit(SERIES.clean[..., 3, :][inside]).fa
    for anisotropy in (found.true_anisotropy, found.anisotropy["model"]):
        np.testing.assert_allclose(anisotropy[inside], expected, atol=1e-3)
        assert np.isnan(anisotropy[~inside]).all()
    assert np.abs(found.anisotropy["input"][inside] - expected).mean() > 0.02


def test_the_truth_may_be_a_tensor_of_the_item() -> None:
    line = torch.zeros(6, 9, 8, 7)
    line[0] = 1.0
    found = compare_series(item(tensor=line), METHODS, {})
    np.testing.assert_allclose(found.true_anisotropy[SERIES.inside[..., 3]], 1.0)
    assert found.anisotropy["model"][SERIES.inside[..., 3]].max() < 0.9


def test_every_scan_has_a_figure_and_old_ones_go(tmp_path: Any) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").write_bytes(b"old")
    rows = [{"scan": "one", "method": "model", "mse": 0.5}, {"scan": "two", "method": "model"}]
    table: Any = SimpleNamespace(rows=rows, methods=METHODS)
    drawn = []

    def draw(comparison: Any) -> Figure:
        drawn.append(comparison)
        return Figure(figsize=(1, 1))

    figures = DwiFigures(table, draw, tmp_path)
    batch, output = [item("one"), item("two", true_noise_level=0.2)], [{}, {}]
    figures.keep(SimpleNamespace(state=SimpleNamespace(batch=batch, output=output)))
    figures.write()
    assert sorted(path.name for path in (tmp_path / "figures").glob("*.png")) == [
        "one.png",
        "two.png",
    ]
    assert [one.scan for one in drawn] == ["one", "two"]
    assert drawn[0].measures == {"model": rows[0]}
    with (tmp_path / "figures" / "figures.csv").open(newline="") as text:
        listed = list(csv.DictReader(text))
    assert [(row["file"], row["noise_level"]) for row in listed] == [
        ("one.png", ""),
        ("two.png", "0.2"),
    ]
