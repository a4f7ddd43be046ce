from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from custom.inferers.voxelwise_inferer import VoxelwiseInferer
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser

SHAPE = (5, 4, 3)


def series(count: int = 8, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 100 * torch.rand((batch, count, *SHAPE), generator=generator) + 1


def maps(batch: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand((3, batch, 1, *SHAPE), generator=generator)
    return {"scale": 50 + 100 * drawn[0], "sigma": 0.1 * drawn[1], "mask": drawn[2] > 0.4}


def shrink(signals: Tensor, sigma: Tensor) -> Tensor:
    """A network that is not linear, looks at sigma, and gives deviations."""
    return torch.cat([signals**2 / (1 + sigma), sigma.expand_as(signals) * signals], 1)


def test_the_identity_gives_the_input_back() -> None:
    inferer = VoxelwiseInferer(with_sigma=False)
    image = series()
    for network in (nn.Identity(), lambda signals: signals):
        torch.testing.assert_close(inferer(image, network, **maps()), image)
        torch.testing.assert_close(inferer(image, network), image, rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 2])
def test_each_voxel_by_itself(batch: int) -> None:
    """Against a plain loop over the voxels."""
    image, given = series(batch=batch), maps(batch)
    found = VoxelwiseInferer(voxels_per_batch=7)(image, shrink, **given)
    expected = torch.cat([image, torch.zeros_like(image)], 1)
    for index in given["mask"].nonzero().tolist():
        b, _, x, y, z = index
        scale, sigma = (given[name][b, 0, x, y, z] for name in ("scale", "sigma"))
        voxel = shrink((image[b, :, x, y, z] / scale)[None], sigma.reshape(1, 1))[0]
        expected[b, :, x, y, z] = scale * voxel
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [1, 13, 10000])
def test_batches_make_no_difference(size: int) -> None:
    one, other = (
        VoxelwiseInferer(voxels_per_batch=number)(series(), shrink, **maps())
        for number in (size, 60)
    )
    torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


@pytest.mark.parametrize("bad", [0.0, -5.0, torch.nan, torch.inf])
def test_outside_of_the_mask_and_without_a_scale_the_input_stays(bad: float) -> None:
    image, given = series(), maps()
    given["mask"][0, 0, 0, 0, 0] = True
    given["scale"][0, 0, 0, 0, 0] = bad
    found = VoxelwiseInferer()(image, shrink, **given)[:, :8]
    outside = ~given["mask"].expand_as(image)
    outside[:, :, 0, 0, 0] = True
    assert torch.equal(found[outside], image[outside])
    assert (found[~outside] != image[~outside]).float().mean() > 0.9


def test_an_empty_mask_gives_the_input_back() -> None:
    given = maps() | {"mask": torch.zeros(1, 1, *SHAPE)}
    assert torch.equal(VoxelwiseInferer()(series(), shrink, **given), series())


def test_the_geometry_stays() -> None:
    affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0])).double()
    image = MetaTensor(series(), affine=affine)
    found: Any = VoxelwiseInferer()(image, shrink, **maps())
    assert isinstance(found, MetaTensor)
    assert torch.equal(found.affine, affine)
    plain = VoxelwiseInferer()(series(), shrink, **maps())
    assert torch.equal(found.as_subclass(torch.Tensor), plain)


class LinearLatent(nn.Module):
    """Draws have a known distribution: mean ``2 W m`` and variance ``sum_l W_kl^2 v_l``."""

    variational = True

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.matrix = nn.Parameter(torch.randn((8, 2), generator=generator))

    def encode(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        return signals[:, :2], signals[:, 2:4].log()

    def decode(self, latents: Tensor) -> Tensor:
        return latents @ self.matrix.T


def test_draws_have_the_mean_and_deviation_of_the_latents() -> None:
    network, image, given, count = LinearLatent(), series(), maps(), 4000
    found = VoxelwiseInferer(with_sigma=False, num_samples=count)(image, network, **given)
    inside = given["mask"][0, 0]
    scale = given["scale"][0, 0][inside].unsqueeze(1)
    signals = image[0].movedim(0, -1)[inside] / scale
    matrix = network.matrix.detach()
    mean = scale * (signals[:, :2] @ matrix.T)
    std = scale * (signals[:, 2:4] @ matrix.square().T).sqrt()
    drawn = found[0].movedim(0, -1)[inside]
    error = (drawn[:, :8] - mean) / (std / count**0.5)
    assert error.abs().max() < 5
    assert error.square().mean() == pytest.approx(1.0, rel=0.4)
    # The deviation's standard error is std / sqrt(2 n).
    assert ((drawn[:, 8:] / std - 1) * (2 * count) ** 0.5).abs().max() < 5


def test_the_variance_of_two_draws_is_right_on_average() -> None:
    """Divided by ``n - 1``: over ``n`` it would be half of the truth."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, 8, 20, 20, 10), generator=generator) + 0.1
    network = LinearLatent()
    found = VoxelwiseInferer(with_sigma=False, num_samples=2)(image, network)
    variance = image[0, 2:4].movedim(0, -1) @ network.matrix.detach().square().T
    ratio = (found[0, 8:].movedim(0, -1).square() / variance).reshape(4000, 8)
    # Chi-square of one degree of freedom: mean 1, variance 2.
    assert ((ratio.mean(0) - 1) / (2 / 4000) ** 0.5).abs().max() < 5


def test_draws_are_those_of_the_seed() -> None:
    torch.manual_seed(0)
    network = SignalAutoencoder(8, (7, 6, 5), 3)

    def draw(seed: int = 0, size: int = 100) -> Tensor:
        torch.rand(3)  # whatever was drawn before
        inferer = VoxelwiseInferer(size, with_sigma=False, num_samples=3, seed=seed)
        found: Tensor = inferer(series(), network, **maps())
        return found

    state = torch.random.get_rng_state()
    first = draw()
    torch.random.set_rng_state(state)
    torch.rand(3)
    after = torch.rand(1)
    torch.random.set_rng_state(state)
    torch.rand(3)
    assert torch.equal(torch.rand(1), after)  # the global state is left alone
    torch.testing.assert_close(draw(), first, rtol=0, atol=0)
    torch.testing.assert_close(draw(size=7), first)
    assert not torch.allclose(draw(seed=1), first)


@pytest.mark.parametrize("kind", ["linear", "relu"])
def test_without_a_distribution_nothing_can_be_drawn(kind: Any) -> None:
    network = SignalAutoencoder(8, (7, 6, 5), 3, kind)
    inferer = VoxelwiseInferer(with_sigma=False, num_samples=2)
    with pytest.raises(ValueError, match="num_samples 2 needs a model with a latent distribution"):
        inferer(series(), network)


def test_what_is_no_signal_is_refused() -> None:
    inferer = VoxelwiseInferer(with_sigma=False)
    with pytest.raises(ValueError, match="6 numbers a voxel for 8 signals"):
        inferer(series(), lambda signals: signals[:, :6])


@pytest.mark.parametrize("name", ["voxels_per_batch", "num_samples"])
@pytest.mark.parametrize("value", [0, 1.5])
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        VoxelwiseInferer(**{name: value})  # type: ignore[arg-type]


def test_a_network_with_sigma_needs_it() -> None:
    with pytest.raises(ValueError, match="sigma"):
        VoxelwiseInferer()(series(), shrink)


def test_a_tensor_is_no_signal_though_it_has_as_many_numbers() -> None:
    network = TensorInformedDenoiser(num_measurements=12, head="tensor")
    with pytest.raises(ValueError, match="gives signals"):
        VoxelwiseInferer()(series(12), network, **maps())
