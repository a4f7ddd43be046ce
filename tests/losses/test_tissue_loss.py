"""The loss counts the inside of tissue; air and cut edges weigh a tenth."""

import pytest
import torch

from custom.losses.tissue_loss import TissueLoss

BRAIN = torch.nn.functional.pad(torch.ones(1, 1, 20, 20), [10] * 4)


def test_only_what_is_two_voxels_inside_weighs_fully():
    weights = TissueLoss(elsewhere=0.1).weights(BRAIN)
    full = weights > 0.5
    # The mean of 3 x 3 voxels spreads the brain by one voxel; the edge takes two.
    assert full[0, 0, 11:29, 20].all()
    assert full[0, 0, 20, 11:29].all()
    assert not full[0, 0, :11].any()
    assert not full[0, 0, :, 29:].any()
    assert weights[weights < 0.5].unique().tolist() == pytest.approx([0.1])


@pytest.mark.parametrize("error", [0.01, 0.3])
def test_it_is_the_weighted_mean_of_the_smooth_absolute_error(error):
    loss = TissueLoss(beta=0.05)
    wrong = BRAIN.clone()
    wrong[..., 20, 20] += error  # well inside
    single = error**2 / 0.1 if error < 0.05 else error - 0.025
    assert float(loss(wrong, BRAIN)) == pytest.approx(
        single / float(loss.weights(BRAIN).sum()), rel=1e-4
    )


def test_the_step_at_a_cut_edge_does_not_rule():
    loss, blurred = TissueLoss(elsewhere=0.1), torch.nn.functional.avg_pool2d(BRAIN, 3, 1, 1)
    plain = float(torch.nn.functional.smooth_l1_loss(blurred, BRAIN, beta=0.05))
    assert float(loss(blurred, BRAIN)) < plain / 2


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="elsewhere"):
        TissueLoss(elsewhere=1.5)
    with pytest.raises(ValueError, match="edge"):
        TissueLoss(edge=-1)
