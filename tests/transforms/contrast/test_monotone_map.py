import torch
from monai.transforms import Identityd

from custom.transforms.contrast.monotone_map import LocalChanged, MonotoneMapd


def test_one_curve_of_all_training_pairs_inside_the_brain():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 1, 20, 20, 5, generator=generator)
    mask = torch.ones(1, 20, 20, 5)
    mask[:, :4] = 0
    pairs = [{"image": one, "label": one.sqrt() * mask, "mask": mask} for one in image]
    transform = MonotoneMapd("image", pairs, Identityd("image"))
    new = torch.rand(1, 20, 20, 5, generator=generator)
    made = transform({"image": new, "mask": mask})["image"]
    inside = (mask > 0) & (new > 0.02)
    torch.testing.assert_close(made[inside], new.sqrt()[inside], rtol=0, atol=0.02)
    assert torch.all(made[mask == 0] == 0)
    assert len(transform.curve.knots) == 256


def test_a_change_of_contrast_is_no_local_change_and_a_spot_is():
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 24, 24, 8, generator=generator)
    mask = torch.ones_like(image)
    mask[:, :3] = 0
    made = image**2 * mask
    data = {"image": image, "pred": made, "mask": mask}
    change = LocalChanged("pred", "image")(data)["localchange"]
    assert change.abs().max() < 0.02
    data["pred"] = made.clone()
    data["pred"][0, 10, 10, 4] += 0.7
    change = LocalChanged("pred", "image")(data)["localchange"]
    assert change.flatten().argmax() == (10 * 24 + 10) * 8 + 4
    assert "localchange" not in LocalChanged("pred", "image", given=False)(data)
