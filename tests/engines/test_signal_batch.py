"""What the network and the loss are given of a batch of signals."""

import pytest
import torch

from custom.engines.signal_batch import SignalPrepareBatch


@pytest.fixture
def batch():
    return {
        "image": torch.rand(3, 5),
        "label": torch.rand(3, 5),
        "tensor": torch.rand(3, 6),
        "sigma": torch.tensor([[0.1], [0.2], [0.3]]),
    }


def test_truth_and_level_go_to_the_loss_and_the_level_to_the_network(batch):
    inputs, target, given, asked = SignalPrepareBatch()(batch, "cpu")
    assert torch.equal(inputs, batch["image"])
    assert torch.equal(target[:, :-1], batch["label"])
    assert torch.equal(target[:, -1:], batch["sigma"])
    assert torch.equal(given[0], batch["sigma"])
    assert asked == {}


def test_a_blind_autoencoder_is_asked_for_its_latents(batch):
    _, _, given, asked = SignalPrepareBatch(with_sigma=False, with_latents=True)(batch)
    assert given == ()
    assert asked == {"with_latents": True, "sample": True}


def test_tensors_are_the_target_where_there_are_any(batch):
    target = SignalPrepareBatch("tensor")(batch)[1]
    assert torch.equal(target[:, :-1], batch["tensor"])
    del batch["tensor"]
    with pytest.raises(ValueError, match="tensor"):
        SignalPrepareBatch("tensor")(batch)
    with pytest.raises(ValueError, match="target"):
        SignalPrepareBatch("fibre")
