"""The channels of a network on the fine grid, and what of them training makes known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from custom.physics.acquisition import acquire
from custom.physics.deconvolution import deconvolved
from custom.physics.downsampling import downsample, low_affine
from custom.transforms.fine_start import FineStartd
from custom.transforms.volume_resolution import ACQUIRED, AcquireVolumed


def brain(size: int = 24) -> Tensor:
    """A ball of mean foreground about 1, with a shell."""
    place = torch.linspace(-1, 1, size)
    radius = (place[:, None, None] ** 2 + place[:, None] ** 2 + place**2).sqrt()
    return (1.0 * (radius < 0.8) + 0.5 * (radius < 0.4))[None]


def test_the_channels_are_the_classical_start_and_what_is_known():
    low = downsample(brain()[None], "hamming")[0]
    made = FineStartd("image", acquired_by="hamming", sigma=0.06)({"image": low, "image_scale": 3})
    start, filled, level, known = made["image"]
    values = low[0].numpy()
    np.testing.assert_allclose(start, deconvolved(values, "hamming", 2, 0.02), atol=1e-6)
    np.testing.assert_allclose(filled, deconvolved(values, "kspace", 2), atol=1e-6)
    assert torch.all(level == 0.02)
    assert torch.all(known == 1)
    assert made["measured"] is low
    assert made["noise_level"] == pytest.approx(0.06)
    added = FineStartd("image")({"image": low, "noise_level": 0.25})
    assert added["noise_level"] == 0.25  # by it an evaluation groups its rows
    unknown = FineStartd("image", sigma=0.0)({"image": low})["image"]
    assert torch.all(unknown[3] == 0)
    torch.testing.assert_close(unknown[0], filled)


@pytest.mark.parametrize("scale", [2, (1, 1, 3)])
def test_the_grid_is_that_of_the_fine_volume(scale):
    affine = torch.diag(torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64))
    low = MetaTensor(torch.rand(1, 8, 8, 8), affine=low_affine(affine, "acquired", scale))
    fine = FineStartd("image", scale=scale, sigma=0.0)({"image": low})["image"]
    factors = (2, 2, 2) if scale == 2 else scale
    assert fine.shape == (4, *(8 * factor for factor in factors))
    torch.testing.assert_close(fine.affine, affine)


def test_a_hot_voxel_stays_where_it_is():
    """A sinc would carry a thousandth of it to the other end."""
    low = downsample(brain()[None], "truncated")[0]
    hot = low.clone()
    hot[0, 6, 6, 6] = 1e4
    plain, after = (FineStartd("image", sigma=0.0)({"image": x})["image"] for x in (low, hot))
    change = (after - plain)[:2].abs()
    assert float(change[:, 11:15, 11:15, 11:15].max()) > 1e3
    change[:, 10:16, 10:16, 10:16] = 0
    assert float(change.max()) < 0.2  # what replaces it is not what stood there


def test_training_patches_cover_their_reference_and_some_are_told():
    acquire_it = AcquireVolumed("label", "image", thick=1.0).set_random_state(0)
    start = FineStartd("image").set_random_state(0)
    told, right = [], []
    for _ in range(80):
        item = acquire_it({"label": brain()})
        how = item[f"image{ACQUIRED}"]
        made = start(item)
        assert made["image"].shape[1:] == made["label"].shape[1:]
        assert not {f"image{ACQUIRED}", "noise_level", "measured"} & set(made)
        told.append(float(made["image"][3, 0, 0, 0]))
        right.append(float(made["image"][2].median()) == pytest.approx(how["noise"], rel=0.5))
    assert set(told) == {0.0, 1.0}
    assert 0.4 < sum(told) / 80 < 0.8
    assert sum(right) > 40


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="sigma"):
        FineStartd("image", sigma=-1.0)
    with pytest.raises(ValueError, match=r"^acquired_by must be one of"):
        FineStartd("image", acquired_by="sinc")
    with pytest.raises(ValueError, match=r"^acquired_by must be one whose grids"):
        FineStartd("image", acquired_by="kspace")
    with pytest.raises(ValueError, match="scale"):
        FineStartd("image", scale=0)
    with pytest.raises(ValueError, match="fill the same box"):
        FineStartd("image", degradation="kspace")
    for scale in ((1, 2, 3), (1, 1, 6), (2, 2, 1)):
        with pytest.raises(ValueError, match="1, 1 and 2 to 5"):
            FineStartd("image", scale=scale)


def test_the_start_of_thick_slices_is_their_inverse_along_one_axis():
    fine = brain(20)[None]
    low = acquire(fine, "box", (1, 1, 5))[0]
    made = FineStartd("image", acquired_by="box", scale=(1, 1, 5), sigma=0.0)({"image": low})
    again = acquire(made["image"][None, :1], "box", (1, 1, 5))[0]
    torch.testing.assert_close(again, low, atol=2e-2, rtol=0)
