import pytest
import torch

from custom.analysis.dwi.estimators import Estimates, SignalEstimator, classical_estimators
from custom.analysis.dwi.mixture import (
    CITED,
    SignalMixture,
    errors_of,
    extended_row,
    mixture_row,
    times_limit,
)
from custom.data.datasets.signal_batches import LatticeSplit
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise, PublishedLevels
from custom.physics.diffusion.priors import BoxPrior, Draw, TensorLattice
from custom.physics.diffusion.simulation import SignalSimulation
from custom.physics.diffusion.tensor import tensor_signal

TABLE = published_scheme()


def errors(signal, tensor):
    signal, tensor = (torch.tensor(values, dtype=torch.float64) for values in (signal, tensor))
    return {"signal_mse": signal, "tensor_mse": tensor, "tensor_mae": tensor.sqrt()}


def test_factors_and_ratios_by_hand():
    row = mixture_row("some", errors([1.0, 3.0], [4.0, 16.0]), 50.0)
    assert row["signal_mse"] == 2
    assert row["tensor_mse"] == 10
    assert row["tensor_mae"] == 3
    assert row["tensor_factor"] == 5
    times = times_limit(
        errors([1.0, 9.0, 3.0], [4.0, 1.0, 16.0]),
        errors([0.5, 1.5], [4.0, 6.0]),
        torch.tensor([0, 2]),
    )
    assert times["signal_times_limit"] == 2
    assert times["signal_times_limit_se"] == 0
    assert times["tensor_times_limit"] == 2


def test_errors_of_a_shifted_tensor():
    tensor = torch.tensor([[1.0, 0.8, 0.6, 0.1, 0.0, 0.0]]).repeat(3, 1)
    truth = Draw(tensor_signal(tensor, TABLE.b_rows), tensor)
    shifted = tensor_signal(tensor + 0.05, TABLE.b_rows)
    for found in (Estimates(shifted), Estimates(None, tensor + 0.05)):
        measured = errors_of(found, truth, TABLE.b_rows)
        assert float(measured["tensor_mse"][0]) == pytest.approx(2.5e-9, rel=1e-3)  # (0.05e-3)^2
        assert float(measured["tensor_mae"][0]) == pytest.approx(5e-5, rel=1e-3)
    assert set(measured) == {"tensor_mse", "tensor_mae"}
    # Without noise plain least squares finds the same.
    plain = errors_of(Estimates(shifted), truth, TABLE.b_rows)
    assert float(plain["tensor_mse_ols"][0]) == pytest.approx(2.5e-9, rel=1e-3)


def test_a_part_speaks_for_the_whole_by_ratio():
    # On the part (the first two) the limit has half of the other's error.
    other = errors([2.0, 4.0, 9.0, 9.0], [2.0, 4.0, 1.0, 1.0])
    part = errors([1.0, 2.0], [1.0, 2.0])
    row = extended_row(mixture_row("limit", part, 1.0), part, [other], torch.tensor([0, 1]), other)
    assert row["signal_mse"] == 3  # half of 6
    assert row["tensor_mse"] == 1  # half of 2
    assert row["tensor_factor"] == 2


@pytest.fixture(scope="module")
def mixture():
    lattice = TensorLattice(4)
    noise = ClippedGaussianNoise()
    simulation = SignalSimulation(TABLE, BoxPrior(), noise, PublishedLevels())
    split = LatticeSplit(simulation, lattice)
    return split, SignalMixture(split, lattice, noise, 31 * 6, 31 * 3, draws=500, own_draws=50)


def test_every_level_has_as_many_held_out_tensors(mixture):
    split, results = mixture
    found = results.mixture
    levels, counts = found.sigma.squeeze(1).unique(return_counts=True)
    torch.testing.assert_close(levels, PublishedLevels().values)
    assert (counts == 6).all()
    held_out = {tuple(row) for row in split.test.tolist()}
    assert {tuple(row) for row in found.truth.tensor.tolist()} <= held_out
    limited = found.rows(results.limit_index)
    assert (limited.sigma.squeeze(1).unique(return_counts=True)[1] == 3).all()


def test_the_table_is_measured_limited_and_cited(mixture):
    _, results = mixture
    truth = SignalEstimator("truth", lambda noisy, _: Estimates(results.mixture.truth.signal))
    rows = results.table([*classical_estimators(TABLE, 10), truth])
    by_name = {row["estimator"]: row for row in rows}
    assert by_name["noisy"]["tensor_factor"] == 1
    assert by_name["truth"]["signal_mse"] == 0
    assert by_name["limit"]["signal_times_limit"] == 1
    assert by_name["limit"]["tensor_times_limit"] == 1
    # Ten times as many tensors: who knows that they lie on a lattice errs less.
    assert by_name["posterior mean (any tensor)"]["signal_times_limit"] > 1
    assert by_name["NLLS"]["signal_times_limit"] > 1
    assert by_name["DIPY WLS"]["signals"] == 10
    assert [row for row in rows if row["source"] == "as printed"] == list(CITED)


def test_printed_factors_are_those_of_the_printed_errors():
    factors = {row["estimator"]: row["tensor_factor"] for row in CITED}
    assert factors["paper: VAE"] == pytest.approx(8.7, abs=0.05)
    assert factors["paper: DAE"] == pytest.approx(4.3, abs=0.05)
