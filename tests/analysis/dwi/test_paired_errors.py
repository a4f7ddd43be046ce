import math

import pytest
import torch

from custom.analysis.dwi.paired_errors import mean_of, ratio_of


def test_mean_and_its_error_by_hand():
    found = mean_of(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert found.value == 3
    assert found.error == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))


def test_a_ratio_to_itself_is_one_without_error():
    values = torch.rand(50, generator=torch.Generator().manual_seed(0))
    assert ratio_of(values, values) == pytest.approx((1, 0), abs=1e-12)
    assert ratio_of(3 * values, values).value == pytest.approx(3)
    assert ratio_of(3 * values, values).error == pytest.approx(0, abs=1e-6)  # rounding of 3 x


def test_the_error_of_a_ratio_is_its_scatter():
    rng = torch.Generator().manual_seed(0)
    hard = torch.rand(2000, 400, generator=rng) + 0.1
    first = hard * (1 + 0.2 * torch.randn(hard.shape, generator=rng))
    found = [ratio_of(*pair) for pair in zip(first, hard, strict=True)]
    scatter = torch.tensor([item.value for item in found]).std()
    errors = torch.tensor([item.error for item in found])
    # The deviation of a deviation from 2000 samples: 1 / sqrt(4000), five of them.
    assert float(errors.mean() / scatter) == pytest.approx(1, abs=0.08)
