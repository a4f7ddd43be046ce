"""Checks that train, evaluate and restore with a bundle, on its small demonstration set."""

from __future__ import annotations

import csv
import json
import math
from typing import TYPE_CHECKING

from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.checks_inference import restores_twice_the_same
from custom.bundle.verification.checks_network import fits_network
from custom.bundle.verification.outcome import CheckFailed
from custom.bundle.verification.workflows import forget_seeds, open_workflow, run

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["deterministic", "evaluate", "train"]


def train(bundle: BundleFolder) -> None:
    """Training steps change every weight that they should and leave usable checkpoints."""
    import torch

    output = bundle.new_folder("train")
    workflow = open_workflow(bundle, "train", output, ckpt_dir=str(output / "models"), max_epochs=2)
    network = workflow.parser.get_parsed_content("network")
    before = {name: value.clone() for name, value in network.named_parameters()}
    workflow.run()
    workflow.finalize()
    steps = workflow.trainer.state.iteration
    if steps < 2:
        raise CheckFailed(f"training ended after {steps} steps, expected at least 2")
    still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    if still:
        raise CheckFailed(f"training left the parameter {still[0]} as it was")
    for name in ("model.pt", "last.pt"):
        if not (output / "models" / name).is_file():
            raise CheckFailed(f"training wrote no {name} into ckpt_dir")
    fits_network(bundle, output / "models" / "model.pt")


def evaluate(bundle: BundleFolder) -> None:
    """Evaluation writes finite numbers for every case, and a summary."""
    output = bundle.new_folder("evaluate")
    run(bundle, "evaluate", output)
    for name in ("metrics.csv", "summary.json"):
        if not (output / name).is_file():
            raise CheckFailed(f"evaluation wrote no {name} into output_dir")
    with (output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    values = [value for row in rows for value in map(_number, row.values()) if value is not None]
    if not values or not all(map(math.isfinite, values)):
        raise CheckFailed(f"metrics.csv has {len(rows)} rows, of which a number is not finite")
    if not json.loads((output / "summary.json").read_text(encoding="utf-8")):
        raise CheckFailed("summary.json is empty")


def deterministic(bundle: BundleFolder) -> None:
    """The same seed twice gives the same weights and the same voxels."""
    import torch

    first, second = (_train_once(bundle, f"deterministic_{index}") for index in (1, 2))
    odd = [name for name, value in first.items() if not torch.equal(value, second[name])]
    if odd:
        raise CheckFailed(f"two trainings with seed 7 gave different weights: {odd[0]}")
    restores_twice_the_same(bundle)


def _train_once(bundle: BundleFolder, name: str) -> dict[str, Tensor]:
    """Train for one epoch with seed 7 and return the best weights."""
    import torch

    output = bundle.new_folder(name)
    forget_seeds()
    run(bundle, "train", output, ckpt_dir=str(output / "models"), max_epochs=1, seed=7)
    file = output / "models" / "model.pt"
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _number(text: str | None) -> float | None:
    """Return a cell as a number, or None for words and empty cells."""
    try:
        return float(text or "")
    except ValueError:
        return None
