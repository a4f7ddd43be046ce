from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator

from custom.evaluation import preview_images as module
from custom.evaluation.preview_images import PreviewImages


class Double(torch.nn.Module):
    def forward(self, x):
        return 2 * x + 0.125


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn, in place of drawing."""
    found = []

    def draw(rows, titles, heading, inches):
        found.append(SimpleNamespace(rows=rows, titles=titles, heading=heading))
        return Figure(figsize=(0.1, 0.1))

    monkeypatch.setattr(module, "draw_rows", draw)
    return found


def evaluator(batches=3):
    """An evaluator of slices whose input is half the reference, and a network that undoes it."""
    affine = torch.diag(torch.tensor([0.1, 0.2, 0.6, 1.0]))
    data = []
    for index in range(1, batches + 1):
        ramp = torch.linspace(0, 1, 12 * 16).view(1, 12, 16)
        label = MetaTensor(2 * index + ramp, affine=affine.clone())
        data.append({"image": label / 2, "label": label, "scan": "m1", "slice": index})
    return SupervisedEvaluator("cpu", DataLoader(data, batch_size=1), Double())


def test_draws_the_same_slice_in_the_first_and_every_nth_epoch(tmp_path, drawn):
    engine = evaluator()
    PreviewImages(tmp_path, interval=2, slice_number=2).attach(engine)
    for epoch in range(1, 6):
        engine.run(epoch)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["epoch_0001.png", "epoch_0002.png", "epoch_0004.png"]
    assert [item.heading for item in drawn] == [
        f"m1, slice 2: epoch {epoch} (PSNR [dB] / SSIM)" for epoch in (1, 2, 4)
    ]


def test_shows_images_residuals_and_measures(tmp_path, drawn):
    engine = evaluator()
    PreviewImages(tmp_path).attach(engine)
    engine.run(1)
    images, residuals = drawn[0].rows
    assert images.pixel_mm == pytest.approx((0.1, 0.2))
    reference = images.images["reference"]
    assert reference.shape == (12, 16)
    np.testing.assert_array_equal(images.images["input"], reference / 2)
    np.testing.assert_allclose(residuals.images["restored"], 0.125, atol=1e-6)
    # The reference runs from 2 to 3, so the data range is 1, and the model is off by 1/8.
    psnr, ssim = drawn[0].titles["restored"][1].split(" / ")
    assert psnr == f"{20 * np.log10(8):.2f}"
    assert float(drawn[0].titles["input"][1].split(" / ")[1]) < float(ssim) < 1


def test_a_short_validation_shows_its_last_slice(tmp_path, drawn):
    engine = evaluator(batches=2)
    PreviewImages(tmp_path, slice_number=9).attach(engine)
    engine.run(1)
    assert ["slice 2" in item.heading for item in drawn] == [True]


@pytest.mark.parametrize("option", ["interval", "slice_number"])
def test_wrong_options_are_named(tmp_path, option):
    with pytest.raises(ValueError, match=option):
        PreviewImages(tmp_path, **{option: 0})
