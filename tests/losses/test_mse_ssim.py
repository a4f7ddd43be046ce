import pytest
import torch
from skimage.metrics import structural_similarity

from custom.losses.mse_ssim import MseSsimLoss


def pair(batch=1):
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(batch, 1, 24, 31, generator=generator) * 5
    scale = torch.arange(1, batch + 1).view(-1, 1, 1, 1)
    target = target * scale
    return target + 0.4 * torch.randn(target.shape, generator=generator), target


def reference_ssim(prediction, target, data_range):
    # Cropped by the window's half width: scikit-image pads there, MONAI does not.
    _, full = structural_similarity(
        prediction.numpy().astype(float),
        target.numpy().astype(float),
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return full[(slice(5, -5),) * full.ndim].mean()


def test_alpha_one_is_the_mean_squared_error():
    prediction, target = pair(2)
    expected = torch.nn.functional.mse_loss(prediction, target)
    torch.testing.assert_close(MseSsimLoss(alpha=1)(prediction, target), expected)


def test_alpha_zero_is_one_minus_the_ssim_of_scikit_image():
    prediction, target = pair()
    loss = MseSsimLoss(alpha=0, data_range=5.0)(prediction, target)
    expected = 1 - reference_ssim(prediction[0, 0], target[0, 0], 5.0)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_range_of_each_target_enters():
    prediction, target = (image + 7 for image in pair(3))  # of a minimum that is not 0
    loss = MseSsimLoss(alpha=0, data_range="target")(prediction, target)
    expected = [
        1 - reference_ssim(p[0], t[0], (t.max() - t.min()).item())
        for p, t in zip(prediction, target, strict=True)
    ]
    assert loss.item() == pytest.approx(sum(expected) / 3, abs=1e-5)


def test_between_the_ends_it_is_the_weighted_sum():
    prediction, target = pair()
    ends = [MseSsimLoss(alpha, data_range=5.0)(prediction, target) for alpha in (0, 1)]
    middle = MseSsimLoss(0.3, data_range=5.0)(prediction, target)
    torch.testing.assert_close(middle, 0.7 * ends[0] + 0.3 * ends[1])


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_equal_images_cost_nothing(alpha):
    _, target = pair()
    assert MseSsimLoss(alpha)(target, target).item() == pytest.approx(0, abs=1e-6)


def test_similarity_does_not_depend_on_the_unit():
    prediction, target = pair()
    loss = MseSsimLoss(alpha=0)
    torch.testing.assert_close(loss(prediction, target), loss(1000 * prediction, 1000 * target))


def test_constant_target_stays_finite():
    target = torch.full((1, 1, 16, 16), 2.0)
    assert torch.isfinite(MseSsimLoss()(target + 0.1, target))


def test_gradient_reaches_the_prediction_through_both_terms():
    _, target = pair()
    for alpha in (0.0, 1.0):
        prediction = (target + 0.1 * torch.rand_like(target)).requires_grad_()
        MseSsimLoss(alpha)(prediction, target).backward()
        assert prediction.grad.abs().max() > 0


@pytest.mark.parametrize("length", [11, 13])
def test_three_dimensions(length):
    rng = torch.Generator().manual_seed(2)
    target = torch.rand(1, 1, length, 11, 12, generator=rng)
    prediction = target + 0.2 * torch.rand(target.shape, generator=rng)
    loss = MseSsimLoss(alpha=0, data_range=1.5, spatial_dims=3)(prediction, target)
    expected = 1 - reference_ssim(prediction[0, 0], target[0, 0], 1.5)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"alpha": 1.1}, "alpha"),
        ({"alpha": -0.1}, "alpha"),
        ({"data_range": 0.0}, "data_range"),
        ({"data_range": "max"}, "data_range"),
    ],
)
def test_wrong_options_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        MseSsimLoss(**options)


def test_images_that_do_not_fit_are_refused():
    loss = MseSsimLoss()
    with pytest.raises(ValueError, match="shapes differ"):
        loss(torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 17))
    with pytest.raises(ValueError, match="11 pixels"):
        loss(torch.rand(1, 1, 16, 10), torch.rand(1, 1, 16, 10))
