import logging
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from tiny_players import pairs, tiny_players, trainer_of

from custom.errors import InputError
from custom.handlers.checkpoint import CheckpointWriter
from custom.handlers.gan_watchdogs import GanWatchdogs, diversity


def planes(*levels):
    """Make volumes whose halves have the given two values each."""
    return torch.stack([torch.tensor(pair).repeat_interleave(4) for pair in levels]).view(
        len(levels), 1, 2, 2, 2
    )


def test_diversity_of_known_volumes():
    # Deviations within: 1 and 3, root of the mean variance sqrt 5. Between: halves differ by 2.
    reference = planes((-1.0, 1.0), (-3.0, 3.0))
    assert float(diversity(reference, reference)) == pytest.approx(1)
    # As different within, the same for both inputs.
    assert float(diversity(planes((-2.0, 2.0), (-2.0, 2.0)), reference)) == 0
    # Different between, constant within: levels -a and a, reference differs by 1 about its mean.
    assert float(diversity(planes((-0.3, -0.3), (0.3, 0.3)), reference)) == 0
    # Within sqrt((0.25 + 0.25) / 2) / sqrt 5; between 0.5 / 1.
    generated = planes((-0.5, 0.5), (0.5, -0.5))
    assert float(diversity(generated, reference)) == pytest.approx(0.5 / math.sqrt(5))


def test_what_does_not_vary_in_the_references_is_left_out():
    one = planes((-1.0, 1.0))
    assert float(diversity(0.25 * one, one)) == pytest.approx(0.25)
    constant = torch.full((2, 1, 3, 3, 3), 0.3)
    assert float(diversity(one.expand(2, -1, -1, -1, -1), constant[..., :2, :2, :2])) == 1


@given(scale=st.floats(0.01, 10), shift=st.floats(-5, 5), seed=st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_diversity_scales_with_the_contrast_and_not_with_the_level(scale, shift, seed):
    rng = torch.Generator().manual_seed(seed)
    volumes = torch.randn(3, 1, 4, 5, 6, generator=rng, dtype=torch.float64)
    assert float(diversity(scale * volumes + shift, volumes)) == pytest.approx(scale)


def run(
    tmp_path,
    spoil=None,
    at=2,
    epochs=2,
    event=IterationEvents.FORWARD_COMPLETED,
    data=None,
    **limits,
):
    """Train; ``spoil(players, output)`` acts at an event from an iteration on."""
    players = tiny_players()
    watchdogs = GanWatchdogs(tmp_path / "last.pt", **limits)
    evaluator = SupervisedEvaluator("cpu", [], players.network)
    writer = CheckpointWriter(
        tmp_path, {"model": players.network}, evaluator, trusted=watchdogs.trusted
    )
    trainer = trainer_of(players, data or pairs(4), epochs, [watchdogs, writer])

    def act(engine):
        if spoil and engine.state.iteration >= at:
            spoil(players, engine.state.output)

    trainer.add_event_handler(event, act)
    trainer.run()
    return trainer


def collapse(players, _):
    with torch.no_grad():
        players.extractor[3].weight.mul_(1e-4)


def ignore_the_volume(players, _):
    """Leave a map of features that zero padding makes vary over positions."""
    if len(players.extractor) == 4:
        players.extractor.append(torch.nn.Conv3d(5, 5, 3, padding=1))
    with torch.no_grad():
        players.extractor[0].weight.zero_()
        features = players.extractor(torch.rand(1, 1, 6, 8, 10))
    assert features.var(dim=(2, 3, 4)).mean() > 1e-3


def same_for_all(_, output):
    output["pred"] = output["pred"][:1].expand_as(output["pred"])


def saved_iteration(tmp_path):
    return torch.load(tmp_path / "last.pt", weights_only=True)["trainer"]["iteration"]


def test_a_sound_training_runs_through_and_tells_its_diversity(tmp_path):
    trainer = run(tmp_path)
    assert saved_iteration(tmp_path) == 8
    assert 0.05 < trainer.state.metrics["train_diversity"] < 5


def test_extractor_collapse_names_itself_and_keeps_the_last_good_state(tmp_path):
    # From iteration 6 on, in the second of three epochs.
    with pytest.raises(InputError, match=r"extractor collapsed.*iteration 10.*last\.pt") as error:
        run(tmp_path, collapse, at=6, epochs=3, patience=5)
    assert "\n" not in str(error.value)
    assert saved_iteration(tmp_path) == 4


def test_an_extractor_that_gives_one_map_for_every_volume_has_collapsed(tmp_path):
    with pytest.raises(InputError, match=r"extractor collapsed.*is 0 of.*iteration 10.*last\.pt"):
        run(tmp_path, ignore_the_volume, at=6, epochs=3, patience=5)
    assert saved_iteration(tmp_path) == 4


def test_constant_features_are_seen_at_one_volume_a_step(tmp_path):
    with pytest.raises(InputError, match=r"extractor collapsed.*iteration 10"):
        run(tmp_path, collapse, at=6, epochs=3, patience=5, data=pairs(4, batch=1))


def test_a_lone_volume_does_not_end_the_count_of_a_collapse(tmp_path):
    # Every fourth step has one volume, whose map varies: steps 6 and 7, 9 to 11 count.
    data = [*pairs(3), *pairs(1, batch=1)]
    with pytest.raises(InputError, match=r"extractor collapsed.*iteration 11"):
        run(tmp_path, ignore_the_volume, at=6, epochs=3, patience=5, data=data)


def test_equal_volumes_are_no_collapse(tmp_path):
    data = pairs(4)
    data[3] = {key: value[:1].repeat(2, 1, 1, 1, 1) for key, value in data[3].items()}
    run(tmp_path, data=data, patience=1)
    assert saved_iteration(tmp_path) == 8


def test_mode_collapse_names_itself_and_is_not_saved(tmp_path, caplog):
    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match="generator collapsed"):
        run(tmp_path, same_for_all, at=6, epochs=3, patience=5)
    assert "epoch 2 is not saved" in caplog.text
    assert saved_iteration(tmp_path) == 4


