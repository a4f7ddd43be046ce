"""Batches of simulated signals: what an epoch holds, and that it can be drawn again."""

from collections import Counter

import pytest
import torch

from custom.data.datasets.signal_batches import (
    HeldOutSignals,
    LatticeSignals,
    LatticeSplit,
    SimulatedSignals,
)
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise, MixedLevels, PublishedLevels
from custom.physics.diffusion.priors import BoxPrior, TensorLattice
from custom.physics.diffusion.simulation import SignalSimulation


def simulation(levels=None):
    return SignalSimulation(
        published_scheme(), BoxPrior(), ClippedGaussianNoise(), levels or MixedLevels()
    )


@pytest.fixture(scope="module")
def split():
    return LatticeSplit(simulation(PublishedLevels()), TensorLattice(4), test_share=0.25)


def rows(tensors):
    return [tuple(row) for row in torch.round(tensors * 1e4).long().tolist()]


def equal(first, second):
    return all(torch.equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in a)


def test_the_split_parts_the_lattice(split):
    everything = rows(TensorLattice(4).tensors(published_scheme().b_rows))
    training, test = rows(split.training), rows(split.test)
    assert sorted(training + test) == sorted(everything)
    assert not set(training) & set(test)
    assert len(test) == round(0.25 * len(everything))


def test_an_epoch_has_every_tensor_once_at_every_level(split):
    levels = PublishedLevels(3)
    batch_size = 1
    for divisor in range(2, 40):
        if len(split.training) % divisor == 0:
            batch_size = divisor
    signals = LatticeSignals(split, levels, batch_size)
    signals.set_epoch(1)
    seen = Counter()
    number = 0
    for number, batch in enumerate(signals, 1):  # noqa: B007  (used after the loop)
        for row, sigma in zip(rows(batch["tensor"]), batch["sigma"][:, 0].tolist(), strict=True):
            seen[row, round(sigma, 4)] += 1
    assert number == len(signals)
    assert len(seen) == len(split.training) * 4
    assert set(seen.values()) == {1}


def test_a_level_is_met_in_every_pass(split):
    """The order is shuffled: the first batch has several levels."""
    batch = next(iter(LatticeSignals(split, PublishedLevels(), 64)))
    assert len(batch["sigma"].unique()) > 10


@pytest.mark.parametrize("kind", ["simulated", "lattice"])
def test_an_epoch_can_be_drawn_again_and_others_differ(split, kind):
    def signals(seed=0, rank=0):
        if kind == "simulated":
            return SimulatedSignals(simulation(), 16, 11, seed, rank=rank)
        return LatticeSignals(split, PublishedLevels(2), 32, seed, rank=rank)

    def epoch(number, **settings):
        made = signals(**settings)
        made.set_epoch(number)
        return list(made)

    assert len(epoch(1)) == len(signals())
    assert equal(epoch(1), epoch(1))
    for other in (epoch(2), epoch(1, seed=1), epoch(1, rank=1)):
        assert not equal(epoch(1), other)


def test_batches_have_their_size_and_nothing_twice():
    batches = list(SimulatedSignals(simulation(), 16, 11))
    assert all(batch["image"].shape == (16, 32) for batch in batches)
    labels = torch.cat([batch["label"] for batch in batches])
    assert len(labels.unique(dim=0)) == len(labels)


def test_held_out_signals_are_the_same_every_time_and_of_the_test_part(split):
    held_out = HeldOutSignals(split.simulation, 50, split, batch_size=20)
    first, second = list(held_out), list(held_out)
    assert [len(batch["image"]) for batch in first] == [20, 20, 10]
    assert equal(first, second)
    tensors = rows(torch.cat([batch["tensor"] for batch in first]))
    assert set(tensors) <= set(rows(split.test))
    assert len(set(tensors)) == min(50, len(split.test))


def test_more_held_out_signals_than_tensors_come_in_rounds(split):
    count = 2 * len(split.test)
    batches = HeldOutSignals(split.simulation, count, split)
    seen = Counter(rows(torch.cat([batch["tensor"] for batch in batches])))
    assert set(seen.values()) == {2}


def test_settings_are_refused(split):
    with pytest.raises(ValueError, match="batch_size"):
        LatticeSignals(split, PublishedLevels(), len(split.training) + 1)
    with pytest.raises(ValueError, match="test_share"):
        LatticeSplit(simulation(), TensorLattice(3), 1.0)
    with pytest.raises(ValueError, match="steps"):
        SimulatedSignals(simulation(), 4, 0)
