"""Where a restored volume lies, and what the difference map says, by the physics of both modes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose
from torch import Tensor

from custom.physics.downsampling import Degradation, downsample, upsample
from custom.transforms.super_resolution import DifferenceMapd, ModelInputd, OutputGridd

DEGRADATIONS: tuple[Degradation, ...] = ("linear", "kspace", "nearest")
AFFINE = torch.tensor(
    [[0.9, -0.3, 0.1, -7.0], [0.4, 1.1, -0.2, 3.0], [-0.1, 0.2, 1.3, 11.0], [0, 0, 0, 1]],
    dtype=torch.float64,
)


def smooth(shape: tuple[int, ...]) -> Tensor:
    """A blob, well inside."""
    grids = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    return torch.exp(-sum(((g - 0.1) / 0.3) ** 2 for g in grids))[None]


def centroid(volume: MetaTensor) -> Tensor:
    """World coordinates of the centre of intensity."""
    values = volume.as_tensor().double()[0]
    grids = torch.meshgrid(*(torch.arange(n).double() for n in values.shape), indexing="ij")
    index = torch.stack([(grid * values).sum() / values.sum() for grid in grids])
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]


def trilinear(low: MetaTensor, degradation: Degradation) -> MetaTensor:
    """What a network does that only interpolates: its output has the geometry of its input."""
    fine = upsample(low.as_tensor()[None], degradation)[0]
    return MetaTensor(fine, meta=low.meta)


@pytest.mark.parametrize("degradation", DEGRADATIONS)
@pytest.mark.parametrize("mode", ["super_resolve", "halve"])
def test_a_blob_stays_where_it_is(degradation: Degradation, mode: Any) -> None:
    volume = MetaTensor(smooth((24, 30, 26)), affine=AFFINE)
    data = ModelInputd("image", mode, degradation)({"image": volume})
    data["pred"] = trilinear(data["image"], degradation)
    pred = OutputGridd("pred", "image", degradation)(data)["pred"]
    torch.testing.assert_close(centroid(pred), centroid(volume), atol=2e-3, rtol=0)
    factor = 2 if mode == "super_resolve" else 1
    assert pred.shape[1:] == tuple(factor * n for n in (24, 30, 26))
    spacing = AFFINE[:3, :3].norm(dim=0) / factor
    torch.testing.assert_close(pred.affine[:3, :3].norm(dim=0), spacing)


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 9)),
    degradation=st.sampled_from(DEGRADATIONS),
    scale=st.integers(2, 3),
)
def test_halving_gives_the_size_and_affine_of_the_input(
    shape: tuple[int, int, int], degradation: Degradation, scale: int
) -> None:
    rng = torch.Generator().manual_seed(0)
    volume = MetaTensor(torch.rand(1, *shape, generator=rng), affine=AFFINE)
    data = ModelInputd("image", "halve", degradation, scale)({"image": volume})
    assert data["image"].shape[1:] == tuple(-(-n // scale) for n in shape)
    fine = [scale * n for n in data["image"].shape[1:]]
    data["pred"] = MetaTensor(torch.rand(1, *fine, generator=rng), meta=data["image"].meta)
    pred = OutputGridd("pred", "image", degradation, scale)(data)["pred"]
    assert pred.shape == volume.shape
    torch.testing.assert_close(pred.affine, AFFINE, atol=0, rtol=0)
    torch.testing.assert_close(
        pred.as_tensor(), data["pred"].as_tensor()[(..., *(slice(n) for n in shape))]
    )


def test_what_is_added_to_an_odd_volume_repeats_its_last_plane() -> None:
    volume = torch.arange(27.0).reshape(1, 3, 3, 3)
    low = ModelInputd("image", "halve", "nearest")({"image": volume})["image"]
    torch.testing.assert_close(low, volume[:, ::2, ::2, ::2])
    low = ModelInputd("image", "halve", "linear")({"image": torch.ones(1, 5, 3, 4)})["image"]
    torch.testing.assert_close(low, torch.ones(1, 3, 2, 2))


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_the_difference_lies_on_the_input_grid_and_is_what_degrading_shows(
    degradation: Degradation,
) -> None:
    rng = torch.Generator().manual_seed(0)
    high = torch.rand(1, 8, 10, 6, generator=rng)
    low = downsample(high[None], degradation)[0]
    offset = torch.rand(low.shape, generator=rng)
    data = {"image": MetaTensor(low - offset, affine=AFFINE), "pred": high}
    difference = DifferenceMapd("pred", "image", degradation=degradation)(data)["difference"]
    torch.testing.assert_close(difference.as_tensor(), offset)
    torch.testing.assert_close(difference.affine, AFFINE)


def test_in_denoising_the_difference_is_the_plain_one() -> None:
    rng = torch.Generator().manual_seed(0)
    original, pred = torch.rand(2, 1, 5, 6, 7, generator=rng)
    data = {"image": torch.rand(1, 3, 3, 4), "original": original, "pred": pred}
    difference = DifferenceMapd("pred", "image")(data)["difference"]
    torch.testing.assert_close(difference, pred - original)
    assert "difference" not in DifferenceMapd("pred", "image", write=False)(data)


def test_super_resolution_takes_the_volume_as_it_is() -> None:
    data = {"image": torch.rand(1, 5, 6, 7)}
    steps = Compose([ModelInputd("image"), OutputGridd("image", "image")])
    assert steps(data)["image"] is data["image"]


def test_unknown_modes_and_several_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="mode"):
        ModelInputd("image", "denoising")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="keys"):
        ModelInputd(("a", "b"))
    with pytest.raises(ValueError, match="keys"):
        DifferenceMapd(("a", "b"))
