"""The error of restored signals, plain and relative."""

import numpy as np
import pytest
import torch

from custom.metrics.signal_error import SignalError
from custom.physics.diffusion.error_scales import error_scales_of
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.priors import BoxPrior


def test_it_is_the_mean_over_all_batches_of_whatever_size():
    rng = np.random.default_rng(0)
    truth, predicted = rng.random((2, 30, 5))
    metric = SignalError()
    for part in (slice(0, 20), slice(20, 30)):
        target = np.concatenate([truth[part], np.full((len(truth[part]), 1), 0.3)], 1)
        # What follows the first columns, deviations say, is not looked at.
        given = np.concatenate([predicted[part], 7 + predicted[part]], 1)
        metric(torch.from_numpy(given), torch.from_numpy(target))
    assert float(metric.aggregate()) == pytest.approx(((truth - predicted) ** 2).mean())
    metric.reset()
    with pytest.raises(ValueError, match="no signal"):
        metric.aggregate()


def test_an_error_as_expected_counts_as_one_at_every_level():
    b_rows = published_scheme().b_rows
    drawn = BoxPrior().draw(500, b_rows, torch.Generator().manual_seed(0))
    scales = error_scales_of(drawn.signal, drawn.tensor, b_rows, 6)
    metric = SignalError(scales)
    for sigma in (0.02, 0.2, 0.9):
        expected = 1 / (1 / (6 / 32 * sigma**2) + 1 / float(scales.signal_variance))
        truth = torch.zeros(4, 32)
        metric(truth + expected**0.5, torch.cat([truth, torch.full((4, 1), sigma)], 1))
    assert float(metric.aggregate()) == pytest.approx(1.0, rel=1e-5)


def test_tensors_are_compared_with_what_is_expected_of_their_mean():
    b_rows = published_scheme().b_rows
    drawn = BoxPrior().draw(500, b_rows, torch.Generator().manual_seed(0))
    scales = error_scales_of(drawn.signal, drawn.tensor, b_rows, 6)
    sigma = 0.1
    expected = (1 / (1 / (scales.tensor_bound * sigma**2) + 1 / scales.tensor_variance)).mean()
    truth = torch.zeros(4, 6)
    metric = SignalError(scales, of_tensor=True)
    metric(truth + expected.sqrt(), torch.cat([truth, torch.full((4, 1), sigma)], 1))
    assert float(metric.aggregate()) == pytest.approx(1.0, rel=1e-5)
