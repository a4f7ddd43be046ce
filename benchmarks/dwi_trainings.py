"""The trainings of the results of ``dwi_vae``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import REPOSITORY
from custom.bundle.launch import run_bundle
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser

BUNDLE = REPOSITORY / "bundles" / "dwi_vae"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Training:
    """A training and the network that comes of it.

    Attributes:
        title: In tables.
        overlays: Configs after train.yaml.
        settings: Config ids and their values.
        network: Arguments of the network's class, for the measurements.
    """

    title: str
    overlays: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)

    def build(self) -> torch.nn.Module:
        """Make the network, without weights."""
        if "vae" in self.overlays:
            return SignalAutoencoder(**self.network)
        return TensorInformedDenoiser(**self.network)


def trainings() -> dict[str, Training]:
    """Return every training by name."""
    found = {
        "ours": Training("ours"),
        "tensor": Training("ours, tensor head", ("tensor",), {}, {"head": "tensor"}),
        "blind": Training("ours, blind", ("blind",), {}, {"with_sigma": False}),
        "rician": Training("ours, Rician", ("rician",)),
        "scaled": Training(
            "ours, S0 by b = 50",
            (),
            {
                "scale_rule": "b0",
                "network_def::with_scale": True,
                "levels::highest": 0.5,  # beyond, the mean of two volumes is no scale
                "max_epochs": 10,
            },
            {"with_scale": True},
        ),
    }
    for seed in SEEDS:
        of = {"seed": seed}
        found[f"vae_{seed}"] = Training("VAE", ("vae",), of)
        found[f"dae_relu_{seed}"] = Training("DAE", ("vae", "dae"), of, {"kind": "relu"})
        linear = {"latent_kind": "linear"}
        found[f"dae_linear_{seed}"] = Training(
            "DAE, linear latents", ("vae", "dae"), of | linear, {"kind": "linear"}
        )
    found["vae_nokld"] = Training("VAE, no KLD", ("vae",), {"kld_weight": 0})
    found["vae_latent10"] = Training("VAE, 10 latents", ("vae",), {"latent": 10}, {"latent": 10})
    late = {"kld_start": 16, "kld_step": None}
    found["vae_delayed"] = Training("VAE, KLD from epoch 16", ("vae",), late)
    for kind in ("l1", "mse"):
        title = f"VAE, {kind.upper()}"
        found[f"vae_{kind}"] = Training(title, ("vae",), {"reconstruction": kind})
    return found


def train(name: str, training: Training, work: Path, given: dict[str, Any]) -> None:
    """Train, or go on with a training that was stopped, unless it is done."""
    folder = work / name
    last = folder / "models" / "last.pt"
    resume = {"resume": True} if last.is_file() else {}
    ids = {"output_dir": str(folder), "use_mlflow": False, "val_interval": 1}
    run_bundle(BUNDLE, ["train", *training.overlays], training.settings | ids | resume | given)
