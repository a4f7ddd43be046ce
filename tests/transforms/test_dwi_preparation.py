from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusion_series import make_series, save_image, study_table, volumes_first
from monai.data import MetaTensor
from scipy.ndimage import binary_dilation

from custom.errors import InputError
from custom.physics.diffusion.noise import MixedLevels, PublishedLevels
from custom.physics.diffusion.noise_estimate import volume_noise
from custom.transforms.dwi_noise_levels import check_noise_levels
from custom.transforms.dwi_preparation import DwiPreparationd, head_mask

SERIES = make_series((16, 16, 14), sigma=0.03)


def prepare(series: np.ndarray = SERIES.noisy, rule: Any = "b0", **settings: Any) -> dict[Any, Any]:
    table = study_table()
    return DwiPreparationd("image", rule, **settings)(
        {
            "image": volumes_first(series),
            "b_rows": table.b_rows,
            "unweighted": torch.from_numpy(table.unweighted),
        }
    )


def maps_of(found: dict[Any, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(found[f"image_{name}"])[0] for name in ("mask", "scale", "sigma")}


def test_the_head_is_found() -> None:
    mask = head_mask(SERIES.noisy[..., [0, 31]].mean(-1))
    assert (mask & SERIES.inside).sum() > 0.98 * SERIES.inside.sum()
    assert not (mask & ~binary_dilation(SERIES.inside)).any()
    found = prepare()
    assert found["mask_source"] == "median_otsu"
    assert found["voxels_restored"] == maps_of(found)["mask"].sum()
    assert found["voxels_restored"] + found["voxels_unusable"] == mask.sum()
    assert maps_of(found)["mask"][SERIES.inside].mean() > 0.98


@pytest.mark.parametrize("size", [1, 3])
def test_a_bright_spot_is_not_the_only_head(size):
    mean = SERIES.noisy[..., [0, 31]].mean(-1)
    bright = mean.copy()
    bright[5 : 5 + size, 5 : 5 + size, 4:5] = 1e7
    assert (head_mask(bright) != head_mask(mean)).mean() < 0.01


def test_a_mask_may_be_given_or_be_all(tmp_path: Path) -> None:
    mask = np.zeros(SERIES.inside.shape, np.uint8)
    mask[5:9, 6:10, 4:8] = 2
    file = save_image(tmp_path / "mask.nii.gz", mask)
    found = prepare(mask=str(file))
    np.testing.assert_array_equal(maps_of(found)["mask"], mask > 0)
    assert (found["mask_source"], found["mask_file"]) == ("file", str(file))
    whole = prepare(SERIES.clean, mask="all")
    np.testing.assert_array_equal(maps_of(whole)["mask"], SERIES.inside)
    assert whole["mask_source"] == "all"
    assert "mask_file" not in whole


def test_without_a_head_all_voxels_with_signal_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    one = np.zeros((6, 6, 6, 32))
    one[3, 3, 3] = SERIES.clean[8, 8, 7]  # what a median filter takes for noise
    found = prepare(one)
    assert np.argwhere(maps_of(found)["mask"]).tolist() == [[3, 3, 3]]
    assert "finds no head" in caplog.text


@pytest.mark.parametrize("rule", ["b0", "known"])
def test_the_scale_follows_the_models_rule(tmp_path: Path, rule: str) -> None:
    file = save_image(tmp_path / "mask.nii.gz", SERIES.inside.astype(np.uint8))
    scale = maps_of(prepare(SERIES.clean, rule, mask=str(file)))["scale"]
    inside = SERIES.inside
    expected = SERIES.s0 if rule == "known" else SERIES.clean[..., [0, 31]].mean(-1)
    np.testing.assert_allclose(scale[inside], expected[inside], rtol=2e-3)
    assert (scale[~inside] == 1).all()


def test_a_number_and_an_image_of_it_are_the_same(tmp_path: Path) -> None:
    for name, number in {"s0": 500.0, "sigma": 45.0, "relative_sigma": 0.07}.items():
        image = save_image(
            tmp_path / f"{name}.nii.gz", np.full(SERIES.s0.shape, number, np.float32)
        )
        one, other = (maps_of(prepare(**{name: given})) for given in (number, str(image)))
        for key, values in one.items():
            np.testing.assert_allclose(values, other[key], rtol=1e-6)
    assert np.unique(maps_of(prepare(s0=500.0))["scale"]).tolist() == [1.0, 500.0]
    assert prepare(relative_sigma=0.07)["noise_level"] == pytest.approx(0.07)


@pytest.mark.parametrize("rule", ["b0", "known"])
def test_a_given_noise_level_is_in_the_unit_of_the_image_or_a_share_of_the_scale(
    tmp_path: Path, rule: str
) -> None:
    inside = SERIES.inside
    mask = str(save_image(tmp_path / "mask.nii.gz", inside.astype(np.uint8)))
    scale = SERIES.s0 if rule == "known" else SERIES.clean[..., [0, 31]].mean(-1)
    level = np.where(inside, 30.0 / np.where(inside, scale, 1.0), 0.0).astype(np.float32)
    share = str(save_image(tmp_path / "share.nii.gz", level))
    for given in ({"relative_sigma": share}, {"sigma": 30.0}):
        maps = maps_of(prepare(SERIES.clean, rule, mask=mask, **given))
        np.testing.assert_allclose((maps["sigma"] * maps["scale"])[inside], 30.0, rtol=2e-3)
    for given in ({"relative_sigma": 0.1}, {"sigma": 50.0}):
        own = maps_of(prepare(SERIES.clean, rule, mask=mask, s0=500.0, **given))
        np.testing.assert_allclose((own["sigma"] * own["scale"])[inside], 50.0, rtol=1e-5)
    with pytest.raises(ValueError, match="not both"):
        prepare(sigma=30.0, relative_sigma=0.1)


@pytest.mark.parametrize(
    ("noise", "count", "remedy"),
    [
        ({"relative_sigma": 0.5}, "N above, 0 below", "as sigma"),
        ({"sigma": 0.05}, "0 above, N below", "as relative_sigma"),
        ({"noise_estimate": "fit"}, "0 above, N below", "train a model"),
    ],
)
def test_a_scan_most_of_whose_noise_no_training_had_is_refused(
    tmp_path: Path, noise: dict[str, Any], count: str, remedy: str
) -> None:
    noise = noise | {"mask": str(save_image(tmp_path / "m.nii.gz", SERIES.inside.astype(np.uint8)))}
    with pytest.raises(InputError) as refused:
        prepare(trained_levels=MixedLevels(0.1, 0.4), **noise)
    voxels = str(prepare(**noise)["voxels_restored"])
    assert f"of {voxels} of {voxels} voxels" in str(refused.value)
    assert count.replace("N", voxels) in str(refused.value)
    assert remedy in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("estimate", "tolerance"), [("voxel", 0.2), ("fit", 0.05)])
