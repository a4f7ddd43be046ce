import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer

from custom.inferers.slice_wise_inferer import (
    SliceWiseInferer,
    fold_slices,
    unfold_slices,
)


def volumes(channels=1):
    """Two volumes of odd sizes, whose voxels name their volume, channel and place."""
    return torch.arange(2 * channels * 5 * 7 * 9.0).view(2, channels, 5, 7, 9)


@pytest.mark.parametrize("spatial_dim", [0, 1, 2])
def test_a_volume_is_what_monai_gives_to_the_bit(spatial_dim):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 1, 3, padding=1)
    )
    image = torch.rand(1, 1, 13, 11, 9)
    with torch.no_grad():
        ours = SliceWiseInferer(spatial_dim, slices_per_batch=4)(image, network)
        theirs = SliceInferer(spatial_dim, roi_size=(-1, -1), sw_batch_size=4)(image, network)
        each = torch.stack(
            [network(part) for part in image.unbind(spatial_dim + 2)], spatial_dim + 2
        )
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(ours, each)


def test_more_arguments_reach_the_network_and_the_last_batch_is_what_is_left():
    seen = []

    def network(x, *args, **kwargs):
        seen.append((len(x), args, kwargs))
        return x

    assert torch.equal(SliceWiseInferer()(volumes(), network, "one", two="three"), volumes())
    assert seen == [(n, ("one",), {"two": "three"}) for n in (4, 4, 4, 4, 2)]


def test_the_plane_may_grow_and_geometry_stays():
    affine = torch.diag(torch.tensor([0.5, 0.25, 2.0, 1.0], dtype=torch.float64))
    image = MetaTensor(volumes(), affine=affine, meta={"name": "a"})

    def network(x):
        assert type(x) is torch.Tensor
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2).repeat(1, 2, 1, 1)

    grown = SliceWiseInferer(1)(image, network)
    assert isinstance(grown, MetaTensor)
    assert grown.shape == (2, 2, 10, 7, 18)
    torch.testing.assert_close(grown.affine, affine)
    assert grown.meta["name"] == "a"
    assert torch.equal(grown[:, 1:, ::2, :, 1::2].as_subclass(torch.Tensor), volumes())


@pytest.mark.parametrize("spatial_dim", [0, 1, 2])
def test_folding_is_undone(spatial_dim):
    image = volumes(channels=2)
    slices = fold_slices(image, spatial_dim)
    torch.testing.assert_close(slices[1], image[0].select(spatial_dim + 1, 1))
    assert torch.equal(unfold_slices(slices, 2, spatial_dim), image)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"spatial_dim": 3}, "spatial_dim"),
        ({"slices_per_batch": 0}, "slices_per_batch"),
    ],
)
def test_wrong_settings_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        SliceWiseInferer(**options)
    with pytest.raises(ValueError, match="inputs"):
        SliceWiseInferer()(torch.rand(1, 1, 4, 4), lambda x: x)
