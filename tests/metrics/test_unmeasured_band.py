import numpy as np
import pytest
import torch

from custom.metrics.unmeasured_band import unmeasured_band
from custom.physics.acquisition import acquire, cosines


def test_a_band_limited_restoration_has_no_power_there():
    truth = np.random.default_rng(0).normal(size=(12, 16, 8))
    low = acquire(torch.tensor(truth)[None, None], "kspace", 2)[0, 0].numpy()
    filled = low
    for axis, size in enumerate(low.shape):
        back = cosines(2 * size)[:size].T @ cosines(size)
        filled = np.moveaxis(np.tensordot(back, filled, (1, axis)), 0, axis)
    assert unmeasured_band(filled, truth)[0] < 1e-20
    power, correlation = unmeasured_band(truth, truth)
    assert (power, correlation) == pytest.approx((1, 1))


def test_invented_texture_has_power_and_no_correlation():
    rng = np.random.default_rng(1)
    truth, texture = rng.normal(size=(2, 32, 32, 32))
    count = 32**3 * 7 / 8
    power, correlation = unmeasured_band(2 * texture, truth)
    # Ratio of two sums of squares, and correlation, of so many independent values.
    assert abs(power - 4) < 5 * 4 * 2 / np.sqrt(count)
    assert abs(correlation) < 5 / np.sqrt(count)
    half = unmeasured_band((truth + texture) / 2, truth)
    assert half == pytest.approx((0.5, np.sqrt(0.5)), abs=5 / np.sqrt(count))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="same shape"):
        unmeasured_band(np.zeros((4, 4, 4)), np.zeros((4, 4, 2)))
    with pytest.raises(ValueError, match="no power"):
        unmeasured_band(np.zeros((4, 4, 4)), np.ones((4, 4, 4)))
