import itertools

import numpy as np
import pytest
import torch
from dipy.core.gradients import gradient_table
from dipy.sims.voxel import sticks_and_ball
from scipy.special import erf
from scipy.stats import kstest

from custom.physics.diffusion.gradient_table import GradientTable, published_scheme
from custom.physics.diffusion.priors import (
    BallAndSticksPrior,
    BoxPrior,
    EigenvaluePrior,
    MixturePrior,
    TensorLattice,
)
from custom.physics.diffusion.tensor import tensor_matrices, tensor_signal
from custom.physics.diffusion.tensor_fit import fit_non_linear


@pytest.fixture(scope="module")
def b_rows():
    return published_scheme().b_rows


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def kept(tensors, b_rows):
    """The study's rule, written down again for NumPy."""
    least, most = tensors[:, :3].min(1), tensors[:, 3:].max(1)
    return (least >= most) & (np.exp(-tensors @ b_rows.T) <= 1).all(1)


def within_five_errors(sample, expected, variance):
    """Compare a mean over the first axis with another estimate of it, of known variances."""
    assert (np.abs(sample - expected) < 5 * np.sqrt(variance)).all()


def test_the_box_is_sampled_as_by_rejection(b_rows):
    rng = np.random.default_rng(1)
    low, high = [0, 0, 0, -1, -1, -1], [3, 3, 3, 1, 1, 1]
    raw = rng.uniform(low, high, (200_000, 6))
    referee = raw[kept(raw, b_rows.numpy())]
    drawn = BoxPrior().draw(100_000, b_rows, seeded()).tensor.numpy().astype(float)
    pairs = list(itertools.combinations_with_replacement(range(6), 2))

    def features(tensors):
        products = [tensors[:, i] * tensors[:, j] for i, j in pairs]
        return np.column_stack([tensors, *products, tensors[:, :3].min(1)])

    ours, theirs = features(drawn), features(referee)
    variance = ours.var(0) / len(ours) + theirs.var(0) / len(theirs)
    within_five_errors(ours.mean(0), theirs.mean(0), variance)


def test_the_box_keeps_to_its_rule(b_rows):
    draw = BoxPrior().draw(5000, b_rows, seeded())
    assert draw.tensor.shape == (5000, 6)
    assert draw.signal.shape == (5000, 32)
    assert kept(draw.tensor.double().numpy(), b_rows.double().numpy() + 1e-7).all()
    assert draw.signal.max() <= 1
    torch.testing.assert_close(draw.signal, tensor_signal(draw.tensor, b_rows))
    raw = torch.rand(20_000, 6, generator=seeded(1)) * 5 - 1.5
    inside = BoxPrior.contains(raw, b_rows)
    limits = (raw[:, :3] >= 0) & (raw[:, :3] <= 3) & (raw[:, 3:].abs() <= 1)
    expected = limits.all(1).numpy() & kept(raw.numpy(), b_rows.numpy())
    assert 100 < expected.sum() < 19_900
    np.testing.assert_array_equal(inside, expected)


@pytest.mark.parametrize(
    ("tensor", "inside"),
    [
        ([1, 1, 1, 0, 0, 0], True),
        ([3.1, 1, 1, 0, 0, 0], False),
        ([-0.1, 1, 1, -0.5, -0.5, -0.5], False),
        ([1, 1, 1, -1.1, 0, 0], False),
        ([0.4, 1, 1, 0, 0, 0.5], False),  # an off-diagonal element above a diagonal one
        ([0.4, 1, 1, 0, 0, -0.5], True),  # signs count, as in the study
        ([0.1, 0.1, 0.1, -1, -1, -1], False),  # the signal grows along (1, 1, 1)
    ],
)
def test_single_tensors(b_rows, tensor, inside):
    assert BoxPrior.contains(torch.tensor(tensor, dtype=torch.float32), b_rows) == inside


def test_the_set_of_the_box_is_convex(b_rows):
    ends = BoxPrior().draw(4000, b_rows, seeded()).tensor
    share = torch.rand(2000, 1, generator=seeded(1))
    assert BoxPrior.contains(share * ends[:2000] + (1 - share) * ends[2000:], b_rows).all()


def test_a_small_lattice_is_that_of_plain_loops(b_rows):
    points = 5
    diagonal = [3e-3 * i / (points - 1) for i in range(points)]
    rest = [2e-3 * i / (points - 1) - 1e-3 for i in range(points)]
    design = b_rows.double().numpy()
    expected = [
        np.array([*first, *second])
        for first in itertools.product(diagonal, repeat=3)
        for second in itertools.product(rest, repeat=3)
        if min(first) >= max(second)
    ]
    expected = [tensor * 1e3 for tensor in expected if (design @ tensor >= 0).all()]
    found = TensorLattice(points).tensors(b_rows)
    np.testing.assert_allclose(found, np.array(expected), atol=1e-6)
    assert len(found.unique(dim=0)) == len(found)


