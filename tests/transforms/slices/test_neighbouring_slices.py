import pytest
import torch

from custom.transforms.slices.neighbouring_slices import NeighbouringSlicesd


def test_slices_become_channels_and_the_middle_one_the_reference():
    image, label = torch.rand(1, 4, 6, 3), torch.rand(1, 4, 6, 3)
    result = NeighbouringSlicesd("image", "label")({"image": image, "label": label})
    assert result["image"].shape == (3, 4, 6)
    for number in range(3):
        assert torch.equal(result["image"][number], image[0, ..., number])
    assert torch.equal(result["label"], label[..., 1])


@pytest.mark.parametrize("shape", [(1, 4, 6, 2), (2, 4, 6, 3), (4, 6, 3)])
def test_what_has_no_middle_is_refused(shape):
    with pytest.raises(ValueError, match="image must be"):
        NeighbouringSlicesd()({"image": torch.rand(shape), "label": torch.rand(1, 4, 6, 3)})
