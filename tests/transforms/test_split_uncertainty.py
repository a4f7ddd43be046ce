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


def test_refusals():
    with pytest.raises(ValueError, match="one or two channels, got 3"):
        SplitUncertaintyd()({"pred": torch.rand(3, 4, 4)})
    with pytest.raises(ValueError, match="keys"):
        SplitUncertaintyd(["pred", "image"])
    with pytest.raises(KeyError, match="pred"):
        SplitUncertaintyd()({})
    assert not SplitUncertaintyd(allow_missing_keys=True)({})
