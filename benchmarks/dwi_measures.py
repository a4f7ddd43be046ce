"""What is measured of the trained networks of diffusion signals."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.dwi_trainings import trainings
from custom.analysis.dwi.compared_networks import ComparedNetwork
from custom.analysis.dwi.estimators import refit
from custom.analysis.dwi.signal_diagnostics import SignalDiagnostics
from custom.data.datasets.signal_batches import HeldOutSignals, LatticeSplit
from custom.files.csv_table import read_table
from custom.networks.saved_weights import load_weights
from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.noise import (
    ClippedGaussianNoise,
    NoiseModel,
    PublishedLevels,
    RicianNoise,
)
from custom.physics.diffusion.priors import BoxPrior, TensorLattice
from custom.physics.diffusion.simulation import SignalSimulation


def signal_diagnostics(
    names: list[str], work: Path, table: GradientTable, noise: NoiseModel, signals: int
) -> Path:
    """Measure networks on simulated signals; return the folder of tables and figures."""
    known = trainings()
    kind = "rician" if isinstance(noise, RicianNoise) else "gaussian"
    networks = [
        ComparedNetwork(
            known[name].title,
            known[name].build(),
            work / name / "models" / "model.pt",
            work / name / "metrics.csv",
        )
        for name in names
        if (work / name / "models" / "model.pt").is_file()
    ]
    made = SignalDiagnostics(
        networks, table, BoxPrior(), noise, work / f"signals_{kind}", signals=signals
    ).write()
    if made is None:
        raise SystemExit(f"{work} holds no trained network: run without --skip-training")
    return made


def seeds_table(work: Path, table: GradientTable, count: int = 9000) -> list[dict[str, Any]]:
    """Measure every autoencoder on the same signals of held-out tensors, at the paper's levels."""
    simulation = SignalSimulation(table, BoxPrior(), ClippedGaussianNoise(), PublishedLevels())
    split = LatticeSplit(simulation, TensorLattice())
    # Other signals than those that chose the epoch of each network.
    batch = next(iter(HeldOutSignals(simulation, count, split, batch_size=count, seed=1)))
    groups: dict[str, list[dict[str, float]]] = {}
    for name, training in trainings().items():
        weights = work / name / "models" / "model.pt"
        if "vae" not in training.overlays or not weights.is_file():
            continue
        network = training.build().eval()
        load_weights(weights, network)
        with torch.no_grad():
            restored = network(batch["image"])
        tensors = refit(restored, table.b_rows) * 1e-3  # mm²/s
        difference = tensors.double() - 1e-3 * batch["tensor"].double()
        groups.setdefault(training.title, []).append(
            {
                "signal_mse": (restored - batch["label"]).double().square().mean().item(),
                "tensor_mse": difference.square().mean().item(),
                "tensor_mae": difference.abs().mean().item(),
                "epochs": len(read_table(work / name / "metrics.csv", ("epoch",))),
            }
        )
    return [{"title": title, **_over_seeds(rows)} for title, rows in groups.items()]


def _over_seeds(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Return mean and deviation over the seeds of each measure."""
    found: dict[str, Any] = {"seeds": len(rows), "epochs": int(min(r["epochs"] for r in rows))}
    for name in ("signal_mse", "tensor_mse", "tensor_mae"):
        values = [row[name] for row in rows]
        found[name] = statistics.fmean(values)
        found[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else None
    return found


def clean_error(work: Path, table: GradientTable, count: int = 5000) -> float:
    """Return the mean squared change of signals without noise by our network."""
    network = trainings()["ours"].build().eval()
    load_weights(work / "ours" / "models" / "model.pt", network)
    drawn = BoxPrior().draw(count, table.b_rows, torch.Generator().manual_seed(7))
    with torch.no_grad():
        restored = network(drawn.signal, torch.zeros(count, 1))[:, : len(table)]
    return float((restored - drawn.signal).double().square().mean())
