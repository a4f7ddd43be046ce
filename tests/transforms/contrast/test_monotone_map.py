import torch
from monai.transforms import Identityd

from custom.transforms.contrast.monotone_map import MonotoneMapd


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
