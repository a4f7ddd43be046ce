import logging

import pytest
import torch

from custom.physics.diffusion.noise import MixedLevels, PublishedLevels
from custom.transforms.trained_noise import warn_of_untrained_noise

TRAINED = MixedLevels(0.01, 0.95)


def test_the_bounds_are_within_and_so_is_no_noise_at_all(caplog):
    assert warn_of_untrained_noise("scan", torch.tensor([0.0, 0.01, 0.3, 0.95]), TRAINED) == 0
    assert not caplog.text


def test_what_is_beyond_is_counted_and_named_in_one_line(caplog):
    levels = torch.tensor([[0.0, 0.009, 0.2], [0.96, 7.0, float("inf")]])
    with caplog.at_level(logging.WARNING):
        assert warn_of_untrained_noise("scan.nii.gz", levels, TRAINED) == 4
    (line,) = caplog.messages
    assert line.startswith("scan.nii.gz: the noise of 4 of 6 voxels is beyond")
    assert "0.01 to 0.95 of S0): 3 above, 1 below" in line


@pytest.mark.parametrize("levels", [MixedLevels(0.005, 0.5, 0.1), PublishedLevels()])
def test_what_training_draws_is_within(levels, caplog):
    drawn = levels.draw(100_000, torch.Generator().manual_seed(0))
    lowest, highest = levels.bounds
    assert drawn.max().item() == pytest.approx(highest, rel=1e-3)
    # Of the uniform half a share of lowest / highest is lower, and nothing else.
    beyond = warn_of_untrained_noise("scan", drawn, levels) / len(drawn)
    share = 0.45 * lowest / highest if isinstance(levels, MixedLevels) else 0.0
    assert abs(beyond - share) <= 5 * (share / len(drawn)) ** 0.5