def test_the_study_s_lattice(b_rows):
    # The paper, with directions that it does not print, kept 428522. Golden: by
    # >>> g, h = np.linspace(0, 3e-3, 10), np.linspace(-1e-3, 1e-3, 10)
    # >>> off, n = np.array([*itertools.product(h, h, h)]), 0
    # >>> b = published_scheme().b_rows.double().numpy()
    # >>> for d in itertools.product(g, g, g):
    # ...     signal = np.array(d) @ b[:, :3].T + off @ b[:, 3:].T
    # ...     n += ((off.max(1) <= min(d)) & (signal.min(1) >= 0)).sum()
    tensors = TensorLattice(10).tensors(b_rows)
    assert len(tensors) == 426_155
    draw = TensorLattice(10).draw(1000, b_rows, seeded())
    steps = draw.tensor * torch.tensor([3.0, 3, 3, 4.5, 4.5, 4.5])
    torch.testing.assert_close(steps[:, :3], steps[:, :3].round(), atol=1e-5, rtol=0)
    torch.testing.assert_close(steps[:, 3:] + 0.5, (steps[:, 3:] + 0.5).round(), atol=1e-5, rtol=0)
    # Drawn evenly: means are those of the whole lattice.
    error = tensors.std(0) / np.sqrt(1000)
    assert ((draw.tensor.mean(0) - tensors.mean(0)).abs() < 5 * error).all()


@pytest.mark.parametrize("fibre_share", [0.0, 0.5, 1.0])
def test_rotated_tensors_favour_no_direction(b_rows, fibre_share):
    count = 40_000
    prior = EigenvaluePrior(0.2, 3.0, fibre_share)
    tensors = prior.draw(count, b_rows, seeded()).tensor.double().numpy()
    xx, yy, zz, xy, xz, yz = tensors.T
    # Invariant under all rotations: means, and the isotropic fourth-order moment.
    zero = [xx - yy, xx - zz, xy, xz, yz, xy * xz, xy * yz, xx * xy, xx * yz, xy**2 - xz**2]
    zero += [xy**2 - yz**2, xx**2 - zz**2, xx * yy - yy * zz]
    zero += [(xx - yy) ** 2 - 4 * xy**2, (yy - zz) ** 2 - 4 * yz**2]
    features = np.column_stack(zero)
    within_five_errors(features.mean(0), 0, features.var(0) / count)
    values = np.linalg.eigvalsh(tensor_matrices(torch.from_numpy(tensors)).numpy())
    assert values.min() > 0.2 - 1e-5
    assert values.max() < 3.0 + 1e-5
    fibres = (values[:, 1] - values[:, 0] < 1e-5).mean()
    assert abs(fibres - fibre_share) <= 5 * np.sqrt(fibre_share * (1 - fibre_share) / count) + 1e-4
    # Whatever the share: the largest of three uniform values, and the smallest.
    scaled = (values - 0.2) / 2.8
    assert kstest(scaled[:, 2], lambda x: x**3).pvalue > 1e-4
    assert kstest(scaled[:, 0], lambda x: 1 - (1 - x) ** 3).pvalue > 1e-4


def test_directions_of_fibres_are_uniform_on_the_sphere(b_rows):
    tensors = EigenvaluePrior(0.2, 3.0, 1.0).draw(20_000, b_rows, seeded()).tensor
    _, vectors = np.linalg.eigh(tensor_matrices(tensors).double().numpy())
    # Archimedes: each coordinate of a uniform direction is uniform.
    for axis in range(3):
        assert kstest(np.abs(vectors[:, axis, 2]), "uniform").pvalue > 1e-4


def test_a_share_of_voxels_has_two_compartments(b_rows):
    drawn = MixturePrior(EigenvaluePrior(), 0.3).draw(4000, b_rows, seeded())
    assert drawn.tensor is None
    fits = fit_non_linear(drawn.signal, b_rows)[0]
    single = (tensor_signal(fits, b_rows) - drawn.signal).abs().amax(1) < 1e-4
    # Some of two compartments are hardly to be told from one.
    assert 0.68 < single.double().mean() < 0.8
    only = MixturePrior(EigenvaluePrior(), 0.0).draw(100, b_rows, seeded()).signal
    assert float((tensor_signal(fit_non_linear(only, b_rows)[0], b_rows) - only).abs().max()) < 1e-4


