import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator

from custom.evaluation.preview_images import PreviewImages
from custom.evaluation.slice_panels import compare


class Double(torch.nn.Module):
    def forward(self, x):
        return 2 * x + 0.125


class Drawn:
    """Stands in for a figure, and for the function that draws it."""

    def __init__(self):
        self.items = []

    def __call__(self, item):
        self.items.append(item)
        return self

    def savefig(self, path, dpi):
        path.write_text(str(dpi))


def evaluator(batches=3):
    """An evaluator of slices whose input is half the reference, and a network that undoes it."""
    affine = torch.diag(torch.tensor([0.1, 0.2, 0.6, 1.0]))
    data = []
    for index in range(1, batches + 1):
        ramp = torch.linspace(0, 1, 12 * 16).view(1, 12, 16)
        label = MetaTensor(2 * index + ramp, affine=affine.clone())
        data.append({"image": label / 2, "label": label, "scan": "m1", "slice": index})
    return SupervisedEvaluator("cpu", DataLoader(data, batch_size=1), Double())


def test_draws_the_same_slice_in_the_first_and_every_nth_epoch(tmp_path):
    engine, draw = evaluator(), Drawn()
    PreviewImages(draw, tmp_path, interval=2, slice_number=2).attach(engine)
    for epoch in range(1, 6):
        engine.run(epoch)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["epoch_0001.png", "epoch_0002.png", "epoch_0004.png"]
    assert [item.slice_index for item in draw.items] == [2, 2, 2]
    assert draw.items[1].chosen == "epoch 2"


def test_hands_over_images_pixel_size_and_measures(tmp_path):
    engine, draw = evaluator(), Drawn()
    PreviewImages(draw, tmp_path).attach(engine)
    engine.run(1)
    (item,) = draw.items
    assert item.scan == "m1"
    assert item.pixel_mm == pytest.approx((0.1, 0.2))
    assert item.high.shape == (12, 16)
    np.testing.assert_array_equal(item.low, item.high / 2)
    np.testing.assert_allclose(item.restored, item.high + 0.125)
    expected = np.mean(np.square(item.high / 2, dtype=float))
    assert item.measures["input"]["mse"] == pytest.approx(expected)
    # The reference runs from 2 to 3, so the data range is 1.
    assert item.measures["model"]["psnr"] == pytest.approx(20 * np.log10(8), abs=1e-4)
    assert item.measures["input"]["ssim"] < item.measures["model"]["ssim"] < 1


def test_a_slice_looks_the_same_alone_and_in_its_stack():
    stacks = {key: torch.rand(1, 12, 16, 3) for key in ("image", "pred", "label")}
    single = {key: stack[..., 2] for key, stack in stacks.items()} | {"slice": 2}
    one, other = compare(single, "a test", {}), compare(stacks, "a test", {}, index=2)
    assert (one.slice_index, other.slice_index) == (2, 2)
    for name, key in (("low", "image"), ("restored", "pred"), ("high", "label")):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(getattr(one, name), stacks[key][0, ..., 2])


def test_a_short_validation_shows_its_last_slice(tmp_path):
    engine, draw = evaluator(batches=2), Drawn()
    PreviewImages(draw, tmp_path, slice_number=9).attach(engine)
    engine.run(1)
    assert [item.slice_index for item in draw.items] == [2]


@pytest.mark.parametrize("options", [{"interval": 0}, {"slice_number": 0}])
def test_wrong_options_are_named(tmp_path, options):
    with pytest.raises(ValueError, match="interval and slice_number"):
        PreviewImages(Drawn(), tmp_path, **options)