def test_a_collapse_that_passes_is_forgiven(tmp_path):
    calls = []

    def now_and_then(players, output):
        calls.append(0)
        if len(calls) % 3:
            same_for_all(players, output)

    run(tmp_path, now_and_then, at=1, epochs=3, patience=3)
    assert saved_iteration(tmp_path) == 12


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("player", ["network", "critic", "extractor"])
def test_divergence_of_any_player_is_found_in_the_losses(tmp_path, player, value):
    def poison(players, _):
        with torch.no_grad():
            next(getattr(players, player).parameters()).fill_(value)

    with pytest.raises(InputError, match=r"diverged.*epoch 2, iteration 6.*last\.pt"):
        run(tmp_path, poison, at=5, event=Events.ITERATION_COMPLETED)
    assert saved_iteration(tmp_path) == 4


@pytest.mark.parametrize(
    ("player", "name"), [("network", "generator"), ("critic", "critic"), ("extractor", "extractor")]
)
def test_weights_that_the_last_step_of_an_epoch_spoilt_are_not_saved(tmp_path, player, name):
    def poison(players, _):
        with torch.no_grad():
            next(getattr(players, player).parameters()).view(-1)[0] = math.nan

    with pytest.raises(InputError, match=f"of the {name} is not finite, at epoch 2, iteration 8"):
        run(tmp_path, poison, at=8, event=Events.ITERATION_COMPLETED)
    assert saved_iteration(tmp_path) == 4


def test_a_loss_beyond_its_bound_is_divergence(tmp_path, monkeypatch):
    monkeypatch.setattr("custom.handlers.gan_watchdogs._LOSS_BOUND", 1e-3)
    with pytest.raises(InputError, match="nothing was saved yet"):
        run(tmp_path)


def test_counts_and_first_variance_are_resumed():
    first = GanWatchdogs("last.pt")
    first.first_variance, first.low_variance, first.low_diversity = 2.0, 3, 4
    second = GanWatchdogs("last.pt")
    second.load_state_dict(first.state_dict())
    assert vars(second) == vars(first)
    assert not second.trusted()


def test_wrong_patience_is_refused():
    with pytest.raises(ValueError, match="patience"):
        GanWatchdogs("last.pt", patience=0)
