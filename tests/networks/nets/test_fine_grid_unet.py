"""The U-Net on the fine grid: its start, its blocks, any size, and that it learns."""

from __future__ import annotations

import pytest
import torch
from monai.networks.utils import pixelshuffle

from custom.networks.nets.fine_grid_unet import FineGridUNet, _blocks


def test_the_untrained_network_returns_its_start():
    x = torch.rand(2, 4, 7, 8, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(FineGridUNet((4, 8))(x), x[:, :1])


def test_blocks_are_what_the_shuffle_undoes():
    x = torch.rand(2, 1, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    blocks = _blocks(x)
    assert blocks.shape == (2, 8, 2, 3, 4)
    torch.testing.assert_close(pixelshuffle(blocks, 3, 2), x)


def test_it_learns_to_sharpen_where_it_is_told_to():
    """Two operators that only the last channel tells apart."""
    torch.manual_seed(0)
    network = FineGridUNet((8, 16))
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    start = torch.rand(2, 1, 8, 8, 8)
    told = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1).expand_as(start)
    target = start + 0.05 * told
    x = torch.cat([start, start, torch.zeros_like(start), told], dim=1)
    for _ in range(100):
        loss = (network(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1 * float((start - target).square().mean())


def test_a_hot_voxel_counts_no_more_than_bright_tissue():
    torch.manual_seed(0)
    network = FineGridUNet((4, 8)).eval()
    torch.nn.init.normal_(network.unet.head.weight)
    x = torch.rand(1, 4, 8, 8, 8)
    found = []
    for value in (6.0, 1e6):
        x[0, :2, 4, 4, 4] = value
        found.append((network(x) - x[:, :1]).detach())
    torch.testing.assert_close(found[1], found[0], atol=0.1, rtol=0)


def test_it_can_be_scripted():
    network = FineGridUNet((4, 8)).eval()
    torch.nn.init.normal_(network.unet.head.weight)
    x = torch.rand(1, 4, 6, 5, 4)
    torch.testing.assert_close(torch.jit.script(network)(x), network(x))


def test_wrong_features_are_named():
    with pytest.raises(ValueError, match="features"):
        FineGridUNet((4,))
