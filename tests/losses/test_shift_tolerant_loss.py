import pytest
import torch

from custom.losses.shift_tolerant_loss import ShiftTolerantLoss, shifted


def waves(rows: float = 0.0, columns: float = 0.0) -> torch.Tensor:
    """A smooth image, moved exactly."""
    x = torch.arange(64, dtype=torch.float64)[:, None] - rows
    y = torch.arange(60, dtype=torch.float64) - columns
    return (torch.sin(0.4 * x) * torch.cos(0.3 * y) + 0.5 * torch.sin(0.9 * x + 0.7 * y))[
        None, None
    ]


@pytest.mark.parametrize("voxels", [-1.5, -0.5, 0.0, 0.25, 1.0])
@pytest.mark.parametrize("axis", [2, 3])
def test_images_are_moved(voxels: float, axis: int):
    expected = waves(rows=voxels) if axis == 2 else waves(columns=voxels)
    inner = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    torch.testing.assert_close(
        shifted(waves(), voxels, axis)[inner], expected[inner], rtol=0, atol=0.02
    )


@pytest.mark.parametrize("move", [(0.0, 0.0), (0.5, -1.0), (1.0, 0.5)])
def test_a_shift_that_is_tried_costs_nothing_and_one_beyond_reach_does(move: tuple[float, float]):
    loss = ShiftTolerantLoss(reach=1.0, step=0.5, region=12)
    assert loss(waves(*move), waves()) < 0.01
    assert loss(waves(3.0, 0.0), waves()) > 0.2
    assert (waves(1.0, 0.5) - waves()).abs().mean() > 0.2


def test_a_change_of_contrast_costs_all_it_costs_without_shifts():
    image = waves()
    made = ShiftTolerantLoss(region=12)(image + 0.3, image)
    assert made.item() == pytest.approx(0.3, rel=0.1)


def test_each_region_has_a_shift_of_its_own():
    both = torch.cat([waves(0.5)[..., :30], waves(-0.5)[..., 30:]], dim=3)
    fine, coarse = (ShiftTolerantLoss(region=size)(both, waves()) for size in (12, 48))
    assert fine < 0.6 * coarse


def test_it_teaches_the_prediction_towards_the_best_shift():
    predicted = (0.8 * waves(0.5)).requires_grad_()
    ShiftTolerantLoss(region=12)(predicted, waves()).backward()
    assert predicted.grad is not None
    nearer = predicted - 1e2 * predicted.grad
    loss = ShiftTolerantLoss(region=12)
    assert loss(nearer, waves()) < loss(predicted, waves())


def test_images_too_small_for_a_region_are_refused():
    with pytest.raises(ValueError, match="at least 34 voxels wide"):
        ShiftTolerantLoss()(waves()[..., :20, :20], waves()[..., :20, :20])
