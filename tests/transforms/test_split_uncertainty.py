import pytest
import torch
from monai.data import MetaTensor

from custom.transforms.split_uncertainty import SplitUncertaintyd

AFFINE = torch.diag(torch.tensor([0.5, 0.25, 2.0, 1.0]))


def test_channels_are_parted_with_their_geometry():
    image = MetaTensor(torch.rand(2, 3, 4, 5), affine=AFFINE)
    result = SplitUncertaintyd()({"pred": image, "other": 1})
    assert result["other"] == 1
    for key, channel in (("pred", 0), ("uncertainty", 1)):
        assert result[key].shape == (1, 3, 4, 5)
        assert torch.equal(result[key][0].as_tensor(), image.as_tensor()[channel])
        torch.testing.assert_close(result[key].affine, AFFINE.double())


def test_one_channel_stays():
    image = torch.rand(1, 3, 4)
    result = SplitUncertaintyd()({"pred": image})
    assert set(result) == {"pred"}
    assert result["pred"] is image


def test_a_reference_says_how_many_channels_a_restoration_has():
    image = torch.rand(6, 3, 4)
    split = SplitUncertaintyd(reference_key="image")
    result = split({"pred": image, "image": torch.rand(3, 3, 4)})
    assert torch.equal(torch.cat([result["pred"], result["uncertainty"]]), image)
    whole = split({"pred": image, "image": torch.rand(6, 3, 4)})
    assert whole["pred"] is image
    with pytest.raises(ValueError, match="4 or 8 channels, got 6"):
        split({"pred": image, "image": torch.rand(4, 3, 4)})


def test_refusals():
    with pytest.raises(ValueError, match="1 or 2 channels, got 3"):
        SplitUncertaintyd()({"pred": torch.rand(3, 4, 4)})
    with pytest.raises(ValueError, match="keys"):
        SplitUncertaintyd(["pred", "image"])
    with pytest.raises(KeyError, match="pred"):
        SplitUncertaintyd()({})
