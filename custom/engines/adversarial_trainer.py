"""Train a generator against a critic, with a feature extractor or without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from ignite.metrics import Metric
from monai.engines import IterationEvents, Trainer, Workflow
from monai.inferers import Inferer, SimpleInferer
from monai.utils import convert_to_tensor
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from custom.engines.batch_groups import BatchGroups
from custom.engines.running_terms import RunningTerms
from custom.losses.relativistic_loss import RelativisticAverageLoss
from custom.setting_checks import check_above_zero, check_not_negative, check_whole

__all__ = ["AdversarialTrainer"]


class AdversarialTrainer(Trainer):
    r"""MONAI trainer of a generator, a critic and an optional feature extractor.

    .. math:: L_G = w_f\, d(F(y), F(x)) + w_p\, \overline{|x - y|} + w_a\, L_G^{adv}

    with references :math:`x`, generated :math:`y`, and :math:`d` the mean absolute difference
    unless another is given. The critic minimises its adversarial loss and its penalty, the
    extractor :math:`d(F(y), F(x))`, as the generator does. All gradients are of the same state of
    the networks; then all are stepped.

    Three players have a trained extractor; DISGAN has another critic; WGAN-GP has a
    ``WassersteinLoss``, a ``GradientPenalty`` and five ``critic_steps``. A frozen extractor makes a
    perceptual loss of the features.

    Nothing is computed twice. One pass of the critic over each kind of volume serves its own loss
    (gradient of its weights alone) and the generator's (gradient of the generated volume alone); so
    does one pass of the extractor. The summed gradients of the generated volume go through the
    generator once. Real and generated volumes have separate passes, so that the backward pass to
    the generated volume leaves the real half out.

    ``output`` holds ``image``, ``label``, ``pred`` (detached), ``loss`` (of the generator),
    ``critic_loss``, ``critic_penalty``, ``adversarial_loss``, ``pixel_loss``, ``feature_loss``,
    ``feature_variance`` (of the references' features over the batch, or over positions if that is
    one volume; 0 if the features ignore the volume), ``critic_real`` and ``critic_fake`` (mean
    scores). Their means over an epoch, but for ``loss``, are metrics, as ``train_critic_loss``.
    ``LOSS_COMPLETED`` fires before the simultaneous steps.

    Args:
        device, train_data_loader, key_train_metric, train_handlers: As in MONAI.
        network, optimizer: The generator and its optimizer.
        critic, critic_optimizer: The critic, which gives logits, one a volume or a map.
        extractor: Gives features ``(B, F, *spatial)``; None: there is no feature loss.
        extractor_optimizer: Optimizer of the extractor; may be None if it is not trained.
        train_extractor: False freezes the extractor, in evaluation mode.
        adversarial_loss: With methods ``critic(real, fake)`` and ``generator(real, fake)``.
        critic_penalty: Of the critic and its inputs of both kinds, added to its loss, as
            :class:`custom.losses.gradient_penalty.GradientPenalty`; None: none.
        feature_loss: ``d``, of the features of a result and of its reference; None: absolute.
        feature_weight, pixel_weight, adversarial_weight: ``w_f``, ``w_p``, ``w_a``.
        instance_noise: Applied to every input of the critic; attached if it is a handler, as
            :class:`custom.handlers.instance_noise.InstanceNoise`.
        critic_steps: Updates of the critic per update of the others, all but the last beforehand.
            Each has a batch of its own: an iteration takes ``critic_steps`` batches of the loader.
            Where it has too few left, the last ones are used again, with fresh noise.
        clip_norm: Largest norm of a player's gradient; None: not bounded.
        inferer: Applies the generator.
        amp: Mixed precision, on a CUDA device only.
        scaler: Gradient scaler of mixed precision; give one to keep its state in a checkpoint.
        settings: Further arguments of MONAI's trainers, as ``max_epochs``, ``prepare_batch``.

    Shape:
        ``image``: ``(B, 1, *low)``; ``label``: ``(B, 1, *high)``, the generator's output.

    Raises:
        ValueError: If a number is out of its range, or a trained extractor has no optimizer.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Losses" and "Optimisation". The published code
        alternates, and gives the features the weight 0.01 and the pixels 1.
    """

    def __init__(
        self,
        device: str | torch.device,
        train_data_loader: Iterable[Any] | DataLoader[Any],
        network: nn.Module,
        optimizer: Optimizer,
        critic: nn.Module,
        critic_optimizer: Optimizer,
        extractor: nn.Module | None = None,
        extractor_optimizer: Optimizer | None = None,
        train_extractor: bool = True,
        adversarial_loss: Any = None,
        critic_penalty: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
        feature_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        feature_weight: float = 1.0,
        pixel_weight: float = 0.01,
        adversarial_weight: float = 0.005,
        instance_noise: Callable[[Tensor], Tensor] | None = None,
        critic_steps: int = 1,
        clip_norm: float | None = None,
        inferer: Inferer | None = None,
        key_train_metric: dict[str, Metric] | None = None,
        train_handlers: Sequence[Any] | None = None,
        amp: bool = False,
        scaler: torch.amp.GradScaler | None = None,
        **settings: Any,
    ) -> None:
        check_not_negative("feature_weight", feature_weight)
        check_not_negative("pixel_weight", pixel_weight)
        check_not_negative("adversarial_weight", adversarial_weight)
        check_whole("critic_steps", critic_steps, 1)
        if clip_norm is not None:
            check_above_zero("clip_norm", clip_norm)
        self.terms = RunningTerms()
        groups = BatchGroups(train_data_loader, critic_steps)
        settings["epoch_length"] = settings.get("epoch_length") or len(groups)
        own = [self.terms, *([instance_noise] if hasattr(instance_noise, "attach") else [])]
        super().__init__(
            device=device,
            data_loader=train_data_loader,
            key_metric=key_train_metric,
            handlers=[*own, *(train_handlers or [])],
            amp=amp and torch.device(device).type == "cuda",
            **settings,
        )
        self.data_loader = groups  # MONAI looks at the loader itself for a distributed sampler
        self.network, self.critic, self.extractor = network, critic, extractor
        self.optimizer = optimizer  # handlers read its rate
        self.players = [(network, optimizer), (critic, critic_optimizer)]
        self.feature_loss = feature_loss or l1_loss
        self.feature_weight, self.pixel_weight = feature_weight, pixel_weight
        self.adversarial_weight = adversarial_weight
        self.train_extractor = extractor is not None and train_extractor
        if extractor is not None and self.train_extractor:
            if extractor_optimizer is None:
                raise ValueError("extractor_optimizer must be given, or train_extractor be False")
            self.players.append((extractor, extractor_optimizer))
        elif extractor is not None:
            extractor.requires_grad_(False)
        self.adversarial_loss = adversarial_loss or RelativisticAverageLoss()
        self.critic_penalty = critic_penalty
        self.instance_noise = instance_noise or (lambda volume: volume)
        self.critic_steps, self.clip_norm = critic_steps, clip_norm
        self.inferer = inferer or SimpleInferer()
        self.grad_scaler = scaler or torch.amp.GradScaler("cuda", enabled=self.amp)

    def run(self) -> None:  # type: ignore[override]
        """Train. MONAI's own would make a new scaler."""
        Workflow.run(self)

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        """Update all players once, the critic ``critic_steps`` times."""
        self._begin()
        critic_optimizer = self.players[1][1]
        for number in range(self.critic_steps - 1):
            with torch.no_grad():
                generated, label = self._generate(batchdata[number % len(batchdata)])
            self._criticise(label, _full(generated))
            self._step(self.critic, critic_optimizer)
            self.grad_scaler.update()
            critic_optimizer.zero_grad(set_to_none=True)
        # Handlers and decollation get the batch of the step of all players.
        self.state.batch = batchdata[(self.critic_steps - 1) % len(batchdata)]
        generated, label = self._generate(self.state.batch)
        # Half precision ends here: the gradients of the players are summed in full.
        fake: Any = _full(generated).detach().requires_grad_()
        self.state.output["pred"] = fake.detach()
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        self._compute_gradients(label, fake)
        self.fire_event(IterationEvents.LOSS_COMPLETED)
        generated.backward(fake.grad.to(generated.dtype))
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        for network, optimizer in self.players:
            self._step(network, optimizer)
        self.grad_scaler.update()
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output

    def _begin(self) -> None:
        """Set the modes of the networks and clear their gradients."""
        if self.extractor is not None:
            self.extractor.eval()
        for network, optimizer in self.players:
            network.train()
            optimizer.zero_grad(set_to_none=True)

    def _autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.state.device.type, enabled=self.amp, **self.amp_kwargs)

    def _generate(self, batchdata: Any) -> tuple[Any, Tensor]:
        """Return the generator's volumes for a batch, and the references."""
        place = (self.state.device, self.non_blocking)
        batch = self.prepare_batch(batchdata, *place, **self.to_kwargs)
        inputs, targets, args, kwargs = batch if len(batch) == 4 else (*batch, (), {})
        # Plain tensors: the losses need no geometry, and it slows every operation.
        image, label = (convert_to_tensor(x, track_meta=False) for x in (inputs, targets))
        self.state.output = {"image": inputs, "label": targets}
        with self._autocast():
            generated = self.inferer(image, self.network, *args, **kwargs)
        if generated.shape != label.shape:
            shapes = f"{tuple(generated.shape)} and {tuple(label.shape)}"
            raise ValueError(f"prediction and label must have one shape, got {shapes}")
        return generated, label

    def _compute_gradients(self, label: Tensor, fake: Tensor) -> None:
        """Compute the gradients of critic, extractor and ``fake``, and the terms of the output."""
        # The features come first: their gradient is weighted after the backward pass.
        terms = self._compare_features(label, fake)
        loss: Any = l1_loss(fake, label)
        self.grad_scaler.scale(self.pixel_weight * loss).backward(inputs=[fake])
        terms |= {"pixel_loss": loss.detach(), **self._criticise(label, fake)}
        output: dict[str, Any] = self.state.output
        output["loss"] = sum(
            getattr(self, f"{name}_weight") * terms[f"{name}_loss"]
            for name in ("adversarial", "pixel", "feature")
            if f"{name}_loss" in terms
        )
        output.update(terms)
        self.terms.keep(**terms)

    def _compare_features(self, label: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Compare the features, with the extractor's and the generator's gradient in one pass."""
        if self.extractor is None:
            return {}
        with self._autocast():
            # Only a learning extractor needs the graph of the references' features.
            with torch.set_grad_enabled(self.train_extractor):
                wanted = self.extractor(label)
            loss: Any = self.feature_loss(self.extractor(fake), wanted)
        weights = list(self.extractor.parameters()) if self.train_extractor else []
        self.grad_scaler.scale(loss).backward(inputs=[fake, *weights])
        if fake.grad is not None:
            # The weight is the generator's: the extractor minimises the plain distance.
            fake.grad.mul_(self.feature_weight)
        features = wanted.detach().float()
        if features.shape[0] == 1:  # a single volume: the variance is over its positions
            features = features.transpose(0, 1).flatten(1).T
        variance = features.var(dim=0, correction=0).mean()
        return {"feature_loss": loss.detach(), "feature_variance": variance}

    def _criticise(self, label: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Score both; one graph for the critic's gradient and for the generator's."""
        real, shown = self.instance_noise(label), self.instance_noise(fake)
        with self._autocast():
            real_score, fake_score = self.critic(real), self.critic(shown)
            critic_loss = self.adversarial_loss.critic(real_score, fake_score)
            loss = self.adversarial_loss.generator(real_score, fake_score)
        if fake.requires_grad:
            weighted = self.grad_scaler.scale(self.adversarial_weight * loss)
            weighted.backward(inputs=[fake], retain_graph=True)
        self.grad_scaler.scale(critic_loss).backward(inputs=list(self.critic.parameters()))
        return {
            "critic_loss": critic_loss.detach(),
            **self._penalise(real, shown),
            "adversarial_loss": loss.detach(),
            "critic_real": real_score.detach().float().mean(),
            "critic_fake": fake_score.detach().float().mean(),
        }

    def _penalise(self, real: Tensor, shown: Tensor) -> dict[str, Tensor]:
        """Add the gradient of the penalty to the critic's."""
        if self.critic_penalty is None:
            return {}
        penalty: Any = self.critic_penalty(self.critic, real.detach(), shown.detach())
        self.grad_scaler.scale(penalty).backward(inputs=list(self.critic.parameters()))
        return {"critic_penalty": penalty.detach()}

    def _step(self, network: nn.Module, optimizer: Optimizer) -> None:
        """Clip the gradient if ``clip_norm`` is set, and step."""
        if self.clip_norm is not None:
            # The bound is on the true gradient, not on the scaled one.
            self.grad_scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), self.clip_norm)
        self.grad_scaler.step(optimizer)


def _full(volume: Tensor) -> Tensor:
    """Return a volume in single precision at least."""
    return volume.float() if volume.dtype in (torch.float16, torch.bfloat16) else volume
