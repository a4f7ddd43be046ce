import numpy as np
import pytest
import torch
from diffusion_series import make_series, study_table, volumes_first

from custom.physics.diffusion.noise import ClippedGaussianNoise
from custom.transforms.dwi_baselines import NeighboursAveragedd
from custom.transforms.dwi_preparation import DwiPreparationd

SERIES = make_series((12, 11, 10), sigma=0.05)


def averaged(rule="b0", enabled=True, s0=None, **known):
    table = study_table()
    data = {
        "image": volumes_first(SERIES.noisy),
        "b_rows": table.b_rows,
        "unweighted": torch.from_numpy(table.unweighted),
        "image_mask": torch.from_numpy(SERIES.inside)[None],
        **known,
    }
    data = DwiPreparationd("image", rule, s0=s0, noise_estimate="fit", mask_key="image_mask")(data)
    return NeighboursAveragedd("image", rule, ClippedGaussianNoise(), enabled, s0)(data)


@pytest.mark.parametrize("rule", ["b0", "known"])
def test_the_network_gets_less_noise_and_is_told_so(rule):
    found = averaged(rule)
    mask = found["image_mask"][0].bool()
    truth = torch.from_numpy(np.moveaxis(SERIES.clean, -1, 0)).float()
    errors = {
        name: float((found[name] - truth)[:, mask].square().mean())
        for name in ("image", "image_reduced")
    }
    assert errors["image_reduced"] < 0.15 * errors["image"]
    level, before = (
        (found[f"image{kind}_sigma"] * found[f"image{kind}_scale"])[0][mask]
        for kind in ("_reduced", "")
    )
    assert (level < before).all()
    scales = [found[f"image{kind}_scale"][0][mask] for kind in ("_reduced", "")]
    true = torch.from_numpy(SERIES.clean[..., [0, 31]].mean(-1) if rule == "b0" else SERIES.s0)
    worse = [float((scale - true[mask]).square().mean()) for scale in scales]
    assert worse[0] < worse[1]
    assert found["image_reduced"].meta == found["image"].meta


def test_a_known_scale_stays_and_without_neighbours_everything_does():
    assert (averaged("known", s0=640.0)["image_reduced_scale"][0][SERIES.inside] == 640).all()
    found = averaged(enabled=False)
    for name in ("", "_scale", "_sigma"):
        assert found[f"image_reduced{name}"] is found[f"image{name}"]
