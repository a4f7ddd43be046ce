"""Tiles against the whole volume, and the blending where they cannot be the same."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from torch import Tensor, nn

from custom.errors import InputError
from custom.inferers.memory_plan import MemoryPlanner
from custom.inferers.tile_layout import lay_tiles, split_axis
from custom.inferers.tiled_inferer import TiledUpscalingInferer


class Shuffled(nn.Module):
    """Three convolutions, the last one on the fine grid: it sees 3 coarse voxels to each side."""

    radius = 3

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, 5, 3, padding=1)
        self.second = nn.Conv3d(5, 8 * 3, 3, padding=1)
        self.last = nn.Conv3d(3, 2, 3, padding=1)
        rng = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng) * 0.2

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(torch.relu(self.first(x)))
        b, _, d, h, w = x.shape
        x = x.reshape(b, 3, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return self.last(torch.relu(x.reshape(b, 3, 2 * d, 2 * h, 2 * w)))


def repeat(volume: Tensor) -> Tensor:
    """Each voxel twice along each axis."""
    for axis in (2, 3, 4):
        volume = volume.repeat_interleave(2, axis)
    return volume


def volume(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=8, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 17), st.integers(1, 9), st.integers(1, 9)),
    overlap=st.integers(0, 3),
    more=st.integers(0, 4),
    halo=st.integers(3, 5),
)
def test_tiles_give_what_the_whole_volume_does(
    shape: tuple[int, int, int], overlap: int, more: int, halo: int
) -> None:
    network = Shuffled()
    inputs = volume(2, 1, *shape)
    tiled = TiledUpscalingInferer(tile=max(3 * overlap, 6) + more, halo=halo, overlap=overlap)
    torch.testing.assert_close(
        tiled(inputs, network), network(inputs).detach(), atol=1e-5, rtol=1e-5
    )


def test_a_halo_below_the_receptive_radius_is_not_enough() -> None:
    """So the agreement above is no accident of the network."""
    network, inputs = Shuffled(), volume(1, 1, 16, 16, 16)
    tiled = TiledUpscalingInferer(tile=8, halo=1, overlap=0)
    assert (tiled(inputs, network) - network(inputs)).abs().max() > 1e-3


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 200),
    overlap=st.integers(0, 9),
    more=st.integers(0, 20),
    halo=st.integers(0, 9),
    scale=st.integers(1, 3),
)
def test_the_tiles_of_an_axis(length: int, overlap: int, more: int, halo: int, scale: int) -> None:
    """They are no longer than asked for, their weights add up to 1, halos end at the border."""
    tile = max(3 * overlap, 1) + more
    if tile == overlap:
        tile += 1
    spans = split_axis(length, tile, halo, overlap)
    total = torch.zeros(length * scale)
    for span in spans:
        assert 0 < span.stop - span.start <= tile
        assert span.before + span.after <= span.stop - span.start
        weights = span.weights(scale)
        assert weights.min() > 0
        total[span.start * scale : span.stop * scale] += weights
        first = max(span.start - halo, 0)
        assert span.read_start == first - first % 8
        assert span.read_stop == min(span.stop + halo, length)
    torch.testing.assert_close(total, torch.ones(length * scale))
    reach = [(span.start, span.stop) for span in spans]
    shared = [end - begin for (_, end), (begin, _) in pairwise(reach)]
    assert shared == [overlap] * (len(spans) - 1)


def test_a_seam_is_a_ramp() -> None:
    """Two tiles that differ by 1 meet in steps of 1 / (2 overlap), and nowhere else."""
    overlap, tile = 4, 16
    calls = iter((0.0, 1.0))

    def network(part: Tensor) -> Tensor:
        return torch.full([2 * n for n in part.shape[2:]], next(calls))[None, None]

    inferer = TiledUpscalingInferer(tile=tile, halo=2, overlap=overlap)
    result = inferer(volume(1, 1, 20, 5, 6), network)[0, 0]
    steps = result.diff(dim=0)
    assert float(steps.max()) == pytest.approx(1 / (2 * overlap), abs=1e-6)
    assert float(steps.min()) >= 0
    assert int((steps[:, 0, 0] > 0).sum()) == 2 * overlap + 1
    assert float(result[0].max()) == 0.0
    assert float(result[-1].min()) == 1.0


def test_without_overlap_a_seam_is_a_step() -> None:
    calls = iter((0.0, 1.0))

    def network(part: Tensor) -> Tensor:
        return torch.full([2 * n for n in part.shape[2:]], next(calls))[None, None]

    result = TiledUpscalingInferer(tile=10, halo=2, overlap=0)(volume(1, 1, 20, 5, 6), network)
    assert float(result.diff(dim=2).max()) == 1.0


def test_a_jump_across_a_seam_is_bounded_by_the_error_of_a_tile_over_the_ramp() -> None:
    """The blended error changes by at most the tiles' difference / (2 overlap) more a voxel."""
    network, inputs, overlap = Shuffled(), volume(1, 1, 24, 12, 12), 4
    exact = network(inputs).detach()

    def error(overlap: int) -> Tensor:
        tiled = TiledUpscalingInferer(tile=16, halo=0, overlap=overlap)
        return tiled(inputs, network) - exact

    seam = slice(20, 28)  # around fine voxel 24, the middle of the volume
    hard = error(0)[:, :, seam].diff(dim=2).square().mean().sqrt()
    soft = error(overlap)[:, :, seam].diff(dim=2).square().mean().sqrt()
    assert soft < 0.5 * hard


