import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from custom.transforms.scale_by_mean import ScaleByMeand, UnscaleByMeand


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    gain=st.floats(1e-3, 1e5),
)
def test_undone_gives_the_same_units_whatever_the_gain(shape, gain):
    image = gain * (torch.rand(1, *shape) + 0.1)
    data = ScaleByMeand(["image"], "image", slice_axis=True)({"image": image})
    torch.testing.assert_close(data["image"].mean(dim=(0, 1, 2)), torch.ones(shape[2]))
    back = UnscaleByMeand(["image"], "image_scale")(data)["image"]
    torch.testing.assert_close(back, image)


def test_the_label_is_divided_by_the_mean_of_the_image():
    data = {"image": torch.full((1, 2, 2), 4.0), "label": torch.full((1, 4, 4), 10.0)}
    result = ScaleByMeand(["image", "label"], "image")(data)
    assert result["image_scale"] == 4
    assert torch.all(result["label"] == 2.5)
    assert torch.all(data["image"] == 4), "the input must not change"


def test_slices_have_means_of_their_own_and_an_empty_one_stays():
    stack = torch.ones(1, 3, 3, 3) * torch.tensor([2.0, 0.0, 5.0])
    result = ScaleByMeand(["image"], "image", slice_axis=True)({"image": stack})
    torch.testing.assert_close(result["image_scale"], torch.tensor([2.0, 1.0, 5.0]))
    assert torch.isfinite(result["image"]).all()


def test_geometry_stays():
    image = MetaTensor(torch.rand(1, 3, 3), affine=torch.diag(torch.tensor([2.0, 3, 1, 1])))
    result = ScaleByMeand(["image"], "image")({"image": image})
    torch.testing.assert_close(result["image"].affine, image.affine)
    assert type(result["image_scale"]) is torch.Tensor


def test_a_missing_key_is_an_error():
    with pytest.raises(KeyError, match="label"):
        ScaleByMeand(["label"], "image")({"image": torch.ones(1, 2, 2)})
