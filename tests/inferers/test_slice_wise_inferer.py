import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer

from custom.inferers.slice_wise_inferer import (
    SliceWiseInferer,
    fold_slices,
    slice_positions,
    unfold_slices,
)


def volumes(channels=1):
    """Two volumes of odd sizes, whose voxels name their volume, channel and place."""
    return torch.arange(2 * channels * 5 * 7 * 9.0).view(2, channels, 5, 7, 9)


def by_hand(volume, spatial_dim, offset):
    """Every slice replaced by the one ``offset`` further, the ends repeated."""
    total = volume.shape[spatial_dim + 2]
    chosen = [min(max(number + offset, 0), total - 1) for number in range(total)]
    return volume.index_select(spatial_dim + 2, torch.tensor(chosen))


@pytest.mark.parametrize("spatial_dim", [0, 1, 2])
@pytest.mark.parametrize(("num_slices", "slices_per_batch"), [(1, 4), (3, 1), (3, 4), (5, 100)])
def test_a_network_that_picks_a_neighbour_shifts_the_volume(
    spatial_dim, num_slices, slices_per_batch
):
    inferer = SliceWiseInferer(spatial_dim, num_slices, slices_per_batch)
    image = volumes(channels=2)
    for offset in range(-(num_slices // 2), num_slices // 2 + 1):
        for channel in range(2):
            picked = channel * num_slices + num_slices // 2 + offset
            shifted = inferer(image, lambda x, picked=picked: x[:, picked : picked + 1])
            assert torch.equal(
                shifted, by_hand(image[:, channel : channel + 1], spatial_dim, offset)
            )


def test_few_slices_repeat_their_ends():
    seen = SliceWiseInferer(num_slices=5)(volumes()[..., :2], lambda x: x)
    ends = volumes()[:, 0, ..., :2]
    for channel, number in enumerate([0, 0, 0, 1, 1]):
        assert torch.equal(seen[:, channel, ..., 0], ends[..., number])


@pytest.mark.parametrize("spatial_dim", [0, 1, 2])
def test_one_slice_is_what_monai_gives_to_the_bit(spatial_dim):
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


def test_positions_and_more_arguments_reach_the_network():
    seen = []

    def network(x, position, *args, **kwargs):
        seen.append((position, args, kwargs))
        return x * position[:, None, None, None]

    image = volumes()
    scaled = SliceWiseInferer(2, 1, 4, position=True)(image, network, "one", two="three")
    assert [len(position) for position, *_ in seen] == [4, 4, 4, 4, 2]
    assert all(rest == [("one",), {"two": "three"}] for _, *rest in seen)
    expected = torch.tensor([-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1])
    torch.testing.assert_close(scaled, image * expected)
    assert slice_positions(1) == 0


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
        ({"num_slices": 2}, "num_slices must be odd"),
        ({"num_slices": 0}, "num_slices"),
        ({"slices_per_batch": 0}, "slices_per_batch"),
    ],
)
def test_wrong_settings_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        SliceWiseInferer(**options)
    with pytest.raises(ValueError, match="inputs"):
        SliceWiseInferer()(torch.rand(1, 1, 4, 4), lambda x: x)
