import pytest
import torch

from custom.transforms.upsample_in_plane import AlignedWeightedCropd, upsample_in_plane


@pytest.mark.parametrize("step", [2, 3])
def test_crops_begin_at_an_acquired_voxel_and_belong_together(step):
    acquired = torch.rand(1, 21, 25, generator=torch.Generator().manual_seed(0))
    fine = upsample_in_plane(acquired, step)
    crop = AlignedWeightedCropd(["image", "label"], "image", [4 * step] * 2, 6, step)
    crop.set_random_state(0)
    seen = set()
    for _ in range(5):
        for item in crop({"image": fine, "label": 2 * fine}):
            image = item["image"].as_tensor()
            assert torch.equal(upsample_in_plane(image[:, ::step, ::step], step), image)
            assert torch.equal(item["label"].as_tensor(), 2 * image)
            seen.add(float(image[0, 0, 0]))
    assert len(seen) > 15  # they are drawn


def test_a_size_that_is_not_positive_cuts_nothing():
    whole = AlignedWeightedCropd("image", "image", [-1, -1])({"image": torch.rand(1, 10, 12)})
    assert whole[0]["image"].shape == (1, 10, 12)
