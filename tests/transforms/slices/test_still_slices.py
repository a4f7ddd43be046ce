import pytest
import torch

from custom.transforms.slices.still_slices import KeepStillSlicesd


def test_slices_with_small_corrections_come_back_bit_for_bit():
    torch.manual_seed(0)
    image = torch.rand(1, 6, 5, 5) + 1
    image[..., 3], image[..., 4] = 0, 7  # nothing to judge
    level = image.square().mean((0, 1, 2)).sqrt()
    pred = image.clone()
    pred[..., 0] += 0.009 * level[0]
    pred[..., 1] += 0.011 * level[1]
    pred[..., 3:] += 0.5
    deviation = torch.rand(1, 6, 5, 5)
    data = {"pred": torch.cat([pred, deviation]), "image": image}
    result = KeepStillSlicesd(below=0.01)(data)
    assert torch.equal(result["pred"][1:], deviation)
    assert result["still_slices"] == "0, 2-4"
    for number, kept in enumerate((True, False, True, True, True)):
        source = image if kept else pred
        assert torch.equal(result["pred"][:1, ..., number], source[..., number])


def test_with_0_nothing_is_still_but_what_cannot_be_judged():
    image = torch.rand(1, 4, 4, 2)
    assert KeepStillSlicesd(below=0)({"pred": image, "image": image})["still_slices"] == ""


@pytest.mark.parametrize("below", [-0.1, 1.5, float("nan"), "much"])
def test_what_is_no_share_is_refused(below):
    with pytest.raises(ValueError, match="below"):
        KeepStillSlicesd(below=below)
