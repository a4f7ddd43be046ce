import numpy as np
import pytest
import torch
from scipy import ndimage

from custom.transforms.registration.refined_shift import RefinedShiftd, remaining_shift


def brain(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((28, 30, 20))
    smooth = ndimage.gaussian_filter(noise, 2.0)
    return (0.5 + 0.3 * smooth / smooth.std()).astype(np.float32)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.4, -0.7, 0.2), (1.2, 0.3, -0.6)])
def test_a_shift_is_found_though_the_contrast_is_another(shift):
    image = brain()
    reference = ndimage.shift(image, shift, order=3, mode="nearest") ** 3
    mask = np.zeros(image.shape, bool)
    mask[3:-3, 3:-3, 3:-3] = True
    np.testing.assert_allclose(remaining_shift(image, reference, mask), shift, atol=0.05)


def test_images_are_moved_and_outside_the_brain_is_0():
    image = brain()
    reference = ndimage.shift(image, (0.5, 0.5, 0.0), order=3, mode="nearest")
    mask = np.zeros(image.shape, np.uint8)
    mask[3:-3, 3:-3, 3:-3] = 1
    data = {"image": image[None], "label": reference[None], "mask": mask[None]}
    data = {key: torch.from_numpy(value) for key, value in data.items()}
    made = RefinedShiftd("image", "label")(data)
    inside = mask[None] > 0
    before, after = (
        np.abs(np.asarray(one) - reference)[inside].mean() for one in (data["image"], made["image"])
    )
    assert after < 0.1 * before
    assert not np.asarray(made["image"])[~inside].any()
    assert torch.equal(RefinedShiftd("image", "label", given=False)(data)["image"], data["image"])


def test_a_brain_of_a_few_voxels_is_refused():
    mask = np.zeros((8, 8, 8), bool)
    mask[3:5, 3:5, 3:5] = True
    with pytest.raises(ValueError, match="too small"):
        remaining_shift(np.ones((8, 8, 8)), np.ones((8, 8, 8)), mask)
