import copy

import pytest
import torch
from ignite.engine import Events
from monai.data import MetaTensor
from monai.engines import IterationEvents
from tiny_players import pairs, tiny_players, trainer_of
from torch import nn

from custom.handlers.instance_noise import InstanceNoise
from custom.losses.gradient_penalty import GradientPenalty
from custom.losses.relativistic_loss import RelativisticAverageLoss, WassersteinLoss

WEIGHTS = {"feature_weight": 1.3, "pixel_weight": 0.4, "adversarial_weight": 0.7}


def gradients(network):
    return [None if p.grad is None else p.grad.clone() for p in network.parameters()]


def naive_gradients(players, batch, critic_steps, trained, penalty=None):
    """Make a full pass of its own for each player; the critic's extra steps come first."""
    torch.manual_seed(7)
    loss, noise = RelativisticAverageLoss(), InstanceNoise(iterations=10, seed=3)
    image, label = batch["image"], batch["label"]
    if not trained:
        players.extractor.eval()
    for number in range(critic_steps):
        players.critic_optimizer.zero_grad()
        real, fake = noise(label), noise(players.network(image))
        of_step = loss.critic(players.critic(real), players.critic(fake))
        if penalty is not None:
            of_step = of_step + penalty(players.critic, real, fake)
        of_step.backward()
        if number < critic_steps - 1:
            players.critic_optimizer.step()
    of_critic = gradients(players.critic)
    players.network.zero_grad()
    critic, extractor = copy.deepcopy(players.critic), copy.deepcopy(players.extractor)
    y = players.network(image)
    # The noise that the critic saw, on the same volumes.
    fake = y + (fake - y).detach()
    total = WEIGHTS["feature_weight"] * (extractor(y) - extractor(label)).abs().mean()
    total = total + WEIGHTS["pixel_weight"] * (y - label).abs().mean()
    adversarial = loss.generator(critic(real), critic(fake))
    (total + WEIGHTS["adversarial_weight"] * adversarial).backward()
    of_generator = gradients(players.network)
    extractor, y = players.extractor, players.network(image).detach()
    (extractor(label) - extractor(y)).abs().mean().backward()
    of_extractor = gradients(extractor) if trained else [None] * len(list(extractor.parameters()))
    return of_generator, of_critic, of_extractor


@pytest.mark.parametrize("penalty", [None, GradientPenalty(3.0)], ids=["free", "penalised"])
@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("critic_steps", [1, 2])
def test_gradients_equal_those_of_three_separate_passes(critic_steps, trained, penalty):
    kind = {"dtype": torch.float64, "optimizer": torch.optim.SGD, "lr": 0.1}
    batch = pairs(1, dtype=torch.float64)
    wanted = naive_gradients(tiny_players(**kind), batch[0], critic_steps, trained, penalty)
    players = tiny_players(**kind)
    settings = {"train_extractor": trained, "critic_penalty": penalty, **WEIGHTS}
    trainer = trainer_of(players, batch, critic_steps=critic_steps, **settings)
    torch.manual_seed(7)
    trainer.run()
    networks = (players.network, players.critic, players.extractor)
    for network, expected in zip(networks, wanted, strict=True):
        for ours, theirs in zip(gradients(network), expected, strict=True):
            if theirs is None:
                assert ours is None
            else:
                torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
        found = [gradient.abs().max() for gradient in expected if gradient is not None]
        assert not found or max(found) > 1e-4


@pytest.mark.parametrize(("number", "wanted"), [(6, [0, 1, 2, 3, 4, 5]), (4, [0, 1, 2, 3, 3, 3])])
def test_each_step_of_the_critic_has_a_batch_of_its_own_where_there_is_one(number, wanted):
    data, shown, labels = pairs(number), [], []

    def penalty(critic, real, _):
        shown.append(real)
        return 0 * sum(weight.sum() for weight in critic.parameters())

    settings = {"critic_steps": 3, "critic_penalty": penalty, "instance_noise": None}
    trainer = trainer_of(tiny_players(), data, decollate=False, **settings)
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: labels.append(engine.state.output["label"])
    )
    trainer.run()
    assert len(shown) == 6
    for found, index in zip(shown, wanted, strict=True):
        assert torch.equal(found, data[index]["label"])
    # The other players step with the last one.
    for found, index in zip(labels, wanted[2::3], strict=True):
        assert torch.equal(found, data[index]["label"])


