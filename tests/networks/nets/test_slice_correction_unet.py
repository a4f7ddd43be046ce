import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import smooth_l1_loss

from custom.losses.estimate_loss import EstimateLoss
from custom.networks.nets.slice_correction_unet import SliceCorrectionUNet


def awake(**options) -> SliceCorrectionUNet:
    """A network in which no head is left at zero."""
    torch.manual_seed(0)
    small = {"features": (6, 8), "deviation_features": (6, 8), "block": 2}
    net = SliceCorrectionUNet(**{**small, **options}).eval()
    torch.nn.init.normal_(net.unet.unet.head.weight, std=0.1)
    if net.deviation is not None:
        torch.nn.init.normal_(net.deviation.head.weight, std=0.1)
    return net


def test_untrained_it_takes_nothing_off_and_expects_a_twentieth():
    made = SliceCorrectionUNet((4, 6), (4, 6))(torch.rand(2, 4, 16, 24), torch.rand(2))
    assert not made[:, 0].any()
    torch.testing.assert_close(made[:, 1].exp(), torch.full((2, 16, 24), 0.05))


NET = awake()


@settings(max_examples=20, deadline=None)
@given(size=st.lists(st.integers(2, 19), min_size=2, max_size=2))
def test_any_size_is_taken_and_kept(size):
    with torch.no_grad():
        made = NET(torch.rand(1, 4, *size), torch.tensor([0.3]))
    assert made.shape == (1, 2, *size)
    assert torch.isfinite(made).all()


@pytest.mark.parametrize("deviation", [None, (4, 6)])
@pytest.mark.parametrize("num_slices", [0, 1, 3])
def test_every_option_scripts(num_slices, deviation):
    net = awake(num_slices=num_slices, deviation_features=deviation)
    seen, position = torch.rand(2, 1 + num_slices, 9, 12), torch.tensor([0.2, 1.0])
    with torch.no_grad():
        made = net(seen, position)
        torch.testing.assert_close(torch.jit.script(net)(seen, position), made)
    assert made.shape[1] == (1 if deviation is None else 2)


def test_the_likelihood_trains_the_deviation_and_leaves_the_estimate_alone():
    net = awake().train()
    seen, position = torch.rand(2, 4, 8, 8), torch.rand(2)
    target = torch.rand(2, 1, 8, 8)

    def gradients(weight: float) -> dict[str, torch.Tensor]:
        net.zero_grad()
        made = net(seen, position)
        clean = torch.cat([seen[:, 2:3] - made[:, :1], made[:, 1:]], dim=1)
        EstimateLoss(deviation_weight=weight)(clean, target).backward()
        return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}

    without, with_it = gradients(0.0), gradients(1.0)
    for name, gradient in with_it.items():
        if name.startswith("deviation."):
            assert gradient.any()
        else:
            assert torch.equal(gradient, without[name]), name


def test_what_it_takes_off_depends_on_neighbours_and_position():
    seen, position = torch.rand(1, 4, 8, 8), torch.tensor([1.0])
    net = awake()
    for layer in net.unet.modulations:
        torch.nn.init.normal_(layer.weight, std=0.3)
    with torch.no_grad():
        base = net(seen, position)
        for channel in range(4):
            other = seen.clone()
            other[:, channel, 4, 4] += 1.0
            assert not torch.allclose(net(other, position)[:, 0], base[:, 0]), channel
        assert not torch.allclose(net(seen, torch.tensor([0.1]))[:, 0], base[:, 0])


def test_refusals():
    with pytest.raises(ValueError, match="num_slices must be odd"):
        SliceCorrectionUNet(num_slices=2)
    with pytest.raises(ValueError, match="block"):
        SliceCorrectionUNet(block=0)


def test_the_loss_is_a_smooth_error_and_a_normal_likelihood():
    """Against torch's own Gaussian likelihood; its minimum is the squared error."""
    torch.manual_seed(0)
    estimate, target = torch.rand(2, 1, 6, 5), torch.rand(2, 1, 6, 5)
    log_deviation = torch.randn(2, 1, 6, 5) - 2
    made = torch.cat([estimate, log_deviation], dim=1)
    loss = EstimateLoss(beta=0.05, deviation_weight=0.3, floor=1e-6)
    likelihood = torch.nn.functional.gaussian_nll_loss(
        estimate, target, (2 * log_deviation).exp(), eps=1e-20
    )
    expected = smooth_l1_loss(estimate, target, beta=0.05) + 0.3 * likelihood
    torch.testing.assert_close(loss(made, target), expected)
    torch.testing.assert_close(loss(estimate, target), smooth_l1_loss(estimate, target, beta=0.05))
    best = torch.cat([estimate, (estimate - target).abs().log()], dim=1)
    for shift in (-0.2, 0.2):
        other = best.clone()
        other[:, 1] += shift
        assert loss(other, target) > loss(best, target)


def test_the_loss_refuses_other_channels():
    with pytest.raises(ValueError, match="1 or 2 channels"):
        EstimateLoss()(torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4))


def test_a_huge_deviation_does_not_overflow():
    prediction = torch.tensor([[0.0, 200.0]]).reshape(1, 2, 1, 1).requires_grad_()
    loss = EstimateLoss(deviation_weight=1.0)(prediction, torch.zeros(1, 1, 1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(200.0)
    assert prediction.grad.flatten().tolist() == pytest.approx([0.0, 1.0])
