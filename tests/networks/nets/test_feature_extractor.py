import pytest
import torch
from monai.networks.nets import resnet10

from custom.networks.nets.feature_extractor import FeatureExtractor


def volume(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(**arguments):
    torch.manual_seed(0)
    return FeatureExtractor(**{"widths": (4, 6, 6, 8), **arguments})


def test_published_size():
    network = FeatureExtractor()
    assert sum(parameter.numel() for parameter in network.parameters()) == 14_355_520


@pytest.mark.parametrize("training", [True, False])
def test_is_the_resnet_of_monai_up_to_its_average(training):
    """At ResNet-10's strides, with batch normalisation, the map's average is MONAI's output."""
    reference = resnet10(
        spatial_dims=3,
        n_input_channels=1,
        conv1_t_stride=2,
        feed_forward=False,
        shortcut_type="B",
        bias_downsample=False,
        widen_factor=1 / 16,
    ).train(training)
    network = FeatureExtractor((4, 8, 16, 32), (1, 2, 2, 2), norm="batch").train(training)
    names = {"conv1.": "stem.0.", "bn1.": "stem.1."}
    names |= {f"layer{level + 1}.0.": f"blocks.{level}." for level in range(4)}
    state = {}
    for key, value in reference.state_dict().items():
        start = next(name for name in names if key.startswith(name))
        state[names[start] + key.removeprefix(start)] = value
    network.load_state_dict(state)
    x = volume(2, 1, 40, 64, 33)
    torch.testing.assert_close(network(x).mean((2, 3, 4)), reference(x))


@pytest.mark.parametrize("size", [(24, 16, 16), (33, 9, 1)])
def test_training_and_evaluation_agree_and_samples_do_not_meet(size):
    """Else the distance of two volumes' features would depend on what else is in the batch."""
    x = volume(3, 1, *size)
    network = small()
    features = network(x)
    assert features.shape == (3, 8, *(-(-count // 8) for count in size))
    torch.testing.assert_close(network.eval()(x[1:2]), features[1:2], atol=1e-5, rtol=1e-4)


def test_every_layer_is_normalised_as_asked():
    """MONAI's ResNet keeps batch normalisation in its blocks whatever it is told."""
    kinds = {type(module).__name__ for module in small().modules()}
    assert "InstanceNorm3d" in kinds
    assert "BatchNorm3d" not in kinds


def test_script_keeps_the_result():
    network = small()
    x = volume(1, 1, 16, 17, 18)
    torch.testing.assert_close(torch.jit.script(network)(x), network(x))


def test_too_small_a_volume_is_refused():
    with pytest.raises(ValueError, match="more than 8 voxels"):
        small()(volume(1, 1, 8, 8, 8))
