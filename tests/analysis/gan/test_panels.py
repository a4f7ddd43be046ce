import numpy as np
import pytest
import torch

from custom.analysis.gan.panels import kspace_row
from custom.evaluation.panel_rows import slice_view


def test_a_wave_is_two_samples_of_the_kspace_residual():
    label = torch.rand((1, 18, 20, 22), generator=torch.Generator().manual_seed(0))
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(18) / 18).reshape(1, 18, 1, 1)
    item = {"label": label, "pred": label + 0.2 * wave}
    row = kspace_row(slice_view(item, {"model": "pred"}))
    error, low = row.images["model"], row.style["norm"].vmin
    assert error.shape == (9, 10)
    # Plus and minus 3 along the first axis, and nothing else above the bottom of the scale.
    assert sorted(zip(*np.nonzero(error > 1.001 * low), strict=True)) == [(1, 5), (7, 5)]
    plane = np.fft.fft2(label[0].double().sum(2).numpy()) / np.sqrt(label.numel())
    band = np.take(plane, np.arange(9) - 4, 0, mode="wrap")
    band = np.take(band, np.arange(10) - 5, 1, mode="wrap")
    expected = 0.1 * np.sqrt(label.numel()) / np.sqrt(np.mean(np.abs(band) ** 2))
    assert error[1, 5] == pytest.approx(expected, rel=1e-5)
    assert row.style["norm"].vmax == pytest.approx(expected, rel=1e-5)
    assert low == pytest.approx(expected / 1000, rel=1e-5)
