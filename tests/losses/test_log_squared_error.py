import pytest
import torch

from custom.losses.log_squared_error import LogSquaredError


def test_two_patches_counted_by_hand():
    target = torch.zeros(2, 1, 4, 3, 3)
    prediction = torch.full_like(target, 9.0)  # the margin does not count
    prediction[0, 0, 1:3, 1, 1] = torch.tensor([0.1, 0.7])  # mean square 0.25
    prediction[1, 0, 1:3, 1, 1] = 2.0  # mean square 4, and 0.25 times 4 is 1
    loss = LogSquaredError(margin=1, eps=1e-12)(prediction, target)
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert LogSquaredError(1, eps=1e-3)(target, target).item() == pytest.approx(-30)
    assert LogSquaredError(0, eps=19.0)(prediction[:1] * 0 + 9, target[:1]).item() == pytest.approx(
        20
    )


def test_it_is_exactly_the_expression_that_the_shipped_weights_were_trained_with():
    prediction, target = torch.rand(2, 3, 1, 12, 10, 11, generator=torch.Generator().manual_seed(1))
    squared = (prediction - target)[..., 4:-4, 4:-4, 4:-4].square().flatten(1).mean(1)
    assert torch.equal(
        LogSquaredError()(prediction, target), 10 * squared.add(1.0e-6).log10().mean()
    )


@pytest.mark.parametrize(
    ("settings", "shape", "reason"),
    [
        ({"margin": -1}, (), "margin"),
        ({"eps": 0}, (), "eps"),
        ({}, (1, 1, 9, 9, 8), "over 8 voxels"),
        ({}, (1, 1, 9, 9, 1), "shapes differ"),
    ],
)
def test_what_does_not_fit_is_refused(settings, shape, reason):
    with pytest.raises(ValueError, match=reason):
        LogSquaredError(**settings)(torch.zeros(1, 1, 9, 9, 8), torch.zeros(shape))
