import sys

import pytest
import torch

from custom.errors import InputError
from custom.metrics.perceptual import (
    PerceptualDistance,
    slicewise_distance,
)

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """A file like torchvision's, with other numbers, and the model it came from."""
    models = pytest.importorskip("torchvision.models")
    pytest.importorskip("lpips")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = models.alexnet(weights=None).eval()
    state = {name: value for name, value in model.state_dict().items() if "features" in name}
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(state, path)
    return path, model


def by_hand(model, one, other):
    """LPIPS written out: unit-length features, squared difference, learned weights, mean."""
    import lpips

    shift = torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1)
    linear = torch.load(
        f"{lpips.__path__[0]}/weights/v0.1/alex.pth", weights_only=True, map_location="cpu"
    )
    total = torch.zeros(len(one))
    pair = [(image.expand(-1, 3, -1, -1) - shift) / scale for image in (one, other)]
    stage = 0
    for index, layer in enumerate(model.features[:12]):
        pair = [layer(image) for image in pair]
        if index in (1, 4, 7, 9, 11):
            units = [f / (f.square().sum(1, keepdim=True).sqrt() + 1e-10) for f in pair]
            difference = (units[0] - units[1]).square()
            weights = linear[f"lin{stage}.model.1.weight"]
            total += (difference * weights).sum(1).mean((1, 2))
            stage += 1
    return total


def test_the_backbone_of_the_file_is_used(alexnet):
    path, model = alexnet
    random = torch.Generator().manual_seed(1)
    reference = 50 * torch.rand(2, 1, 64, 48, generator=random)
    predicted = reference + torch.randn(2, 1, 64, 48, generator=random)
    width = reference.amax((1, 2, 3)) - reference.amin((1, 2, 3))
    before = torch.get_rng_state()
    value = PerceptualDistance(path)(predicted, reference, width)
    assert torch.equal(torch.get_rng_state(), before), "the global random state must not move"
    low = reference.amin((1, 2, 3), keepdim=True)
    scaled = [
        ((image - low) / width.reshape(-1, 1, 1, 1)).clamp(0, 1) * 2 - 1
        for image in (predicted, reference)
    ]
    with torch.no_grad():
        expected = by_hand(model, *scaled)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    assert (value > 1e-4).all()


def test_equal_slices_have_no_distance(alexnet):
    image = torch.rand(1, 1, 40, 40)
    assert float(PerceptualDistance(alexnet[0])(image, image, 1.0)) == 0


def test_small_slices_are_refused(alexnet):
    with pytest.raises(ValueError, match="32 x 32"):
        PerceptualDistance(alexnet[0])(torch.rand(1, 1, 31, 40), torch.rand(1, 1, 31, 40), 1.0)


def test_slices_with_something_in_them_are_averaged():
    reference = torch.zeros(2, 1, 4, 5, 19)
    reference[..., 0, 0, 2:19] = torch.arange(1.0, 18)
    predicted = reference + 0.5 * torch.arange(19)
    predicted[1] = reference[1] + 3

    def distance(first, second, width):
        assert first.shape == second.shape == (len(width), 1, 4, 5)
        return (first - second).abs().mean((1, 2, 3)) / width

    found = slicewise_distance(predicted, reference, torch.tensor([2.0, 4.0]), distance)
    assert found.tolist() == pytest.approx([0.5 * sum(range(2, 19)) / 17 / 2, 3 / 4])
    with pytest.raises(ValueError, match="every slice"):
        slicewise_distance(predicted, torch.ones_like(reference), 1.0, distance)


def test_a_missing_or_wrong_file_is_named(tmp_path, alexnet):
    with pytest.raises(InputError, match="does not exist"):
        PerceptualDistance(tmp_path / "none.pth")
    torn = tmp_path / "torn.pth"
    torn.write_bytes(alexnet[0].read_bytes()[:1000])
    with pytest.raises(InputError, match=r"torn\.pth is damaged"):
        PerceptualDistance(torn)
    other = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(1)}, other)
    with pytest.raises(InputError, match=r"AlexNet: features\.0"):
        PerceptualDistance(other)


def test_the_extra_is_named_when_lpips_is_missing(monkeypatch, alexnet):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match=r"\[perceptual\]"):
        PerceptualDistance(alexnet[0])
