import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from custom.physics.downsampling import downsample
from custom.transforms.volume_resolution import (
    DownsampleVolumed,
    NoiseOnVolumed,
    UpsampleVolumed,
    at_noise_levels,
)


def volume(shape=(1, 24, 22, 20)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 30 + 7


def noisy(level, scan="a", **settings):
    data = {"label": volume(), "scan": scan, "noise_level": level}
    return NoiseOnVolumed("label", "noisy", **settings)(data)["noisy"]


def test_noise_has_the_deviation_of_the_level():
    clean = volume()
    unit = clean.std(correction=0)
    for level in (0.1, 0.3):
        noise = (noisy(level) - clean) / (level * unit)
        count = noise.numel()
        assert abs(float(noise.mean())) < 5 / count**0.5
        assert abs(float(noise.square().mean()) - 1) < 5 * (2 / count) ** 0.5
    assert torch.equal(noisy(0.0), clean)


def test_noise_is_the_scans_own():
    clean = volume()
    torch.testing.assert_close(noisy(0.2) - clean, 2 * (noisy(0.1) - clean), atol=1e-4, rtol=0)
    assert torch.equal(noisy(0.2), noisy(0.2))
    for other in (noisy(0.2, scan="b"), noisy(0.2, seed=1)):
        a, b = (x.flatten() for x in (noisy(0.2) - clean, other - clean))
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 5 / a.numel() ** 0.5


def test_every_item_at_every_level():
    found = at_noise_levels([{"scan": "a"}, {"scan": "b"}], [0, 0.3])
    assert [(item["scan"], item["noise_level"]) for item in found] == [
        ("a", 0.0),
        ("a", 0.3),
        ("b", 0.0),
        ("b", 0.3),
    ]
    for wrong in ([], [-0.1]):
        with pytest.raises(ValueError, match="levels"):
            at_noise_levels([{}], wrong)


@pytest.mark.parametrize(
    ("degradation", "offset"), [("linear", 0.5), ("kspace", 0), ("nearest", 0)]
)
def test_interpolation_gives_a_ramp_back_where_it_was(degradation, offset):
    # Splines and linear interpolation reproduce a ramp; only the right grid gives this one.
    ramp = torch.arange(32.0).reshape(1, 32, 1, 1).expand(1, 32, 18, 18).contiguous()
    low = ramp[:, ::2, ::2, ::2] + offset
    data = {name: MetaTensor(low, affine=torch.eye(4)) for name in ("trilinear", "cubic")}
    modes = ("trilinear", "cubic")
    found = UpsampleVolumed(modes, degradation, 2, modes)(data)
    for name in modes:
        torch.testing.assert_close(
            found[name][:, 10:22].as_subclass(torch.Tensor),
            ramp[:, 10:22],
            atol=0.005,
            rtol=0,
        )
        assert torch.allclose(found[name].affine[:3, :3].diagonal(), torch.tensor(0.5).double())


def test_the_grid_comes_back_whence_it_came():
    affine = torch.tensor([[0.0, 2, 0, 5], [1.5, 0, 0, -3], [0, 0, 1, 8], [0, 0, 0, 1]]).double()
    data = {"label": MetaTensor(volume((1, 9, 8, 7)), affine=affine)}
    for degradation in ("linear", "kspace", "nearest"):
        low = DownsampleVolumed("label", "image", degradation, 2)(data)
        fine = UpsampleVolumed("image", degradation, 2)(low)["image"]
        assert fine.shape == (1, 8, 8, 6)
        torch.testing.assert_close(fine.affine, affine)


def test_cubic_splines_are_scipys_zoom():
    # grid_mode places both grids in one box, as linear downsampling does; edges differ in mode.
    low = downsample(volume().unsqueeze(0), "linear", 2)[0]
    expected = ndimage.zoom(low[0].numpy(), 2, order=3, mode="mirror", grid_mode=True)
    found = UpsampleVolumed("image", "linear", 2, "cubic")({"image": low})["image"][0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="names"):
        NoiseOnVolumed(["a", "b"], "c")
    for wrong in ("nearest", ["cubic", "cubic"]):
        with pytest.raises(ValueError, match="mode"):
            UpsampleVolumed("image", "linear", 2, wrong)