def test_the_noise_is_estimated_in_units_of_the_scale(estimate: str, tolerance: float) -> None:
    series = SERIES.clean + 30.0 * np.random.default_rng(0).normal(size=SERIES.clean.shape)
    found = prepare(series, noise_estimate=estimate)
    maps = maps_of(found)
    noise = (maps["sigma"] * maps["scale"])[maps["mask"]]
    assert np.median(noise) == pytest.approx(30.0, rel=tolerance)
    assert found["noise_level"] == pytest.approx(np.median(maps["sigma"][maps["mask"]]), rel=0.01)
    assert (maps["sigma"][~maps["mask"]] == 0).all()


def test_the_noise_of_volumes_is_that_of_the_weighted_ones() -> None:
    series = SERIES.noisy.copy()
    expected = volume_noise(series[..., 1:31])
    series[..., [0, 31]] *= np.random.default_rng(0).uniform(0.5, 1.5, (*series.shape[:3], 1))
    found = maps_of(prepare(series, noise_estimate="volume"))
    noise = (found["sigma"] * found["scale"])[found["mask"]]
    np.testing.assert_allclose(noise, expected, rtol=1e-5)


def test_voxels_without_a_usable_scale_are_counted_and_left_out(tmp_path: Path) -> None:
    series = SERIES.clean.copy()
    series[8, 8, 7, [0, 31]] = 0.0  # no unweighted signal
    series[8, 8, 8, [0, 31]] = 0.05 * series[8, 8, 8, 5]  # next to none
    file = save_image(tmp_path / "mask.nii.gz", SERIES.inside.astype(np.uint8))
    for rule in ("b0", "known"):
        found = prepare(series, rule, mask=str(file))
        assert found["voxels_unusable"] == 2
        assert found["voxels_restored"] == SERIES.inside.sum() - 2
        maps = maps_of(found)
        assert not maps["mask"][8, 8, 7:9].any()
        assert all(np.isfinite(values).all() for values in maps.values())


