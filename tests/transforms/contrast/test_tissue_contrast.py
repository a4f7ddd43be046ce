import numpy as np
import torch

from custom.transforms.contrast.tissue_contrast import RandTissueContrastd


def labels() -> torch.Tensor:
    """Air and three tissues in slabs, numbered as a scaled volume numbers them."""
    made = torch.zeros(1, 24, 20, 12)
    for number, start in enumerate((4, 10, 16), 1):
        made[:, start : start + 6] = 0.37 * number
    return made


def drawn(seed: int, label_map: bool = True) -> torch.Tensor:
    transform = RandTissueContrastd("label").set_random_state(seed)
    return transform({"label": labels(), "label_map": label_map})["label"]


def test_each_tissue_has_a_signal_of_its_own_and_each_draw_another():
    image = drawn(0)
    means = [image[:, start + 2 : start + 4].mean().item() for start in (4, 10, 16)]
    assert min(np.abs(np.diff(sorted(means)))) > 0.01
    assert image[:, 0].abs().max() == 0
    assert torch.equal(drawn(0), image)
    other = [drawn(1)[:, start + 2 : start + 4].mean().item() for start in (4, 10, 16)]
    assert not np.allclose(means, other, rtol=0.1)


def test_the_mean_of_the_tissue_is_1_and_borders_are_blurred():
    image = drawn(3)
    inside = labels() != 0
    assert abs(image[inside].mean().item() - 1) < 1e-5
    within, edge = image[0, 6:8].std(0).mean(), image[0, 9:11].std(0).mean()
    assert edge > 2 * within


def test_images_are_left_alone():
    assert torch.equal(drawn(0, label_map=False), labels())
    assert torch.equal(RandTissueContrastd("label")({"label": labels()})["label"], labels())
