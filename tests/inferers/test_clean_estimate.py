import pytest
import torch

from custom.inferers.clean_estimate import CleanEstimate
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler

# Of the prediction 8 at the steps 1 and 3 of 4: position and parabola by hand.
TAKEN_OFF = {"path": [8, 8], "scaled_path": [2, 6], "noise_schedule": [6, 6]}


@pytest.mark.parametrize("parameterisation", list(TAKEN_OFF))
def test_the_prediction_is_taken_off_as_the_parameterisation_says(parameterisation):
    scheduler = AnchoredPathScheduler(4, parameterisation=parameterisation)
    seen = {}

    def network(x, position, *args, **kwargs):
        seen.update(x=x, position=position, args=args, kwargs=kwargs)
        return torch.full_like(x, 8.0)

    x_t = torch.rand(2, 1, 3, 3)
    estimate = CleanEstimate(scheduler)(x_t, network, torch.tensor([1, 3]), "more", flag=1)
    expected = x_t - torch.tensor(TAKEN_OFF[parameterisation])[:, None, None, None]
    torch.testing.assert_close(estimate, expected)
    assert seen["x"] is x_t
    torch.testing.assert_close(seen["position"], torch.tensor([0.25, 0.75]))
    assert (seen["args"], seen["kwargs"]) == (("more",), {"flag": 1})


def test_gradients_reach_the_network():
    network = torch.nn.Bilinear(3, 1, 3)
    estimate = CleanEstimate(AnchoredPathScheduler())(
        torch.rand(2, 3), lambda x, position: network(x, position[:, None]), torch.tensor([5, 7])
    )
    estimate.sum().backward()
    assert network.weight.grad.abs().sum() > 0
