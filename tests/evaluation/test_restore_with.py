import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer, SliceInferer
from torch import nn

from custom.errors import InputError
from custom.evaluation.restore_with import RestoreWithd


@pytest.fixture
def weights(tmp_path):
    """Restored = 0.8 x + 0.5."""
    path = tmp_path / "unet.pt"
    torch.save({"weight": torch.full((1, 1, 1, 1), 0.8), "bias": torch.tensor([0.5])}, path)
    return path


def peer(weights, network=None, inferer=None, keys="image"):
    network = nn.Conv2d(1, 1, 1) if network is None else network
    inferer = SliceInferer(2, (-1, -1), sw_batch_size=2) if inferer is None else inferer
    return RestoreWithd(keys, "unet", network, weights, inferer)


@pytest.mark.parametrize("shape", [(1, 6, 5, 3), (1, 4, 7, 1)])
def test_a_stack_is_restored_by_the_weights_of_the_file(weights, shape):
    affine = torch.diag(torch.tensor([0.1, 0.2, 0.6, 1.0]))
    image = MetaTensor(torch.rand(shape), affine=affine)
    data = {"image": image, "scan": "m1"}
    result = peer(weights)(data)
    assert isinstance(result["unet"], MetaTensor)
    torch.testing.assert_close(result["unet"].as_tensor(), 0.8 * image.as_tensor() + 0.5)
    torch.testing.assert_close(result["unet"].affine, image.affine)
    assert result["image"] is image
    assert result["scan"] == "m1"
    assert 0 < result["unet_seconds"] < 10
    assert set(data) == {"image", "scan"}, "the input must not change"


def test_a_single_slice_is_restored(weights):
    image = torch.rand(1, 6, 5)
    result = peer(weights, inferer=SimpleInferer())({"image": image})
    torch.testing.assert_close(result["unet"], 0.8 * image + 0.5)
    assert type(result["unet"]) is torch.Tensor


def test_restoring_is_no_training(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout(0.5)).train()
    torch.save(network.state_dict(), tmp_path / "unet.pt")
    transform, image = peer(tmp_path / "unet.pt", network), torch.rand(1, 8, 8, 2)
    first, second = (transform({"image": image})["unet"] for _ in range(2))
    assert torch.equal(first, second), "dropout must be off"
    assert not first.requires_grad
    assert network.training, "the mode is put back"


def test_several_keys_are_refused(weights):
    with pytest.raises(ValueError, match="keys must be one key"):
        peer(weights, keys=["image", "label"])


def test_wrong_weights_are_refused_at_once(weights, tmp_path):
    with pytest.raises(InputError, match=r"gone\.pt does not exist: .* weights for 'unet'"):
        peer(tmp_path / "gone.pt")
    with pytest.raises(InputError, match="does not fit the network"):
        peer(weights, nn.Conv2d(1, 1, 3))


def test_what_else_the_inferer_takes_comes_from_the_data(tmp_path):
    network = nn.Identity()
    torch.save(network.state_dict(), tmp_path / "unet.pt")
    given = {}

    class Gain(SimpleInferer):
        def __call__(self, inputs, network, *args, gain, **kwargs):
            given["gain"] = gain
            return gain * network(inputs)

    transform = RestoreWithd(
        "image", "unet", network, tmp_path / "unet.pt", Gain(), extra_keys={"gain": "map"}
    )
    image, gain = torch.rand(3, 4, 5, 2), MetaTensor(torch.rand(1, 4, 5, 2))
    result = transform({"image": image, "map": gain})
    torch.testing.assert_close(result["unet"], image * gain.as_tensor())
    assert given["gain"].shape == (1, 1, 4, 5, 2)