@pytest.mark.parametrize("term", ["feature", "pixel", "adversarial"])
@pytest.mark.parametrize("loss", [RelativisticAverageLoss(), WassersteinLoss()])
def test_every_term_alone_moves_the_generator(term, loss):
    weights = {
        f"{name}_weight": float(name == term) for name in ("feature", "pixel", "adversarial")
    }
    players = tiny_players()
    trainer_of(players, pairs(1), adversarial_loss=loss, **weights).run()
    assert all(gradient.abs().max() > 1e-6 for gradient in gradients(players.network))


def test_features_can_be_compared_by_another_difference():
    found = []
    for loss in (None, nn.L1Loss(), nn.MSELoss()):
        trainer = trainer_of(tiny_players(), pairs(1), feature_loss=loss, **WEIGHTS)
        trainer.run()
        found.append(trainer.state.metrics["train_feature_loss"])
    players, batch = tiny_players(), pairs(1)[0]
    with torch.no_grad():
        found_features = players.extractor(players.network(batch["image"]))
        difference = found_features - players.extractor(batch["label"])
    assert found[0] == found[1]
    assert found[2] == pytest.approx(float(difference.square().mean()), rel=1e-5)


def test_all_step_from_the_same_state():
    """No gradient sees another player's new weights: SGD's steps are the gradients before."""
    kind = {"dtype": torch.float64, "optimizer": torch.optim.SGD, "lr": 0.1}
    batch = pairs(1, dtype=torch.float64)
    before = tiny_players(**kind)
    wanted = naive_gradients(before, batch[0], 1, True)
    players = tiny_players(**kind)
    trainer_of(players, batch, **WEIGHTS).run()
    for name, expected in zip(("network", "critic", "extractor"), wanted, strict=True):
        old, new = getattr(before, name).parameters(), getattr(players, name).parameters()
        for first, last, gradient in zip(old, new, expected, strict=True):
            torch.testing.assert_close(last, first - 0.1 * gradient, atol=1e-12, rtol=1e-10)


def test_a_frozen_extractor_does_not_change_and_none_is_needed():
    players = tiny_players()
    before = copy.deepcopy(players.extractor.state_dict())
    trainer_of(players, pairs(), epochs=2, train_extractor=False).run()
    for name, value in players.extractor.state_dict().items():
        assert torch.equal(value, before[name])
    players.extractor = players.extractor_optimizer = None
    trainer = trainer_of(players, pairs(), train_extractor=True)
    trainer.run()
    assert "train_feature_loss" not in trainer.state.metrics


def test_clipping_bounds_the_gradient_of_each_player_and_keeps_its_direction():
    kind = {"dtype": torch.float64, "optimizer": torch.optim.SGD, "lr": 0.1}
    batch = pairs(1, dtype=torch.float64)
    free, bound = tiny_players(**kind), tiny_players(**kind)
    trainer_of(free, batch).run()
    trainer_of(bound, batch, clip_norm=1e-3).run()
    for name in ("network", "critic", "extractor"):
        first, second = (
            torch.cat([g.flatten() for g in gradients(getattr(players, name))])
            for players in (free, bound)
        )
        assert first.norm() > 1e-3
        torch.testing.assert_close(second, first * 1e-3 / first.norm(), rtol=1e-4, atol=0)


def test_terms_of_the_output_and_their_means():
    seen = []
    players = tiny_players(optimizer=torch.optim.SGD, lr=0.0)
    trainer = trainer_of(players, pairs(3), instance_noise=None, decollate=False, **WEIGHTS)
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: seen.append(dict(engine.state.output))
    )
    trainer.run()
    for batch, output in zip(pairs(3), seen, strict=True):
        assert not any(value.requires_grad for value in output.values())
        total = sum(
            WEIGHTS[f"{name}_weight"] * output[f"{name}_loss"]
            for name in ("feature", "pixel", "adversarial")
        )
        torch.testing.assert_close(output["loss"], total)
        prediction = players.network(batch["image"]).detach()
        torch.testing.assert_close(output["pred"], prediction)
        torch.testing.assert_close(output["pixel_loss"], (prediction - batch["label"]).abs().mean())
        score = players.critic(batch["label"]).mean().detach()
        torch.testing.assert_close(output["critic_real"], score)
        features = players.extractor(batch["label"]).detach()
        # The population variance of two numbers is a quarter of their squared difference.
        variance = (features[0] - features[1]).square().mean() / 4
        torch.testing.assert_close(output["feature_variance"], variance)
    for name in ("critic_loss", "adversarial_loss", "feature_loss", "critic_fake"):
        mean = sum(float(output[name]) for output in seen) / 3
        assert trainer.state.metrics[f"train_{name}"] == pytest.approx(mean, rel=1e-5)


