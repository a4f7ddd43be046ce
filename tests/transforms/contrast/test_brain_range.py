import numpy as np
import pytest
import torch

from custom.physics.brain_range import brain_range
from custom.transforms.contrast.brain_range import ScaleToBrainRanged, UnscaleFromBrainRanged


def brain(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = 1000 * torch.rand(1, 6, 7, 8, generator=generator) + 50
    mask = torch.zeros(1, 6, 7, 8, dtype=torch.uint8)
    mask[:, 1:-1, 1:-1, 1:-1] = 1
    return image, mask


def test_the_range_is_that_of_numpy_and_of_the_brain_alone():
    image, mask = brain()
    expected = np.percentile(image[mask > 0].double().numpy(), [1, 99])
    np.testing.assert_allclose(brain_range(image, mask), expected, rtol=1e-12)
    changed = torch.where(mask > 0, image, image.new_tensor(1e9))
    assert brain_range(changed, mask) == brain_range(image, mask)


def test_values_beyond_the_range_stay_and_air_is_0():
    image, mask = brain()
    made = ScaleToBrainRanged("image")({"image": image, "mask": mask})
    assert made["image"].max() > 1
    assert made["image"].min() < 0
    assert torch.all(made["image"][mask == 0] == 0)
    back = UnscaleFromBrainRanged("image", "image_range")(made)["image"]
    torch.testing.assert_close(back, image * mask)


@pytest.mark.parametrize("gain", [1e-3, 1.0, 3e4])
def test_normalised_images_are_the_same_whatever_the_gain(gain: float):
    image, mask = brain()
    scale = ScaleToBrainRanged("image")
    one = scale({"image": image, "mask": mask})["image"]
    other = scale({"image": gain * image + 7, "mask": mask})["image"]
    torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image, mask: (image, 0 * mask), "the brain mask is empty"),
        (lambda image, mask: (image, mask[..., 1:]), "must have one shape"),
        (lambda image, mask: (0 * image, mask), "no contrast"),
        (lambda image, mask: (image.log() - torch.inf, mask), "not finite"),
        (lambda image, mask: (image * torch.nan, mask), "not finite"),
    ],
)
def test_a_brain_without_a_range_is_refused(change, message: str):
    with pytest.raises(ValueError, match=message):
        brain_range(*change(*brain()))