def test_mixtures_are_dipy_s():
    rng = np.random.default_rng(0)
    bvecs = rng.normal(size=(12, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    bvals = np.array([0.0, *[1000.0] * 6, *[2500.0] * 5])
    bvecs[0] = 0
    table = gradient_table(bvals, bvecs=bvecs, b0_threshold=10)
    rows = GradientTable(bvals, bvecs).b_rows
    for sticks in (1, 2, 3):
        directions = rng.normal(size=(sticks, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        fractions = rng.dirichlet([1.0] * (sticks + 1))[1:]
        expected, _ = sticks_and_ball(
            table, d=1.3e-3, angles=directions, fractions=100 * fractions, snr=None
        )
        found = BallAndSticksPrior.signal(
            torch.tensor([[1.3]]),
            torch.from_numpy(fractions[None]).float(),
            torch.from_numpy(directions[None]).float(),
            rows,
        )
        np.testing.assert_allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize("sticks", [1, 2, 3])
def test_moments_of_mixtures(sticks):
    """First and second moment of the signal, of a flat Dirichlet distribution in closed form."""
    count, d, b = 100_000, 1.5, 2.0
    rows = GradientTable(np.array([1000 * b]), np.array([[0.6, 0.0, 0.8]])).b_rows
    prior = BallAndSticksPrior(sticks, d - 1e-6, d + 1e-6)
    signal = prior.draw(count, rows, seeded(sticks)).signal.double().numpy()[:, 0]

    def stick(exponent):  # the mean of exp(-exponent cos^2) over the sphere
        return np.sqrt(np.pi / exponent) / 2 * erf(np.sqrt(exponent))

    parts = sticks + 1
    means = np.array([np.exp(-b * d), *[stick(b * d)] * sticks])
    squares = np.array([np.exp(-2 * b * d), *[stick(2 * b * d)] * sticks])
    # E f_i f_j = (1 + [i = j]) / (n (n + 1)) for n fractions.
    cross = means.sum() ** 2 - (means**2).sum()
    second = (cross + 2 * squares.sum()) / (parts * (parts + 1))
    within_five_errors(signal.mean(), means.mean(), signal.var() / count)
    within_five_errors((signal**2).mean(), second, (signal**2).var() / count)


def test_diffusivities_of_mixtures_are_uniform():
    """Where all of b lies along no stick, the signal of the ball and the sticks is known."""
    low, high = 0.1, 3.0
    rows = torch.zeros(1, 6)
    rows[0, :3] = 1 / 3  # spherical encoding of b = 1: every compartment has exp(-d) or exp(-d/3)
    signal = BallAndSticksPrior(1, low, high).draw(100_000, rows, seeded()).signal.double()[:, 0]

    def mean(power):  # of exp(-power d)
        return (np.exp(-power * low) - np.exp(-power * high)) / (power * (high - low))

    expected = (mean(1) + mean(1 / 3)) / 2
    within_five_errors(signal.mean().numpy(), expected, signal.var().numpy() / 1e5)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_fractions_are_finite_at_the_ends_of_chance(uniform, monkeypatch):
    """A uniform variable of exactly 0 comes up once in 16 million."""
    normal = torch.rand

    def extreme(*shape, **how):
        values = normal(*shape, **how)
        values[0, -1] = uniform
        return values

    monkeypatch.setattr(torch, "rand", extreme)
    assert torch.isfinite(BallAndSticksPrior().draw(2, torch.ones(3, 6), seeded()).signal).all()


@pytest.mark.parametrize(
    "prior",
    [
        BoxPrior(),
        TensorLattice(4),
        EigenvaluePrior(),
        BallAndSticksPrior(3),
        MixturePrior(BoxPrior()),
    ],
)
def test_every_prior_keeps_its_promises(prior, b_rows):
    one, same, other = (prior.draw(500, b_rows, seeded(seed)) for seed in (5, 5, 6))
    torch.testing.assert_close(one.signal, same.signal, rtol=0, atol=0)
    assert not torch.equal(one.signal, other.signal)
    assert one.signal.shape == (500, 32)
    assert one.signal.dtype == torch.float32
    assert one.signal.min() > 0
    assert one.signal.max() <= 1 + 1e-6
    free = {BallAndSticksPrior: 10}.get(type(prior), 6)
    assert prior.num_parameters == free
    state = torch.random.get_rng_state()
    prior.draw(10, b_rows, seeded())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TensorLattice(1), "points must be at least 2"),
        (lambda: EigenvaluePrior(lowest=0.0), "lowest must be positive"),
        (lambda: EigenvaluePrior(lowest=2.0, highest=1.0), "lowest must be below highest"),
        (lambda: EigenvaluePrior(fibre_share=1.5), "fibre_share must be between 0 and 1"),
        (lambda: BallAndSticksPrior(0), "sticks must be at least 1"),
        (lambda: BallAndSticksPrior(4), "sticks must be at most 3"),
        (lambda: BallAndSticksPrior(2, highest=-1.0), "highest must be positive"),
        (lambda: BallAndSticksPrior(2, 2.0, 1.0), "lowest must be below highest"),
    ],
)
def test_wrong_settings_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()
