import numpy as np
import pytest
import torch

from custom.evaluation.image_measures import flat_tissue, noise
from custom.evaluation.units import Compared, Images


def test_noise_is_measured_where_the_tissue_is_flat():
    """A slowly shaded half, and a steep one with a pattern, whose blur is no loss of noise."""
    rng = np.random.default_rng(0)
    x, y = np.mgrid[:96, :96]
    still = np.where(x < 48, 100 + 0.1 * y, 100 + 5 * (x - 48) + 5 * np.sin(2 * y))
    drawn = rng.normal(0, 2, still.shape)
    pattern = x >= 50
    made = [np.where(pattern, 100.0, still + share * drawn) for share in (0.5, 3.0)]
    stacks = [torch.tensor(image)[None, None] for image in (still + drawn, *made)]
    width = torch.tensor([200.0])
    item = {"label": stacks[0]}
    images = Images(item, "a", [{}], lambda image: image, width, {"flat": flat_tissue})
    assert not images.mask("flat")[0, 0][pattern].any()
    for image, ratio in zip(stacks, (1.0, 0.5, 3.0), strict=True):
        found = noise(region="flat").function(Compared(images, image, stacks[0], width))
        assert float(found[0]) == pytest.approx(ratio, abs=0.01)
