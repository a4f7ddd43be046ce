from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from custom.transforms.dwi_result import DwiMapsd, KeepUnweightedd, PhysicalBoundsd

UNWEIGHTED = torch.tensor([True, False, False])


def item(restored: torch.Tensor, scale: float = 1.0, mask: bool = True) -> dict[Any, Any]:
    one = torch.ones(1, *restored.shape[1:])
    return {
        "pred": restored,
        "image": restored + 0.5,
        "image_mask": one.bool() & mask,
        "image_scale": scale * one,
        "image_sigma": 0.1 * one,
        "unweighted": UNWEIGHTED,
    }


def voxel(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)


def test_negative_values_are_cut_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = PhysicalBoundsd("pred")(item(voxel(1.0, -0.5, 0.5)))
    assert found["pred"].flatten().tolist() == [1.0, 0.0, 0.5]
    assert found["values_below_zero"] == 1
    assert "of 3 restored values 1 were below 0" in caplog.text


@pytest.mark.parametrize(
    ("values", "scale", "count"),
    [
        ((1.0, 0.9, 0.8), 1.0, 0),
        ((1.2, 1.1, 0.8), 1.0, 0),  # below the restored b0
        ((0.9, 1.1, 1.2), 1.0, 2),
        ((0.9, 1.1, 1.3), 1.2, 1),
        ((5.0, 1.0, 1.0), 1.0, 0),  # an unweighted value is no weighted one
    ],
)
def test_weighted_values_above_s0_are_counted_and_stay(
    values: tuple[float, ...], scale: float, count: int
) -> None:
    found = PhysicalBoundsd("pred")(item(voxel(*values), scale))
    assert found["values_above_s0"] == count
    assert torch.equal(found["pred"], voxel(*values))


def test_the_restored_s0_is_the_mean_of_the_unweighted_volumes() -> None:
    data = item(voxel(1.0, 1.4, 1.1, 1.3)) | {
        "unweighted": torch.tensor([True, True, False, False])
    }
    assert PhysicalBoundsd("pred")(data)["values_above_s0"] == 1  # their mean is 1.2


def test_outside_of_the_mask_nothing_is_touched() -> None:
    values = voxel(0.5, -1.0, 2.0)
    found = PhysicalBoundsd("pred")(item(values, mask=False))
    assert torch.equal(found["pred"], values)
    assert found["values_below_zero"] == found["values_above_s0"] == 0


def test_what_is_not_finite_stays_to_be_seen() -> None:
    found = PhysicalBoundsd("pred")(item(voxel(1.0, torch.nan, 0.5)))
    assert torch.isnan(found["pred"]).flatten().tolist() == [False, True, False]


def test_unweighted_volumes_are_kept() -> None:
    data = item(voxel(1.0, 0.4, 0.5)) | {"spread": voxel(0.1, 0.2, 0.3)}
    kept = KeepUnweightedd("pred")(data)
    assert kept["pred"].flatten().tolist() == pytest.approx([1.5, 0.4, 0.5])
    assert kept["spread"].flatten().tolist() == pytest.approx([0.0, 0.2, 0.3])
    assert KeepUnweightedd("pred", keep=False)(data)["pred"] is data["pred"]


def test_maps_are_in_the_unit_of_the_image() -> None:
    found = DwiMapsd("pred")(item(voxel(1.0, 0.4, 0.5), scale=30.0))
    torch.testing.assert_close(found["noise"], torch.full((1, 1, 1, 1), 3.0))
    torch.testing.assert_close(found["residual"], torch.full((3, 1, 1, 1), 0.5))
    assert found["mask"].dtype == torch.uint8
    assert found["mask"].item() == 1
    assert "noise" not in DwiMapsd("pred", write=False)(item(voxel(1.0, 0.4, 0.5)))
