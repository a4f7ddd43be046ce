import numpy as np
import pytest
import torch

from custom.evaluation.image_measures import even_noise
from custom.evaluation.units import Compared, Images


def test_noise_is_measured_where_the_reference_is_even():
    """Half of the slice is even tissue, half a steep ramp whose noise does not count."""
    rng = np.random.default_rng(0)
    x = np.mgrid[:64, :64][0]
    still = np.where(x < 32, 100.0, 100.0 + 20 * (x - 32))
    reference = torch.tensor(still + rng.normal(0, 2, still.shape))[None, None]
    quieter = reference.clone()
    quieter[0, 0, :32] = 100 + 0.5 * (quieter[0, 0, :32] - 100)
    quieter[0, 0, 36:] = torch.tensor(still[36:])
    rows, width = [{}], torch.tensor([200.0])
    images = Images({"label": reference}, "a", rows, lambda image: image, width, {})
    for image, ratio in ((reference, 1.0), (quieter, 0.5)):
        found = even_noise().function(Compared(images, image, reference, width))
        assert float(found[0]) == pytest.approx(ratio, abs=0.02)