def test_nothing_usable_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert prepare(s0=1.0)["voxels_restored"] == 0
    assert "0 voxels to restore" in caplog.text


def test_maps_scale_with_the_image() -> None:
    for estimate in ("volume", "fit"):
        one, other = (
            maps_of(prepare(SERIES.noisy * gain, "known", noise_estimate=estimate))
            for gain in (1.0, 64.0)
        )
        np.testing.assert_array_equal(one["mask"], other["mask"])
        inside = one["mask"]
        np.testing.assert_allclose(64 * one["scale"][inside], other["scale"][inside], rtol=1e-5)
        np.testing.assert_allclose(one["sigma"], other["sigma"], rtol=1e-5)


def test_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="noise_estimate"):
        prepare(noise_estimate="guess")
    with pytest.raises(ValueError, match="keys"):
        DwiPreparationd(["image", "label"], "b0")


def test_a_known_s0_for_a_model_without_is_said(caplog: pytest.LogCaptureFixture) -> None:
    DwiPreparationd("image", "known", s0=1.0)
    assert not caplog.text
    DwiPreparationd("image", "b0", s0=1.0)
    assert "suits one trained with S0 known" in caplog.text


def test_mask_and_noise_of_the_data_go_before_others() -> None:
    table, inside = study_table(), SERIES.inside & (np.arange(16) < 8)[:, None, None]
    data = {
        "image": volumes_first(SERIES.noisy),
        "b_rows": table.b_rows,
        "unweighted": torch.from_numpy(table.unweighted),
    }
    known = {"mask": MetaTensor(torch.from_numpy(inside)[None].float()), "sigma": 12.0}
    transform = DwiPreparationd(
        "image", "b0", relative_sigma=0.3, mask_key="mask", noise_key="sigma"
    )
    found = transform(data | known)
    maps = maps_of(found)
    np.testing.assert_array_equal(maps["mask"], inside)
    np.testing.assert_allclose((maps["scale"] * maps["sigma"])[inside], 12.0, rtol=1e-5)
    assert (found["mask_source"], found["noise_source"]) == ("data", "data")
    other = transform(data)  # without them it is as ever
    assert (other["mask_source"], other["noise_source"]) == ("median_otsu", "given")


def test_a_fit_that_leaves_nothing_over_is_no_judge_of_the_noise() -> None:
    table = study_table().select(np.r_[0, 2:8])
    found = DwiPreparationd("image", "b0", noise_estimate="fit")(
        {
            "image": volumes_first(SERIES.noisy[..., np.r_[0, 2:8]]),
            "b_rows": table.b_rows,
            "unweighted": torch.from_numpy(table.unweighted),
        }
    )
    assert found["noise_source"] == "estimate_sigma"
    assert 0.01 < found["noise_level"] < 0.1  # 0.03 it is


TRAINED = MixedLevels(0.01, 0.95)


def test_the_bounds_are_within_and_so_is_no_noise_at_all(caplog: pytest.LogCaptureFixture) -> None:
    assert check_noise_levels("scan", torch.tensor([0.0, 0.01, 0.3, 0.95]), TRAINED) == 0
    assert not caplog.text


def test_what_is_beyond_is_counted_and_named_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    levels = torch.tensor([[0.0, 0.009, 0.2, 0.1], [0.96, 7.0, float("inf"), 0.3]])
    with caplog.at_level(logging.WARNING):
        assert check_noise_levels("scan.nii.gz", levels, TRAINED) == 4
    (line,) = caplog.messages
    assert line.startswith("scan.nii.gz: the noise of 4 of 8 voxels is beyond")
    assert "0.01 to 0.95 of S0): 3 above, 1 below" in line


@pytest.mark.parametrize("levels", [MixedLevels(0.005, 0.5, 0.1), PublishedLevels()])
def test_what_training_draws_is_within(levels: Any, caplog: pytest.LogCaptureFixture) -> None:
    drawn = levels.draw(100_000, torch.Generator().manual_seed(0))
    lowest, highest = levels.bounds
    assert drawn.max().item() == pytest.approx(highest, rel=1e-3)
    # Of the uniform half a share of lowest / highest is lower, and nothing else.
    beyond = check_noise_levels("scan", drawn, levels) / len(drawn)
    share = 0.45 * lowest / highest if isinstance(levels, MixedLevels) else 0.0
    assert abs(beyond - share) <= 5 * (share / len(drawn)) ** 0.5
