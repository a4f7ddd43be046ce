import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom.transforms.foreground_scale import (
    ForegroundScaled,
    UnscaleForegroundd,
    foreground_scale,
)


def head(size=24, tissue=700.0, air=10.0):
    volume = torch.full((1, size, size, size), air)
    volume[:, 6:18, 6:18, 6:18] = tissue
    return volume


def test_the_scale_is_the_mean_of_the_tissue_alone():
    volume = head()
    volume[:, 6:18, 6:18, 6:12] = 500
    assert foreground_scale(volume) == pytest.approx(600)


def test_it_is_homogeneous_and_ignores_voxels_that_are_not_finite():
    volume = head() + torch.rand(1, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    scale = foreground_scale(volume)
    assert foreground_scale(3 * volume) == pytest.approx(3 * scale, rel=1e-6)
    assert foreground_scale(torch.nn.functional.pad(volume - 10, (0, 4))) == pytest.approx(
        scale - 10, rel=1e-5
    )
    volume[0, 0, 0, 0] = torch.nan
    volume[0, 0, 0, 1] = torch.inf
    assert foreground_scale(volume) == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize(("value", "expected"), [(5.0, 5.0), (0.0, 1.0), (-2.0, 1.0)])
def test_a_volume_without_contrast(value, expected):
    assert foreground_scale(np.full((4, 4, 4), value)) == expected


def test_dividing_and_multiplying_back_is_the_identity():
    affine = torch.diag(torch.tensor([2.0, 2, 2, 1])).double()
    data = {"image": MetaTensor(head(), affine=affine), "label": head(48, 900)}
    scaled = ForegroundScaled(["image", "label"], "image")(data)
    assert float(scaled["foreground_scale"]) == pytest.approx(700)
    assert float(scaled["image"].max()) == pytest.approx(1)
    assert float(scaled["label"].max()) == pytest.approx(900 / 700)
    back = UnscaleForegroundd(["image", "label"])(scaled)
    torch.testing.assert_close(back["image"], data["image"])
    torch.testing.assert_close(back["label"], data["label"])
    torch.testing.assert_close(back["image"].affine, affine)
