import numpy as np
import pytest
import torch

from custom.transforms.contrast.mixture_contrast import FitMixtured, RandMixtureContrastd


def pair() -> dict[str, torch.Tensor]:
    """A brain of three tissues at two contrasts, 0 outside."""
    rng = np.random.default_rng(0)
    tissue = rng.integers(3, size=(1, 24, 24, 6))
    mask = np.zeros(tissue.shape)
    mask[:, 3:-3, 3:-3] = 1
    noise = rng.normal(0, 0.03, tissue.shape)
    image, label = (np.array(means)[tissue] + noise for means in ((0.1, 0.5, 0.9), (0.2, 0.6, 0.8)))
    data = {"image": image * mask, "label": label * mask, "mask": mask}
    data = {key: torch.from_numpy(value).float() for key, value in data.items()}
    return FitMixtured(["image", "label"])(data)


def test_one_draw_moves_the_tissues_of_both_images_alike():
    data = pair()
    transform = RandMixtureContrastd(["image", "label"], prob=1.0).set_random_state(3)
    made = transform(data)
    for key in ("image", "label"):
        fitted = FitMixtured(key)({key: made[key], "mask": data["mask"]})[f"{key}_mixture"]
        moved = (fitted - data[f"{key}_mixture"])[1].numpy()
        np.testing.assert_allclose(moved, transform.shifts, atol=0.015)
        assert torch.all(made[key][data["mask"] == 0] == 0)


def test_a_draw_is_repeated_by_its_seed_and_another_differs():
    data = pair()
    one, again, other = (
        RandMixtureContrastd("image", prob=1.0).set_random_state(seed)(data)["image"]
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)
    assert torch.equal(RandMixtureContrastd("image", prob=0.0)(data)["image"], data["image"])


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="way must be one of"):
        RandMixtureContrastd("image", way="soft")
