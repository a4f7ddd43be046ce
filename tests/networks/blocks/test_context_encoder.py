import torch

from custom.networks.blocks.context_encoder import CONTEXT, ContextEncoder

UNKNOWN = float("nan")


def test_a_token_is_linear_in_its_own_entry_alone():
    encoder = ContextEncoder(5)
    context = torch.tensor([[0.0, 60.0, 1.0, 0.5], [1.0, 60.0, 1.0, 0.5], [0.5, 60.0, 1.0, 0.5]])
    tokens = encoder(context)
    assert tokens.shape == (3, len(CONTEXT), 5)
    assert torch.equal(tokens[0, 1:], tokens[1, 1:])
    torch.testing.assert_close(tokens[2, 0], (tokens[0, 0] + tokens[1, 0]) / 2)
    torch.testing.assert_close(tokens[0, 1], encoder.offset[1])  # the middle of the ages


def test_what_is_unknown_has_a_learned_token_of_its_own():
    encoder = ContextEncoder(5)
    tokens = encoder(torch.tensor([[1.0, UNKNOWN, UNKNOWN, 0.0], [UNKNOWN] * 4]))
    assert torch.equal(tokens[0, 1:3], encoder.unknown[1:3])
    assert torch.equal(tokens[1], encoder.unknown)
    tokens.sum().backward()
    for part in encoder.parameters():
        assert part.grad is not None
        assert part.grad.isfinite().all()
