import pytest
import torch
from monai.data import MetaTensor

from custom.transforms.split_deviations import SplitDeviationsd

AFFINE = torch.diag(torch.tensor([0.5, 0.25, 2.0, 1.0]))


def test_channels_are_parted_with_their_geometry():
    image = MetaTensor(torch.rand(2, 3, 4, 5), affine=AFFINE)
    result = SplitDeviationsd(name="spread")({"pred": image, "other": 1})
    assert result["other"] == 1
    for key, channel in (("pred", 0), ("spread", 1)):
        assert result[key].shape == (1, 3, 4, 5)
        assert torch.equal(result[key][0].as_tensor(), image.as_tensor()[channel])
        torch.testing.assert_close(result[key].affine, AFFINE.double())


def test_one_channel_stays():
    image = torch.rand(1, 3, 4)
    result = SplitDeviationsd()({"pred": image})
    assert set(result) == {"pred"}
    assert torch.equal(result["pred"], image)


def test_a_reference_says_how_many_channels_a_restoration_has():
    image = torch.rand(6, 3, 4)
    split = SplitDeviationsd(name="spread", reference_key="image")
    result = split({"pred": image, "image": torch.rand(3, 3, 4)})
    assert torch.equal(torch.cat([result["pred"], result["spread"]]), image)
    whole = split({"pred": image, "image": torch.rand(6, 3, 4)})
    assert torch.equal(whole["pred"], image)
    with pytest.raises(ValueError, match="4 or 8 channels, got 6"):
        split({"pred": image, "image": torch.rand(4, 3, 4)})


def test_deviations_without_a_name_are_dropped():
    image = torch.rand(2, 3, 4)
    result = SplitDeviationsd()({"pred": image})
    assert set(result) == {"pred"}
    assert torch.equal(result["pred"], image[:1])


def test_a_map_that_no_one_gives_is_refused_at_once():
    with pytest.raises(ValueError, match="spread cannot be written"):
        SplitDeviationsd(name="spread", given=False)
    SplitDeviationsd(name=None, given=False)


def test_refusals():
    with pytest.raises(ValueError, match="1 or 2 channels, got 3"):
        SplitDeviationsd()({"pred": torch.rand(3, 4, 4)})
    with pytest.raises(ValueError, match="keys"):
        SplitDeviationsd(["pred", "image"])
    with pytest.raises(KeyError, match="pred"):
        SplitDeviationsd()({})