def test_the_network_never_sees_more_than_a_tile_and_its_halo() -> None:
    seen = []

    def network(part: Tensor) -> Tensor:
        seen.append(tuple(part.shape[2:]))
        return repeat(part)

    inputs = volume(1, 1, 37, 12, 50)
    result = TiledUpscalingInferer(tile=12, halo=3, overlap=4)(inputs, network)
    torch.testing.assert_close(result, repeat(inputs))
    assert max(max(shape) for shape in seen) <= 18 + 7  # starts at a multiple of 8
    assert len(seen) == len(lay_tiles((37, 12, 50), 12, 3, 4))


def test_a_file_holds_the_output_above_the_stated_size(tmp_path: Any) -> None:
    network, inputs = Shuffled(), volume(1, 1, 14, 9, 11)
    plain = TiledUpscalingInferer(tile=7, halo=3, overlap=2)(inputs, network)
    mapped = TiledUpscalingInferer(
        tile=7, halo=3, overlap=2, mapped_above=100, folder=tmp_path / "new"
    )(inputs, network)
    assert (tmp_path / "new").is_dir()
    assert not list((tmp_path / "new").iterdir())
    torch.testing.assert_close(mapped, plain, atol=0, rtol=0)


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_the_disk_must_hold_the_whole_output(monkeypatch: Any, spare: int, fits: bool) -> None:
    inferer = TiledUpscalingInferer(tile=7, halo=3, overlap=2, mapped_above=100)
    free = SimpleNamespace(free=4 * 2 * 28 * 18 * 22 + spare)  # float32, two channels
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with nullcontext() if fits else pytest.raises(InputError, match="disk needed"):
        inferer(volume(1, 1, 14, 9, 11), Shuffled())


def test_geometry_is_carried_along_and_the_network_is_left_in_its_mode() -> None:
    network = Shuffled().train()
    inputs = MetaTensor(volume(1, 1, 9, 9, 9), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    result = TiledUpscalingInferer(tile=6, halo=3, overlap=2)(inputs, network)
    assert isinstance(result, MetaTensor)
    torch.testing.assert_close(result.affine, inputs.affine)
    assert network.training
    assert not result.requires_grad


def test_bfloat16_is_close_and_comes_back_as_float32() -> None:
    network, inputs = Shuffled(), volume(1, 1, 9, 9, 9)
    exact = TiledUpscalingInferer()(inputs, network)
    rounded = TiledUpscalingInferer(precision="bfloat16")(inputs, network)
    assert rounded.dtype == torch.float32
    error = float((rounded - exact).norm() / exact.norm())
    assert 1e-5 < error < 2e-2


def test_the_plan_decides() -> None:
    planner = MemoryPlanner(100, tile=6, halo=3, overlap=2, smallest_tile=6)
    inferer = TiledUpscalingInferer(tile="auto", halo=3, overlap=2, planner=planner)
    sizes = []

    def network(part: Tensor) -> Tensor:
        sizes.append(part.shape[2])
        return repeat(part)

    inferer(volume(1, 1, 20, 6, 6), network)
    assert max(sizes) <= 12 + 7 < 20


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"tile": "all"}, "tile"),
        ({"tile": 5, "overlap": 2}, "tile"),
        ({"tile": 16.0}, "tile"),
        ({"halo": -1}, "halo"),
        ({"overlap": -1}, "overlap"),
        ({"scale": 0}, "scale"),
        ({"precision": "float16"}, "precision"),
        ({"tile": "auto"}, "planner"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        TiledUpscalingInferer(**settings)


def test_a_network_of_another_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="network"):
        TiledUpscalingInferer(scale=3)(volume(1, 1, 8, 8, 8), Shuffled())
    with pytest.raises(ValueError, match="inputs"):
        TiledUpscalingInferer()(volume(1, 8, 8), Shuffled())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_half_precision_around_the_call_stays(precision):
    """An evaluator's ``amp`` is not switched off by the default precision."""
    seen = []

    def network(volume):
        seen.append(torch.is_autocast_enabled("cpu"))
        return volume.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)

    inferer = TiledUpscalingInferer(precision=precision)
    with torch.autocast("cpu", torch.bfloat16):
        inferer(torch.zeros(1, 1, 3, 3, 3), network)
    assert seen == [True]


def test_float32_is_full_precision_where_nothing_else_is_asked():
    seen = []

    def network(volume):
        seen.append(torch.is_autocast_enabled("cpu"))
        return volume.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)

    TiledUpscalingInferer(precision="float32")(torch.zeros(1, 1, 3, 3, 3), network)
    assert seen == [False]
