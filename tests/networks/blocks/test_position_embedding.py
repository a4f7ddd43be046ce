import math

import pytest
import torch

from custom.networks.blocks.position_embedding import PositionEmbedding, sinusoids


def test_waves_in_closed_form():
    waves = sinusoids(torch.tensor([0.0, 0.25, 1.0]), torch.tensor([0.25, 1.0]))
    half = math.sqrt(0.5)
    eighth = [math.sin(math.pi / 8), 1.0, math.cos(math.pi / 8), 0.0]
    expected = torch.tensor([[0, 0, 1, 1], eighth, [1, 0, 0, 1]], dtype=torch.float32)
    torch.testing.assert_close(waves, expected, atol=1e-6, rtol=0)
    assert sinusoids(torch.tensor([0.5]), torch.tensor([0.25]))[0, 0] == pytest.approx(half)


def test_every_step_of_a_long_path_is_told_apart():
    """Neighbours differ by far more than rounding, and the two ends the most."""
    embedding = PositionEmbedding(64)
    position = torch.arange(1001) / 1000
    waves = sinusoids(position, torch.tensor(embedding.frequencies)).double()
    distance = torch.cdist(waves, waves)
    distance.fill_diagonal_(torch.inf)
    assert distance.min() > 0.05
    # The slowest wave alone already orders the path.
    assert (waves[1:, 0] > waves[:-1, 0]).all()


def test_neighbours_of_a_hundred_steps_are_alike():
    """So a network trained with 100 steps knows the positions between them."""
    frequencies = torch.tensor(PositionEmbedding(64).frequencies)
    near = sinusoids(torch.tensor([0.5, 0.51]), frequencies)
    far = sinusoids(torch.tensor([0.1, 0.9]), frequencies)
    assert torch.linalg.norm(near[0] - near[1]) < 0.25 * torch.linalg.norm(far[0] - far[1])


def test_waves_are_an_octave_apart_from_a_quarter_to_eight_cycles():
    expected = torch.tensor([0.25, 0.5, 1, 2, 4, 8])
    torch.testing.assert_close(torch.tensor(PositionEmbedding(12).frequencies), expected)


def test_both_shapes_of_a_position_are_the_same():
    embedding = PositionEmbedding(8)
    position = torch.rand(5)
    one = embedding(position)
    torch.testing.assert_close(embedding(position[:, None]), one)
    scripted = torch.jit.script(embedding)
    torch.testing.assert_close(scripted(position), one)
    assert scripted.state_dict().keys() == embedding.state_dict().keys()


def test_half_precision_agrees():
    torch.manual_seed(0)
    embedding, position = PositionEmbedding(8).bfloat16(), torch.tensor([0.125, 0.5, 1.0])
    half = embedding(position)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), embedding.float()(position), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("features", [0, 1, 7, -2])
def test_odd_numbers_of_features_are_refused(features):
    with pytest.raises(ValueError, match="features"):
        PositionEmbedding(features)
