"""The toy in which a GAN's stability can be computed: one weight for each player.

The generator gives its weight phi for any input, the truth is 0, the critic gives psi x. Trainer,
losses and noise are ours; the networks are the only thing that is not.
"""

import math

import numpy as np
import pytest
import torch
from ignite.engine import Events
from torch import nn
from torch.nn.functional import logsigmoid

from custom.engines.adversarial_trainer import AdversarialTrainer
from custom.handlers.instance_noise import InstanceNoise
from custom.losses.gradient_penalty import GradientPenalty
from custom.losses.relativistic_loss import RelativisticAverageLoss, WassersteinLoss

RATE = 0.2
# h(t) = -log(1 + exp(-t))
SLOPE, CURVATURE = 0.5, -0.25
SAMPLES = 40000


class Dirac(nn.Module):
    """A generator that gives its weight, or a critic that multiplies by it."""

    def __init__(self, weight, kind):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))
        self.kind = kind

    def forward(self, x):
        return x + self.weight if self.kind == "generator" else x * self.weight


class Minimax:
    """The objective of the text's proof: E h(C(x)) + E h(-C(y)), for both players."""

    def critic(self, real, fake):
        return -logsigmoid(real).mean() - logsigmoid(-fake).mean()

    def generator(self, real, fake):
        return -self.critic(real, fake)


def states(start, loss, std, iterations, samples, penalty=None):
    """Return (phi, psi) after each iteration of the trainer."""
    generator, critic = Dirac(start[0], "generator"), Dirac(start[1], "critic")
    nothing = torch.zeros(samples, 1, 1, 1, 1, dtype=torch.float64)
    trainer = AdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[{"image": nothing, "label": nothing}] * iterations,
        network=generator,
        optimizer=torch.optim.SGD(generator.parameters(), lr=RATE),
        critic=critic,
        critic_optimizer=torch.optim.SGD(critic.parameters(), lr=RATE),
        adversarial_loss=loss,
        critic_penalty=penalty,
        adversarial_weight=1.0,
        pixel_weight=0.0,
        instance_noise=InstanceNoise(std, std, seed=5) if std else None,
        decollate=False,
    )
    found = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda _: found.append((generator.weight.item(), critic.weight.item())),
    )
    trainer.run()
    return np.array(found)


def update_matrix(loss, std):
    """Differentiate one update of the trainer at the equilibrium; the noise is the same in all."""
    columns = []
    for player in range(2):
        ends = []
        for sign in (1, -1):
            start = [0.0, 0.0]
            start[player] = sign * 1e-3
            ends.append(states(start, loss, std, 1, SAMPLES)[0])
        columns.append((ends[0] - ends[1]) / 2e-3)
    return np.stack(columns, axis=1)


def test_the_plain_wasserstein_update_diverges_at_the_predicted_rate():
    norms = np.linalg.norm(states((0.3, 0.4), WassersteinLoss(), 0.0, 50, 2), axis=1)
    growth = math.sqrt(1 + RATE**2)
    np.testing.assert_allclose(norms[1:] / norms[:-1], growth, atol=1e-6)
    assert norms[-1] == pytest.approx(0.5 * growth**50, rel=1e-9)


# Of a linear loss noise changes nothing; of the relativistic loss each term sees the generator,
# which doubles the slope, and the mean of the two halves the whole.
@pytest.mark.parametrize(
    ("loss", "half", "slope", "curvature"),
    [
        (WassersteinLoss(), 1.0, 1.0, 0.0),
        (Minimax(), 1.0, SLOPE, CURVATURE),
        (RelativisticAverageLoss(), 0.5, 2 * SLOPE, CURVATURE),
    ],
    ids=["wasserstein", "minimax", "relativistic"],
)
@pytest.mark.parametrize("std", [1.0, 2.5])
def test_eigenvalues_of_the_update_with_noise_are_those_of_the_theory(
    loss, half, slope, curvature, std
):
    bend = curvature * std**2
    root = np.emath.sqrt(bend**2 - slope**2)
    predicted = 1 + RATE * half * np.array([bend + root, bend - root])
    found = np.linalg.eigvals(update_matrix(loss, std))
    # The sample variance of the noise errs by 1 / sqrt(samples), relatively, over both draws; an
    # eigenvalue moves with it by its derivative. 1e-5: of the difference quotient.
    error = RATE * half * abs(bend) * (1 + abs(bend / root)) / math.sqrt(SAMPLES)
    order = lambda values: sorted(values, key=lambda v: (round(v.real, 6), v.imag))  # noqa: E731
    np.testing.assert_allclose(order(found), order(predicted), atol=5 * error + 1e-5, rtol=0)
    if curvature == 0:
        assert np.abs(found) == pytest.approx(math.sqrt(1 + RATE**2), abs=1e-5)
    else:
        assert (np.abs(found) < 0.99).all()


def test_noise_makes_the_relativistic_game_converge_and_without_it_there_is_none():
    loss = RelativisticAverageLoss()
    noisy = np.linalg.norm(states((0.6, 0.8), loss, 1.5, 120, 2000), axis=1)
    assert noisy[-1] < 0.05
    plain = np.linalg.norm(states((0.006, 0.008), loss, 0.0, 120, 2), axis=1)
    growth = math.sqrt(1 + (RATE * SLOPE) ** 2)
    np.testing.assert_allclose(plain[1:] / plain[:-1], growth, atol=1e-4)
    assert plain[-1] > 1.5 * plain[0]


def test_a_penalty_of_the_slope_makes_the_wasserstein_game_converge_at_the_predicted_rate():
    """Towards slope 0 the update is linear: [[1, eta], [-eta, 1 - 2 eta lambda]]."""
    strength = 0.5
    penalty = GradientPenalty(strength, target=0.0)
    path = states((0.6, 0.8), WassersteinLoss(), 0.0, 150, 2, penalty)
    update = np.array([[1, RATE], [-RATE, 1 - 2 * RATE * strength]])
    powers = [np.linalg.matrix_power(update, n) @ (0.6, 0.8) for n in range(1, 151)]
    np.testing.assert_allclose(path, powers, atol=1e-12)
    # The modulus of both eigenvalues is the root of the determinant, since lambda < 1.
    assert np.abs(np.linalg.eigvals(update)).max() == pytest.approx(
        math.sqrt(1 - 2 * RATE * strength + RATE**2)
    )
    assert np.linalg.norm(path[-1]) < 1e-5


def test_wgan_gp_comes_nearer_to_the_truth_and_stays_there():
    """Towards slope 1 the players circle within a bound, while the plain update diverges.

    The critic keeps to one side of the truth until phi outweighs 2 lambda, the pull of the penalty
    at psi = 0: WGAN-GP does not reach the equilibrium (Mescheder et al. 2018).
    """
    strength, start, iterations = 0.5, (3.0, -0.5), 120
    path = states(start, WassersteinLoss(), 0.0, iterations, 2, GradientPenalty(strength))
    (phi, psi), wanted = start, []
    for _ in range(iterations):
        slope = phi + 2 * strength * (abs(psi) - 1) * math.copysign(1, psi)
        phi, psi = phi + RATE * psi, psi - RATE * slope
        wanted.append((phi, psi))
    np.testing.assert_allclose(path, wanted, atol=1e-9)
    assert np.abs(path[-60:]).max() < 1.7
    plain = np.linalg.norm(start) * math.sqrt(1 + RATE**2) ** iterations
    assert plain > 30
