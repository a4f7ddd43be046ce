"""The lean form against the network itself, and tiles of it against the whole volume."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from custom.inferers.lean_generator import LeanGenerator, lean_form
from custom.inferers.tiled_inferer import TiledUpscalingInferer
from custom.networks.nets.residual_dense_generator import ResidualDenseGenerator


def network(scale: int = 2, convs: int = 3, skip: bool = True) -> ResidualDenseGenerator:
    made = ResidualDenseGenerator(
        5, 3, num_blocks=2, dense_blocks=2, convs=convs, scale=scale, interpolated_skip=skip
    )
    rng = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)
    return made.eval()


def volume(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@settings(max_examples=6, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 11), st.integers(1, 6), st.integers(1, 6)),
    batch=st.integers(1, 2),
    scale=st.sampled_from([1, 2, 3]),
    skip=st.booleans(),
)
def test_the_lean_form_gives_the_same(
    shape: tuple[int, int, int], batch: int, scale: int, skip: bool
) -> None:
    plain, inputs = network(scale, 2, skip), volume(batch, 1, *shape)
    with torch.no_grad():
        expected = plain(inputs)
    found = LeanGenerator(plain)(inputs)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


def test_weights_are_copied_and_need_no_gradient() -> None:
    plain, inputs = network(), volume(1, 1, 6, 5, 4)
    lean = LeanGenerator(plain)
    before = lean(inputs)
    assert not before.requires_grad
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    torch.testing.assert_close(lean(inputs), before, atol=0, rtol=0)
    assert LeanGenerator(plain)(inputs).std() < before.std()


def test_tiles_of_the_lean_form_give_what_the_network_does() -> None:
    plain = network()
    inputs = volume(1, 1, 24, 5, 6)
    whole = TiledUpscalingInferer(lean=False)(inputs, plain)
    tiled = TiledUpscalingInferer(tile=8, halo=plain.receptive_radius, overlap=2, lean=True)
    found = tiled(inputs, plain)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)
    # A narrower halo is not enough, so the above says something.
    narrow = TiledUpscalingInferer(tile=8, halo=1, overlap=2, lean=True)(inputs, plain)
    assert (narrow - whole).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("other", "device"),
    [
        (nn.Upsample(scale_factor=2), "cpu"),
        (network().double(), "cpu"),
        (network().bfloat16(), "cpu"),
        (network(), "cuda"),
    ],
)
def test_what_has_no_lean_form_stays_as_it_is(other: nn.Module, device: str) -> None:
    assert lean_form(other, torch.device(device)) is other
    assert isinstance(lean_form(network(), torch.device("cpu")), LeanGenerator)
