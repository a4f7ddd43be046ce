from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from monai.data import MetaTensor

from custom.evaluation.volume_panels import VolumeFigures, compare_volumes, zoom_window
from custom.evaluation.volume_table import VolumeQualityTable


def volume(seed: int = 0) -> torch.Tensor:
    return torch.rand((1, 18, 20, 22), generator=torch.Generator().manual_seed(seed))


def test_the_window_is_where_the_detail_is() -> None:
    image = np.zeros((30, 60))
    image[21:27:2, 33:50] = 1.0
    first, second, rows, columns = zoom_window(image)
    assert (rows, columns) == (10, 20)
    assert first <= 20
    assert first + rows >= 27
    assert second <= 33
    assert second + columns >= 50
    assert zoom_window(image, 1.0) == (0, 0, 30, 60)


def test_what_is_shown_of_a_volume() -> None:
    affine = torch.tensor([[0.0, 2, 0, 0], [1.5, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    label = volume()
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(18) / 18).reshape(1, 18, 1, 1)
    data = {"scan": "a", "label": MetaTensor(label, affine=affine), "pred": label + 0.2 * wave}
    found = compare_volumes(data, {"model": "pred"}, {})
    assert found.slice_index == 11
    assert found.pixel_mm == (1.5, 2.0)
    torch.testing.assert_close(torch.from_numpy(found.reference), label[0, ..., 11])
    # The wave is two samples, at plus and minus 3 along the first axis, and nothing else.
    error = found.spectra["model"]
    assert error.shape == (9, 10)
    assert sorted(zip(*np.nonzero(error > 1e-3), strict=True)) == [(1, 5), (7, 5)]
    plane = np.fft.fft2(label[0].double().sum(2).numpy()) / np.sqrt(label.numel())
    low = np.take(
        np.take(plane, np.arange(9) - 4, 0, mode="wrap"), np.arange(10) - 5, 1, mode="wrap"
    )
    expected = 0.1 * np.sqrt(label.numel()) / np.sqrt(np.mean(np.abs(low) ** 2))
    assert error[1, 5] == pytest.approx(expected, rel=1e-5)


def test_first_worst_and_noisiest_are_drawn(tmp_path: Any) -> None:
    table = VolumeQualityTable(tmp_path, {"model": "pred"})
    drawn = []

    def draw(item: Any) -> Figure:
        drawn.append(item)
        return Figure(figsize=(0.1, 0.1))

    figures = VolumeFigures(table, draw, tmp_path, scans=1)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").write_bytes(b"")
    for scan, level, error in (("a", 0, 0.1), ("a", 0.3, 0.5), ("b", 0, 0.9), ("b", 0.3, 0.9)):
        data = {"scan": scan, "noise_level": level, "label": volume(), "pred": volume() + error}
        engine: Any = SimpleNamespace(state=SimpleNamespace(batch=[data], output=[{}]))
        table.measure(engine)
        figures.keep(engine)
    figures.write()
    with (tmp_path / "figures" / "figures.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["file"] for row in rows] == ["a.png", "b.png", "a_noise0.3.png"]
    assert rows[1]["chosen"] == "lowest PSNR of the model"
    assert sorted(path.name for path in (tmp_path / "figures").glob("*.png")) == sorted(
        row["file"] for row in rows
    )
    assert drawn[1].measures["model"]["scan"] == "b"
    with pytest.raises(ValueError, match="scans"):
        VolumeFigures(table, draw, tmp_path, scans=-1)
