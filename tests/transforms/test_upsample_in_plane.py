import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import zoom

from custom.transforms.upsample_in_plane import UpsampleInPlaned, upsample_in_plane

OBLIQUE = torch.tensor(
    [[0.19, -0.04, 0.1, 7], [0.05, 0.2, 0.02, -4], [-0.02, 0.01, 0.6, 2], [0, 0, 0, 1]],
    dtype=torch.float64,
)


def centre_of_mass(image):
    values = image.as_subclass(torch.Tensor)[0].double()
    grids = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in values.shape])
    index = torch.stack([(g * values).sum() / values.sum() for g in grids] + [torch.tensor(1.0)])
    return image.affine.double() @ index.double()


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:.*meshgrid.*:UserWarning")
def test_nearest_keeps_every_point_of_space_where_it_is(scale):
    image = MetaTensor(torch.rand(1, 5, 6, 3), affine=OBLIQUE)
    fine = upsample_in_plane(image, scale)
    assert fine.shape == (1, 5 * scale, 6 * scale, 3)
    torch.testing.assert_close(centre_of_mass(fine), centre_of_mass(image))
    expected = np.kron(image.numpy()[0], np.ones((scale, scale, 1)))
    np.testing.assert_array_equal(fine.numpy()[0], expected)


def test_bilinear_agrees_with_scipy_on_grids_that_share_a_box():
    slices = torch.rand(1, 7, 9)
    expected = zoom(slices[0].numpy(), 2, order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(upsample_in_plane(slices, 2, "bilinear")[0], expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_slices_do_not_mix_and_ramps_stay_ramps(mode):
    ramp = torch.arange(12.0).view(1, 12, 1, 1).expand(1, 12, 8, 2) * torch.tensor([1.0, -3.0])
    fine = upsample_in_plane(ramp, 2, mode)
    inner = fine[0, 6:-6, 5]
    torch.testing.assert_close(inner.diff(dim=0), torch.tensor([[0.5, -1.5]]).expand(11, 2))


def test_zero_filling_keeps_the_measured_frequencies_and_adds_none():
    waves = [np.cos(np.pi * k * (np.arange(14) + 0.5) / 14) for k in (0, 3, 6)]
    fine = [np.cos(np.pi * k * (np.arange(28) + 0.5) / 28) for k in (0, 3, 6)]
    coarse = 5 + np.outer(waves[1], waves[2]) + 2 * waves[1][:, None]
    expected = 5 + np.outer(fine[1], fine[2]) + 2 * fine[1][:, None]
    stack = torch.from_numpy(np.stack([coarse, 3 * coarse], -1)[None].astype(np.float32))
    found = upsample_in_plane(stack, 2, "zero_filled")
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-5)
    np.testing.assert_allclose(found[0, ..., 1], 3 * expected, atol=1e-4)
    assert float(upsample_in_plane(torch.eye(8)[None], 2, "zero_filled").min()) == 0  # magnitudes


def test_spacing_halves_in_the_plane_only_in_2d_too():
    for shape in ((1, 4, 4), (1, 4, 4, 2)):
        image = MetaTensor(torch.rand(shape), affine=torch.diag(torch.tensor([2.0, 2, 5, 1])))
        fine = UpsampleInPlaned(["image"])({"image": image})["image"]
        torch.testing.assert_close(fine.affine.diag(), torch.tensor([1.0, 1, 5, 1]).double())
        torch.testing.assert_close(fine.affine[:3, 3], torch.tensor([-0.5, -0.5, 0]).double())


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="scale"):
        UpsampleInPlaned("image", 0)
    with pytest.raises(ValueError, match="mode"):
        UpsampleInPlaned("image", 2, "cubic")
