"""Noise that is drawn for training has the level that the network is told."""

import logging
import math

import pytest
import torch
from monai.data import MetaTensor

from custom.errors import InputError
from custom.transforms.noise_level import NoiseLevelChanneld, NoisierScand, RicianNoised

BLOCK = torch.nn.functional.pad(torch.ones(1, 24, 24, 24), [8] * 6)


def drawn(seed, **settings):
    noise = RicianNoised("label", "image", **settings)
    noise.set_random_state(seed)
    return NoiseLevelChanneld("image")(noise({"label": BLOCK}))["image"]


def test_the_network_is_told_what_was_drawn():
    ratios = []
    for seed in range(40):
        image, level = drawn(seed)
        assert 0 <= float(level.max()) < 0.12 * 1.5 * 1.5
        change = (image - BLOCK[0])[12:28, 12:28, 12:28]  # bright enough for Gaussian noise
        ratios.append(float((change / level[12:28, 12:28, 12:28]).std()))
    mean = torch.tensor(ratios).log().mean().exp()
    # Told levels are 10 % wrong, and 40 of them 1.6 % in the mean.
    assert float(mean) == pytest.approx(1, abs=0.06)
    assert torch.equal(drawn(3), drawn(3))


def test_levels_differ_within_a_patch_and_air_is_cut_out_in_some_draws():
    made = [drawn(seed) for seed in range(20)]
    varying = [float(level.max()) > 1.05 * float(level.min()) for _, level in made]
    cut = [not image[BLOCK[0] == 0].any() for image, _ in made]
    assert 4 < sum(varying) < 16
    assert 4 < sum(cut) < 16


def test_an_item_that_states_its_level_has_that_level_each_time():
    items = [{"label": BLOCK, "scan": "a", "noise_level": level} for level in (0.0, 0.05, 0.05)]
    none, first, second = (RicianNoised("label", "image")(item) for item in items)
    assert torch.equal(none["image"], BLOCK)
    assert torch.equal(first["image"], second["image"])
    inside = (first["image"] - BLOCK)[:, 12:28, 12:28, 12:28]
    assert float(inside.std()) == pytest.approx(0.05, rel=0.05)


def test_the_level_is_estimated_or_given_in_the_unit_of_the_image(caplog):
    item = RicianNoised("label", "image")({"label": BLOCK, "noise_level": 0.05})
    item = {"image": MetaTensor(item["image"]), "image_scale": torch.tensor(200.0)}
    with caplog.at_level(logging.INFO):
        estimated = NoiseLevelChanneld("image")(item)
    assert estimated["noise_level"] == pytest.approx(10, rel=0.1)
    assert estimated["noise_source"] == "estimated"
    assert "% of its brightness (estimated)" in caplog.text
    given = NoiseLevelChanneld("image", sigma=12.0)(item)
    assert given["noise_level"] == pytest.approx(12)
    assert given["noise_source"] == "sigma"
    torch.testing.assert_close(given["image"][1].as_tensor(), torch.full((40, 40, 40), 0.06))
    assert given["original"] is item["image"]


def test_where_no_noise_is_found_the_user_is_told(caplog):
    assert NoiseLevelChanneld("image")({"image": BLOCK})["noise_level"] == 0
    assert "no noise was found: the volume returns as it is; give --sigma" in caplog.text
    caplog.clear()
    NoiseLevelChanneld("image", sigma=0)({"image": BLOCK})  # on purpose
    assert "no noise was found" not in caplog.text


def test_each_volume_has_a_name_for_its_copy():
    with pytest.raises(ValueError, match="names must be as many as keys"):
        RicianNoised(["label", "other"], "image")


@pytest.mark.parametrize("sigma", [-1.0, float("nan")])
def test_a_negative_level_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must not be negative"):
        NoiseLevelChanneld("image", sigma=sigma)


def test_a_level_above_the_tissue_is_a_user_s_error():
    with pytest.raises(InputError, match="unit of the image"):
        NoiseLevelChanneld("image", sigma=300.0)({"image": BLOCK, "image_scale": 200.0})


SCAN = torch.nn.functional.pad(torch.full((1, 90, 100), 200.0), [20] * 4)


def scan_with(sigma, seed=5):
    noise = torch.randn((2, *SCAN.shape), generator=torch.Generator().manual_seed(seed))
    return torch.where(SCAN > 0, torch.hypot(SCAN + sigma * noise[0], sigma * noise[1]), 0)


@pytest.mark.parametrize(("factor", "known"), [(1.0, True), (3.0, True), (3.0, False)])
def test_a_scan_gets_the_noise_that_is_drawn_and_cut_voxels_stay(factor, known):
    item = {"image": scan_with(3.0)}
    if known:  # a third of the usual noise, which is 9
        item |= {"noise_std": 3.0, "nominal_noise_std": 9.0}
    noisier = NoisierScand("image", (factor, factor))
    noisier.set_random_state(0)
    found = noisier(item)["image"]
    wanted = factor * (9.0 if known else 3.0)
    assert float(found[SCAN > 0].std()) == pytest.approx(wanted, rel=0.05)
    assert not found[SCAN == 0].any()


def test_a_scan_cannot_lose_noise_and_levels_are_drawn_evenly_by_their_logarithm():
    item = {"image": scan_with(9.0), "noise_std": 9.0, "nominal_noise_std": 9.0}
    assert torch.equal(NoisierScand("image", (0.3, 1.0))(item)["image"], item["image"])
    item |= {"noise_std": 0.9}
    noisier = NoisierScand("image", (0.3, 3.0))
    noisier.set_random_state(1)
    drawn = []
    for _ in range(200):
        change = (noisier(item)["image"] - item["image"])[SCAN > 0]
        drawn.append((float(change.var()) + 0.81) ** 0.5 / 9)
    drawn = torch.tensor(drawn).log()
    assert float(drawn.exp().min()) > 0.27
    assert float(drawn.exp().max()) < 3.2
    assert float(drawn.mean()) == pytest.approx(0.5 * math.log(0.9), abs=0.15)


def test_a_fixed_draw_is_that_of_the_slice():
    fixed = NoisierScand("image", fixed=True)
    items = [{"image": scan_with(3.0), "scan": "a", "slice": n} for n in (0, 0, 1)]
    first, second, third = (fixed(item)["image"] for item in items)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_factors_are_checked():
    for factors in ((0.0, 1.0), (3.0, 1.0), (1.0,)):
        with pytest.raises(ValueError, match="factors"):
            NoisierScand("image", factors)
