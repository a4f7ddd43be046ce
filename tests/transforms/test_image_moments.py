import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from custom.physics.image_moments import (
    image_moments,
    standardise,
    unstandardise,
)
from custom.transforms.image_moments import ImageMomentsd

EXAMPLE = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])


def test_numbers_counted_by_hand():
    # mean 3; squares about it 4, 1, 0, 9; squares 1, 4, 9, 36
    torch.testing.assert_close(image_moments(EXAMPLE, "centred"), torch.tensor([3.0, 3.5**0.5]))
    torch.testing.assert_close(image_moments(EXAMPLE, "printed"), torch.tensor([3.0, 12.5**0.5]))


def test_air_becomes_minus_one_and_the_median_of_the_tissue_one():
    tissue = torch.tensor([90.0, 100.0, 100.0, 100.0, 110.0] * 8)
    image = torch.cat([torch.zeros(60), tissue]).reshape(1, 10, 10)
    standardised = standardise(image, image_moments(image, "tissue"))
    torch.testing.assert_close(standardised.flatten()[:60], torch.full((60,), -1.0))
    assert standardised.flatten()[60:].median() == 1


@given(
    shape=st.tuples(*[st.integers(2, 7)] * 3),
    gain=st.floats(1e-3, 1e5),
    offset=st.floats(0, 10),
    seed=st.integers(0, 99),
)
def test_standardised_images_have_zero_mean_and_unit_variance(shape, gain, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    image = gain * (torch.rand(shape, generator=generator) + offset)
    moments = image_moments(image, "centred")
    reference = np.asarray(image, np.float64)
    np.testing.assert_allclose(moments, [reference.mean(), reference.std()], rtol=1e-3)
    standardised = standardise(image, moments)
    assert abs(standardised.mean()) < 1e-3
    assert abs(standardised.std(correction=0) - 1) < 1e-3
    back = unstandardise(standardised, moments)
    torch.testing.assert_close(back, image, rtol=1e-5, atol=1e-6 * image.abs().max().item())


def test_the_printed_form_has_no_unit_variance():
    """The erratum: (x - mean) / rms(x) has the variance 1 - (mean / rms)^2."""
    printed = standardise(EXAMPLE, image_moments(EXAMPLE, "printed"))
    assert printed.square().mean().item() == pytest.approx(1 - 9 / 12.5)


@pytest.mark.parametrize("form", ["centred", "printed"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1234.567])
def test_a_constant_image_becomes_zero(form, value):
    image = torch.full((1, 37, 41), value)
    moments = image_moments(image, form)
    torch.testing.assert_close(moments[0], torch.tensor(value))
    if form == "centred" or value == 0:
        assert moments[1] == 1
    assert standardise(image, moments).abs().max() < 1e-3


@pytest.mark.parametrize(("relative", "scale"), [(1e-7, 1.0), (1e-4, 0.1)])
def test_a_slice_is_flat_only_to_within_the_rounding_of_float32(relative, scale):
    """Of deviation 0.1 on 1000 the image is kept: what varies less than 1e-6 is rounding."""
    rows = torch.tensor([1.0, -1.0]).repeat(50)
    moments = image_moments(1000 * (1 + relative * rows), "centred")
    assert moments[1].item() == pytest.approx(scale, rel=1e-2)


def test_samples_of_a_batch_have_moments_of_their_own():
    images = torch.rand(3, 1, 4, 5) * torch.tensor([1.0, 10.0, 100.0])[:, None, None, None]
    moments = torch.stack([image_moments(image) for image in images])
    batched = standardise(images, moments)
    for image, own, expected in zip(images, moments, batched, strict=True):
        torch.testing.assert_close(standardise(image, own), expected)
    torch.testing.assert_close(unstandardise(batched, moments), images)


def test_gaps_are_seen():
    image = EXAMPLE.clone()
    image[0, 0, 0] = torch.nan
    assert torch.isnan(standardise(image, image_moments(image, "centred"))).all()


def test_half_precision_does_not_overflow():
    image = (30000 * torch.rand(1, 32, 32)).half()
    assert torch.isfinite(image_moments(image)).all()


def test_transform_stores_numbers_and_leaves_the_images():
    image = MetaTensor(torch.rand(1, 8, 9))
    data = {"image": image, "label": torch.rand(1, 8, 9)}
    result = ImageMomentsd(["image", "label"], form="printed")(data)
    assert result["image"] is image
    assert type(result["image_moments"]) is torch.Tensor
    assert result["image_moments"].dtype == torch.float32
    for key in data:
        torch.testing.assert_close(result[f"{key}_moments"], image_moments(data[key], "printed"))
    assert set(ImageMomentsd("image")(data)) == {"image", "label", "image_moments"}


def test_missing_keys_and_unknown_forms():
    with pytest.raises(KeyError, match="image"):
        ImageMomentsd("image")({})
    for refused in (
        lambda: ImageMomentsd("image", form="unit"),
        lambda: image_moments(EXAMPLE, ""),
    ):
        with pytest.raises(ValueError, match="form"):
            refused()