class LevelOnMap(nn.Module):
    """Mean of the volume, times ``gain``, on a map that varies over positions."""

    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(float(gain)))

    def forward(self, x):
        ramp = torch.arange(6.0).view(1, 2, 3, 1, 1)
        return self.gain * x.mean(dim=(1, 2, 3, 4), keepdim=True) + ramp


@pytest.mark.parametrize(
    ("gain", "levels", "wanted"),
    [
        (0, (1.0, 3.0), 0),
        (0, (1.0, 2.0, 6.0), 0),
        (2, (1.0, 3.0), 4),  # twice the levels' deviation of 1; the map has no part
        (2, (1.0, 2.0, 6.0), 4 * 14 / 3),
        (0, (1.0,), 2 / 3),  # one volume: over the positions, 0 1 2 and 3 4 5
    ],
)
def test_feature_variance_is_what_the_features_know_of_their_volume(gain, levels, wanted):
    players = tiny_players(optimizer=torch.optim.SGD, lr=0.0)
    players.extractor = LevelOnMap(gain)
    players.extractor_optimizer = torch.optim.SGD(players.extractor.parameters(), lr=0.0)
    batch = pairs(1, batch=len(levels))[0]
    batch["label"] = torch.tensor(levels).view(-1, 1, 1, 1, 1).expand_as(batch["label"])
    trainer = trainer_of(players, [batch])
    trainer.run()
    found = trainer.state.metrics["train_feature_variance"]
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-9)


def test_losses_are_told_before_any_weight_changes():
    players = tiny_players()
    before = [copy.deepcopy(net.state_dict()) for net in (players.network, players.critic)]
    trainer = trainer_of(players, pairs(1))

    def look(_):
        for network, state in zip((players.network, players.critic), before, strict=True):
            assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())

    trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, look)
    trainer.run()


def test_images_with_geometry_train_as_plain_ones():
    plain, other = tiny_players(), tiny_players()
    trainer_of(plain, pairs()).run()
    data = [{key: MetaTensor(value) for key, value in batch.items()} for batch in pairs()]
    trainer_of(other, data).run()
    for first, second in zip(plain.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(first, second)


def test_the_generator_learns_one_pair():
    """With the pixel loss in front, 90 % of the error goes."""
    players = tiny_players(lr=0.05)
    label = nn.functional.interpolate(pairs(1)[0]["image"], scale_factor=2.0)
    data = [{"image": pairs(1)[0]["image"], "label": label}]
    trainer = trainer_of(players, data, epochs=60, pixel_weight=1.0, feature_weight=0.1)
    errors = []
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda engine: errors.append(engine.state.metrics["train_pixel_loss"]),
    )
    trainer.run()
    assert errors[-1] < 0.1 * errors[0]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"pixel_weight": -1.0}, "pixel_weight"),
        ({"critic_steps": 0}, "critic_steps"),
        ({"clip_norm": 0.0}, "clip_norm"),
    ],
)
def test_wrong_arguments_are_refused(settings, name):
    with pytest.raises(ValueError, match=name):
        trainer_of(tiny_players(), pairs(1), **settings)


def test_an_extractor_needs_an_optimizer_and_the_label_the_size_of_the_prediction():
    players = tiny_players()
    players.extractor_optimizer = None
    with pytest.raises(ValueError, match="extractor_optimizer"):
        trainer_of(players, pairs(1))
    data = [{"image": pairs(1)[0]["image"], "label": torch.ones(2, 1, 1, 1, 1)}]
    with pytest.raises(ValueError, match="one shape"):
        trainer_of(tiny_players(), data).run()


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_scaled_losses_give_the_same_update(clip_norm):
    """What mixed precision does to the losses, without its rounding."""
    found = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=2.0**10)):
        players = tiny_players(optimizer=torch.optim.SGD, lr=0.1)
        trainer_of(
            players, pairs(3), scaler=scaler, clip_norm=clip_norm, critic_steps=2, **WEIGHTS
        ).run()
        networks = (players.network, players.critic, players.extractor)
        found.append([weight for network in networks for weight in network.parameters()])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)
