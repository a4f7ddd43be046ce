import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor, decollate_batch, list_data_collate

from custom.physics.intensity_statistics import STATISTICS
from custom.transforms.scale_by_reference import ScaleByReferenced, UnscaleByReferenced


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    gain=st.floats(1e-3, 1e5),
    statistic=st.sampled_from(sorted(STATISTICS)),
    slice_axis=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_undone_gives_the_same_units_whatever_the_gain(shape, gain, statistic, slice_axis, seed):
    image = gain * (torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed)) + 0.1)
    scale = ScaleByReferenced("image", "image", statistic, slice_axis)
    data = scale({"image": image})
    # By a power of two: nothing is rounded, so that no voxel crosses a threshold.
    assert torch.equal(scale({"image": 64 * image})["image"], data["image"])
    # As at inference, batched and taken apart again.
    (data,) = decollate_batch(list_data_collate([data]))
    back = UnscaleByReferenced(["image"], "image_scale")(data)["image"]
    torch.testing.assert_close(back, image, rtol=2e-7, atol=0)


def test_the_label_is_divided_by_the_intensity_of_the_image():
    affine = torch.diag(torch.tensor([2.0, 3, 1, 1])).double()
    image = MetaTensor(torch.full((1, 2, 2), 4.0), affine=affine)
    data = {"image": image, "label": torch.full((1, 4, 4), 10.0)}
    result = ScaleByReferenced(["image", "label"], "image")(data)
    assert result["image_scale"] == 4
    assert torch.all(result["label"] == 2.5)
    torch.testing.assert_close(result["image"].affine, affine)
    assert torch.all(data["image"] == 4), "the input must not change"


def test_slices_have_means_of_their_own_and_an_empty_one_stays():
    stack = torch.ones(1, 3, 3, 3) * torch.tensor([2.0, 0.0, 5.0])
    result = ScaleByReferenced(["image"], "image", slice_axis=True)({"image": stack})
    torch.testing.assert_close(result["image_scale"], torch.tensor([2.0, 1.0, 5.0]))
    torch.testing.assert_close(result["image"][0, 0, 0], torch.tensor([1.0, 0.0, 1.0]))


def test_a_missing_key_and_an_unknown_statistic_are_errors():
    with pytest.raises(KeyError, match="label"):
        ScaleByReferenced(["label"], "image")({"image": torch.ones(1, 2, 2)})
    with pytest.raises(ValueError, match="statistic"):
        ScaleByReferenced("image", "image", "median")
