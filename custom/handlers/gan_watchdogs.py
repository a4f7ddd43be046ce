"""Stop a failed adversarial training before its last good state is overwritten."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import IterationEvents
from monai.utils import convert_to_tensor
from torch import Tensor

from custom.handlers.nan_guard import refuse_to_go_on
from custom.setting_checks import check_whole

__all__ = ["GanWatchdogs", "diversity"]

_LOSSES = (
    *("loss", "critic_loss", "critic_penalty"),
    *("adversarial_loss", "pixel_loss", "feature_loss"),
)
_COUNTS = ("first_variance", "low_variance", "low_diversity")
_PLAYERS = {"network": "generator", "critic": "critic", "extractor": "extractor"}
_LOSS_BOUND = 1.0e4
_MIN_FEATURE_VARIANCE, _MIN_DIVERSITY = 1.0e-3, 0.05  # of the first, of the references'


class GanWatchdogs:
    """End the run with one clear line when a player has failed.

    - **Divergence**: a loss is not finite or beyond 10,000, checked before the weights are changed;
      or, at the end of an epoch, a weight is not finite.
    - **Extractor collapse**: the feature variance lies below 0.001 times its first value for
      ``patience`` consecutive iterations. The extractor's loss rewards equal features, and features
      that ignore their volume are equal for every pair. The trainer's variance is over the volumes
      of a step, so that a fixed map is detected as well as a constant; at one volume a step it is
      over positions, and only constant features are detected. A step whose volumes are all the
      same, or one volume where the first step had more, is not counted.
    - **Mode collapse**: variation (:func:`diversity`) is below 0.05 of the references' for as long.

    List it after the handler that validates and before those that write. While one of the two
    counts is above 0, :meth:`trusted` is false: given to ``CheckpointWriter``, it prevents a
    doubtful state from replacing the last good one. The diversity is a metric,
    ``train_diversity``, the mean over the epoch.

    Args:
        checkpoint: Path of the last good state of the training, for the message.
        patience: Consecutive iterations that a collapse must last.

    Raises:
        ValueError: If ``patience < 1``.
        InputError: While running, if a player has failed.
    """

    def __init__(self, checkpoint: str | Path, patience: int = 200) -> None:
        check_whole("patience", patience, 1)
        self.checkpoint = Path(checkpoint)
        self.patience = patience
        self.first_variance = 0.0
        self.low_variance, self.low_diversity = 0, 0
        self._several: bool | None = None
        self._diversities: list[float] = []

    def attach(self, engine: Any) -> None:
        """Watch the losses of each step and the weights of each epoch."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._check_step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check_weights)

    def trusted(self) -> bool:
        """Return True if no collapse has begun."""
        return self.low_variance == 0 and self.low_diversity == 0

    def _check_step(self, engine: Any) -> None:
        """Check the losses and variances of this step."""
        values = self._values(engine.state.output)
        for name in _LOSSES:
            # Negated, so that NaN is refused, too: every comparison with it is false.
            if not abs(values.get(name, 0.0)) <= _LOSS_BOUND:
                self._refuse(engine, f"the training diverged: its {name} is {values[name]:g}", 0)
        variance = values.get("feature_variance", 0.0)
        if self._comparable(len(engine.state.output["label"]), values):
            # A training that is resumed has this from its checkpoint.
            self.first_variance = self.first_variance or variance
            low = variance < _MIN_FEATURE_VARIANCE * self.first_variance
            self.low_variance = self.low_variance + 1 if low else 0
        low = values["diversity"] < _MIN_DIVERSITY
        self.low_diversity = self.low_diversity + 1 if low else 0
        self._diversities.append(values["diversity"])
        if self.low_variance >= self.patience:
            share = variance / self.first_variance
            found = f"the extractor collapsed: its feature variance is {share:.2g} of the first"
            self._refuse(engine, f"{found}, for {self.patience} iterations", 1)
        if self.low_diversity >= self.patience:
            found = f"the generator collapsed: its diversity is {values['diversity']:.2g}"
            self._refuse(engine, f"{found} of the references', for {self.patience} iterations", 2)

    def _comparable(self, volumes: int, values: Mapping[str, float]) -> bool:
        """Return True if the feature variance of this step is comparable with the first one."""
        several = volumes > 1
        self._several = several if self._several is None else self._several
        # The features of equal volumes are equal for any extractor.
        return several == self._several and not (several and values["differ"] == 0)

    def _values(self, output: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the watched numbers, with one synchronisation of the device."""
        scalars = {name: output[name] for name in (*_LOSSES, "feature_variance") if name in output}
        prediction, label = (convert_to_tensor(output[key]) for key in ("pred", "label"))
        scalars["diversity"] = diversity(prediction, label)
        scalars["differ"] = _varies(label, _spread(label, "between"))
        stacked = torch.stack([value.detach().double() for value in scalars.values()])
        return dict(zip(scalars, stacked.tolist(), strict=True))

    def _check_weights(self, engine: Any) -> None:
        """Check the weights before they are saved."""
        if self._diversities:
            finite = [value for value in self._diversities if math.isfinite(value)]
            engine.state.metrics["train_diversity"] = sum(finite) / max(len(finite), 1)
            self._diversities = []
        for attribute, player in _PLAYERS.items():
            network = getattr(engine, attribute, None)
            if network is None:
                continue
            for name, tensor in network.state_dict().items():
                if not tensor.isfinite().all():
                    found = f"the training diverged: {name} of the {player} is not finite"
                    self._refuse(engine, found, 0)

    def _refuse(self, engine: Any, found: str, remedy: int) -> None:
        """Raise with the fault, the remedy, and the path of the last good state."""
        rate = engine.optimizer.param_groups[0]["lr"]
        advice = (
            f"lower learning_rate (now {rate:g}) or set clip_norm",
            "set train_extractor false, or lower the extractor's learning rate",
            "raise pixel_weight, lower adversarial_weight, or let the instance noise last longer",
        )[remedy]
        refuse_to_go_on(engine, f"{found},", advice, self.checkpoint)

    def state_dict(self) -> dict[str, float | int]:
        """Return the first feature variance and the counts."""
        return {name: getattr(self, name) for name in _COUNTS}

    def load_state_dict(self, state: Mapping[str, float | int]) -> None:
        """Restore the counts of the resumed training."""
        for name in _COUNTS:
            setattr(self, name, state[name])


def diversity(generated: Tensor, reference: Tensor) -> Tensor:
    r"""Return the variation of generated volumes relative to that of their references.

    .. math:: \min\left(\frac{s_w(y)}{s_w(x)}, \frac{s_b(y)}{s_b(x)}\right)

    :math:`s_w` is the standard deviation within a volume (root of the mean variance over its
    voxels), :math:`s_b` the one between the volumes of a batch (root of the mean variance over the
    batch, voxel by voxel). 1: as diverse as the references; 0: a constant volume, or the same one
    for every input. A ratio whose reference does not vary, as the second at batch size 1, is left
    out; without both the result is 1.

    Args:
        generated: Generated volumes :math:`y`.
        reference: Their references :math:`x`.

    Shape:
        Both ``(B, C, *spatial)``; result: scalar.
    """
    ratios = []
    for over in ("within", "between"):
        spread, wanted = (_spread(volumes, over) for volumes in (generated, reference))
        ratios.append(torch.where(_varies(reference, wanted), spread / wanted, torch.inf))
    smallest = torch.stack(ratios).amin()
    return torch.where(smallest.isposinf(), torch.ones_like(smallest), smallest)


def _spread(volumes: Tensor, over: str) -> Tensor:
    """Return the standard deviation within the volumes or between them."""
    flat = volumes.detach().flatten(1)
    # Half precision is too coarse for a sum of squares.
    flat = flat if flat.dtype == torch.float64 else flat.float()
    return flat.var(dim=1 if over == "within" else 0, correction=0).mean().sqrt()


def _varies(volumes: Tensor, spread: Tensor) -> Tensor:
    """Return True if a deviation of the volumes is above the rounding error of 0."""
    return spread > 1e-5 * volumes.detach().double().square().mean().sqrt()
