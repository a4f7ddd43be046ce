"""Signal diagnostics: every table and figure on simulated signals, from one call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from custom.analysis.dwi.by_noise import errors_by_noise, errors_by_scale
from custom.analysis.dwi.calibration import calibration_by_noise, sampling_estimator
from custom.analysis.dwi.compared_networks import ComparedNetwork, usable_networks
from custom.analysis.dwi.diagnostic_figures import STRONGEST, SignalResults, signal_figures
from custom.analysis.dwi.error_figures import styles_of
from custom.analysis.dwi.estimators import (
    SignalEstimator,
    classical_estimators,
    network_estimator,
)
from custom.analysis.dwi.latents import LatentMeasures, latent_rows, measure_latents
from custom.analysis.dwi.mixture import SignalMixture
from custom.analysis.dwi.samples import SignalSamples
from custom.data.datasets.signal_batches import LatticeSplit
from custom.evaluation.diagnostics_folder import write_diagnostics
from custom.files.csv_table import write_table
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.noise import ClippedGaussianNoise, NoiseModel, PublishedLevels
from custom.physics.diffusion.priors import BoxPrior, SignalPrior, TensorLattice
from custom.physics.diffusion.simulation import SignalSimulation
from custom.setting_checks import check_above_zero, check_whole

__all__ = ["SignalDiagnostics"]

logger = logging.getLogger(__name__)

_LATENT_SIGNALS = 9000
_DIPY_SIGNALS = 100  # that DIPY fits, one at a time
_OWN_DRAWS = 1000  # for each signal, at weak noise
_TEST_SHARE = 0.2  # as the paper's networks are trained (vae.yaml)
_RECONSTRUCTED = 4
# Fewest signals of each level of the mixture.
_LEAST_MIXTURE = 2 * len(PublishedLevels().values)

Rows = list[dict[str, Any]]


class SignalDiagnostics:
    """Measure networks on simulated signals, beside classical estimators and the Bayes limit.

    Writes into ``<output_dir>/diagnostics`` figures with captions, ``diagnostics.json``, and the
    tables ``by_noise.csv``, ``limits.csv``, ``mixture.csv``, ``calibration.csv``, ``scale.csv`` and
    ``latents.csv``. The mixture is of tensors of the paper's box, and left out with another prior.

    Args:
        networks: The networks to compare; one without weights, or for another protocol, is left out
            with a warning, and with none nothing is written.
        table: The protocol.
        prior: Prior of the signals, except for the mixture of levels. A lattice is replaced by the
            box that it fills: on its own points an estimator can cheat at weak noise.
        noise: Noise of the measurements.
        output_dir: Output folder of the evaluation.
        sigmas: Noise levels of the tables, in units of ``S_0``.
        signals: Number of signals at each; the mixture has six times as many, and its limit is
            computed for a tenth of these.
        lattice_points: Values of each element of the mixture's tensors.
        draws: Draws from the prior for the posterior mean, shared by all signals.
        seed: Seed of all random draws.

    Raises:
        ValueError: If a number is out of its range.

    Source:
        docs/methods/dwi_vae.md.
    """

    def __init__(
        self,
        networks: Sequence[ComparedNetwork],
        table: GradientTable,
        prior: SignalPrior,
        noise: NoiseModel,
        output_dir: str | Path,
        sigmas: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.4, 0.9),
        signals: int = 500,
        lattice_points: int = 10,
        draws: int = 100_000,
        seed: int = 0,
    ) -> None:
        check_whole("signals", signals, 2)
        for sigma in sigmas:
            check_above_zero("sigmas", sigma)
        self.networks, self.table, self.noise = networks, table, noise
        self.prior = BoxPrior() if isinstance(prior, TensorLattice) else prior
        self.output_dir = Path(output_dir)
        self.sigmas, self.signals, self.seed = sorted(sigmas), signals, seed
        self.lattice_points = lattice_points
        self.settings: dict[str, Any] = {"draws": draws, "own_draws": _OWN_DRAWS}
        self.simulation = SignalSimulation(table, self.prior, noise, PublishedLevels())

    def write(self) -> Path | None:
        """Measure, draw, write, and return the folder, or None if no network can be used."""
        networks = usable_networks(self.networks, self.table)
        if not networks or bool(self.table.unweighted.all()):
            logger.warning("no signal diagnostics: no network was trained for this protocol")
            return None
        results = self.measure(networks)
        if not results.tables["by_noise"]:
            logger.warning("no signal diagnostics: the limit is known at none of the noise levels")
            return None
        folder = write_diagnostics(self.output_dir, signal_figures(results))
        for name, rows in results.tables.items():
            if rows:
                write_table(folder / f"{name}.csv", tuple(rows[0]), rows)
        logger.info("signal diagnostics: %s", folder)
        return folder

    def measure(self, networks: dict[str, ComparedNetwork]) -> SignalResults:
        """Return all results.

        Args:
            networks: Networks from :func:`custom.analysis.dwi.compared_networks.usable_networks`.
        """
        plain = [
            SignalEstimator(name, network_estimator(item.network, self.table))
            for name, item in networks.items()
        ]
        drawn = [
            SignalEstimator(name, sampling_estimator(item.network))
            for name, item in networks.items()
            if isinstance(item.network, SignalAutoencoder) and item.network.variational
        ]
        estimators = [*classical_estimators(self.table, min(_DIPY_SIGNALS, self.signals)), *plain]
        samples = self._samples(self.noise)
        sigmas = samples.known(self.sigmas)
        latents = self._latents(networks)
        tables: dict[str, Rows] = {
            "by_noise": errors_by_noise(estimators, samples, sigmas),
            "limits": samples.limits(sigmas),
            "mixture": self._mixture(estimators),
            "calibration": calibration_by_noise([*plain, *drawn], samples, sigmas),
            "scale": self._scale(networks, samples, sigmas),
            "latents": [row for item in latents for row in latent_rows(item)],
        }
        curves = {name: item.curves() for name, item in networks.items()}
        return SignalResults(
            tables=tables,
            styles=styles_of([estimator.name for estimator in estimators]),
            latents=latents,
            reconstructions=self._reconstructions(plain),
            curves={name: found for name, found in curves.items() if found},
            b_rows=self.table.b_rows,
            signals=self.signals,
        )

    def _samples(self, noise: NoiseModel, **settings: Any) -> SignalSamples:
        """Return the signals of the tables by noise level."""
        settings |= self.settings
        return SignalSamples(
            self.prior, noise, self.table.b_rows, self.signals, self.seed, **settings
        )

    def _mixture(self, estimators: Sequence[SignalEstimator]) -> Rows:
        """Measure the paper's mixture of levels, if the prior is the paper's."""
        if not isinstance(self.prior, BoxPrior):
            return []
        lattice = TensorLattice(self.lattice_points)
        # Tensors that the paper's networks were not trained on.
        split = LatticeSplit(self.simulation, lattice, _TEST_SHARE)
        count = max(6 * self.signals, _LEAST_MIXTURE)
        counts = count, max(count // 10, _LEAST_MIXTURE)
        mixture = SignalMixture(split, lattice, self.noise, *counts, self.seed, **self.settings)
        return mixture.table(estimators)

    def _scale(
        self,
        networks: Mapping[str, ComparedNetwork],
        samples: SignalSamples,
        sigmas: Sequence[float],
    ) -> Rows:
        """Measure the cost of an estimated scale, if one can be estimated and matters."""
        every = {
            name: item.network
            for name, item in networks.items()
            if getattr(item.network, "of_signal", True)  # a tensor does not depend on the scale
        }
        if not every or not self.table.unweighted.any():
            return []
        unknown = None
        if isinstance(self.noise, ClippedGaussianNoise):
            unknown = self._samples(ClippedGaussianNoise(clip=False), scale_known=False)
        # Autoencoders only where there is nothing else: their lines would hide the others.
        ours = {n: net for n, net in every.items() if not isinstance(net, SignalAutoencoder)}
        return errors_by_scale(ours or every, self.table, samples, sigmas, unknown)

    def _latents(self, networks: Mapping[str, ComparedNetwork]) -> list[LatentMeasures]:
        """Measure the latents of autoencoders over signals at the paper's levels."""
        generator = Generator().manual_seed(self.seed + 10)
        drawn = self.simulation.draw(_LATENT_SIGNALS, generator)
        return [
            measure_latents(name, item.network, drawn["image"], drawn["label"])
            for name, item in networks.items()
            if isinstance(item.network, SignalAutoencoder)
        ]

    def _reconstructions(
        self, estimators: Sequence[SignalEstimator]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Restore a few signals at the paper's strongest noise."""
        generator = Generator().manual_seed(self.seed + 20)
        clean = self.prior.draw(_RECONSTRUCTED, self.table.b_rows, generator).signal
        sigma = torch.full_like(clean[:, :1], STRONGEST)
        noisy = self.noise.add(clean, sigma, generator)
        found = {item.name: item.estimate(noisy, sigma).signal for item in estimators}
        restored = {name: signal for name, signal in found.items() if signal is not None}
        return clean, noisy, restored
