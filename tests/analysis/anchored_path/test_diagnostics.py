import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from custom.analysis.anchored_path.diagnostics import AnchoredPathDiagnostics
from custom.analysis.anchored_path.figures import draw_spread, draw_steps
from custom.analysis.anchored_path.quality import (
    Deviation,
    deviations,
    input_quality,
    rank_correlations,
    reliability,
    step_quality,
)
from custom.analysis.anchored_path.slices import (
    PairedSlice,
    choose_slices,
    path_strip,
    tissue_box,
)
from custom.data.datasets.residual_bank import ResidualBank
from custom.errors import InputError
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise

NAMES = ["path", "variance", "endpoint", "edges", "steps", "spread"]


def scans(count=3, depth=5, size=24):
    rng = torch.Generator().manual_seed(0)
    for number in range(count):
        label = 1 + torch.rand(1, size, size, depth, generator=rng)
        image = label + 0.2 * torch.randn(label.shape, generator=rng)
        means = torch.arange(1.0, depth + 1)
        yield {"scan": f"scan{number}", "image": image, "label": label, "image_scale": means}


class Nothing(torch.nn.Module):
    """Predicts that nothing is to be taken off."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, position):
        return self.weight * x


class Oracle(Nothing):
    """Knows what is to be taken off the path."""

    def __init__(self, clean):
        super().__init__()
        self.clean = clean

    def forward(self, x, position):
        return x - self.clean


def noise(side=16):
    fields = torch.randn(10, side, side, generator=torch.Generator().manual_seed(0))
    return ResidualNoise(SimpleNamespace(residuals=fields, rms=0.3))


def diagnostics(output_dir, **changed):
    settings = {"dataset": list(scans()), "steps_compared": (1, 3, 99), "slices": 2, "draws": 4}
    settings |= {"num_samples": 2, "num_inference_steps": 2, "noise": noise()} | changed
    path = AnchoredPathScheduler(num_steps=6, end_std=0.1)
    return AnchoredPathDiagnostics(
        network=Nothing(), scheduler=path, output_dir=output_dir, **settings
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return diagnostics(tmp_path_factory.mktemp("evaluate")).write()


def test_every_figure_is_written_with_its_numbers(written):
    assert sorted(path.stem for path in written.glob("*.png")) == sorted(NAMES)
    numbers = json.loads((written / "diagnostics.json").read_text())
    assert list(numbers) == list(NAMES)
    rows = numbers["steps"]["rows"]
    assert [(row["steps"], row["stochastic"]) for row in rows] == [
        (1, False), (3, False), (6, False), (1, True), (3, True), (6, True),
    ]  # fmt: skip
    # the network takes nothing off: deterministic restoration is the input
    assert rows[2]["mse"] == pytest.approx(numbers["steps"]["input"]["mse"], rel=1e-4)
    assert rows[5]["mse"] > rows[2]["mse"]
    assert numbers["edges"]["kinds"][2]["fixed_share"] == 0


@pytest.mark.parametrize(("asked", "taken"), [(1, 2), (3, 3), (10, 6), (None, 6)])
def test_a_path_shorter_than_the_steps_asked_for_is_gone_in_all_its_steps(tmp_path, asked, taken):
    folder = diagnostics(tmp_path, num_inference_steps=asked, slices=1, steps_compared=(1,)).write()
    numbers = json.loads((folder / "diagnostics.json").read_text())
    assert numbers["spread"]["steps"] == taken


def test_without_a_bank_there_is_one_warning(tmp_path, caplog):
    missing = ResidualNoise(ResidualBank(tmp_path / "residuals.zarr.zip"))
    with caplog.at_level(logging.WARNING):
        assert diagnostics(tmp_path, noise=missing).write() is None
    assert len(caplog.records) == 1
    assert "no residual bank there" in caplog.text
    assert not (tmp_path / "diagnostics").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slices", 0),
        ("draws", 1),
        ("num_samples", 1),
        ("steps_compared", ()),
        ("steps_compared", (0, 1)),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=name):
        diagnostics(tmp_path, **{name: value})


def test_slices_are_spread_over_scans_and_leave_out_bad_ones(tmp_path):
    chosen = choose_slices(list(scans()), 3)
    assert [(item.scan, item.index) for item in chosen] == [
        ("scan0", 2), ("scan1", 2), ("scan2", 2),
    ]  # fmt: skip
    more = choose_slices(list(scans(count=1)), 3)
    assert [item.index for item in more] == [0, 2, 4]
    bad = tmp_path / "exclusions.csv"
    bad.write_text("scan,slice,exclude,reason\nscan0,2,yes,motion\nscan0,0,yes,motion\n")
    (item,) = choose_slices([item | {"exclusions": str(bad)} for item in scans(count=1)], 1)
    assert item.index == 3
    # the range of the kept reference slices as acquired, in means of this slice
    label = next(scans())["label"][..., [1, 3, 4]] * torch.tensor([2.0, 4.0, 5.0])
    assert item.data_range == pytest.approx(float(label.max() - label.min()) / 4)
    everything = "".join(f"scan0,{index},yes,motion\n" for index in range(5))
    bad.write_text("scan,slice,exclude,reason\n" + everything)
    with pytest.raises(InputError, match="no slice is left"):
        choose_slices([item | {"exclusions": str(bad)} for item in scans(count=1)], 1)


def test_an_oracle_walks_back_to_the_reference():
    (pair,) = choose_slices(list(scans(count=1)), 1)
    clean, anchor = pair.standardised("centred")
    assert float(anchor.mean()) == pytest.approx(0, abs=1e-5)  # rounding of float32
    assert float(anchor.std(correction=0)) == pytest.approx(1, abs=1e-5)
    path = AnchoredPathScheduler(num_steps=5, end_std=0.2)
    rng = torch.Generator().manual_seed(0)
    strip = path_strip(path, noise(), Oracle(clean), (clean, anchor), rng, columns=6)
    assert strip.steps == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(strip.reverse[0], clean[0, 0], atol=1e-5)
    np.testing.assert_allclose(strip.reverse[5], anchor[0, 0], atol=1e-6)
    np.testing.assert_allclose(strip.forward[0], clean[0, 0], atol=1e-6)
    mean = (clean + 0.4 * (anchor - clean))[0, 0].numpy()
    np.testing.assert_allclose(strip.forward[2] - strip.noise[2], mean, atol=1e-5)
    assert strip.noise[4].std() > strip.noise[1].std() > 0


def paired(image, label):
    shaped = [torch.as_tensor(values).float()[None, None] for values in (image, label)]
    return PairedSlice("scan", 0, *shaped, data_range=4.0, pixel_mm=(1, 1))


def test_quality_is_that_of_the_slices_given():
    label = torch.rand(16, 16) + 1
    pair = paired(label + 0.1, label)
    measured = input_quality([pair])
    assert measured["mse"] == pytest.approx(0.01, rel=1e-4)
    assert measured["psnr"] == pytest.approx(10 * np.log10(16 / 0.01), rel=1e-4)
    rows = step_quality(lambda steps, _: lambda image, _: image - 0.1 / steps, Nothing(), [pair],
                        [1, 2])  # fmt: skip
    assert [row["mse"] for row in rows] == pytest.approx([0, 0.0025, 0, 0.0025], abs=1e-6)


def deviation_of(scale, seed=0):
    """A slice whose error has exactly the deviation told, times a factor."""
    rng = np.random.default_rng(seed)
    told = rng.uniform(0.1, 1, (120, 120))
    label = np.full((120, 120), 5.0)
    return Deviation(paired(label, label), label + scale * told * rng.normal(size=told.shape), told)


def test_reliability_finds_the_factor_between_deviation_and_error():
    told, true = reliability([deviation_of(3.0), deviation_of(3.0, seed=1)])
    # the RMS of n normal values is within 1 / sqrt(2 n) of their deviation
    assert (np.abs(true / told / 3 - 1) < 5 / np.sqrt(2 * 2 * 1440)).all()
    assert (np.diff(told) > 0).all()


def test_rank_correlation_is_one_for_a_true_map_and_none_for_a_constant_one():
    item = deviation_of(1.0)
    true = Deviation(item.pair, item.mean, item.error)
    assert rank_correlations([true])["deviation"] == pytest.approx(1)
    constant = Deviation(item.pair, item.mean, np.ones_like(item.mean))
    assert np.isnan(rank_correlations([constant])["deviation"])
    assert rank_correlations([true, constant])["deviation"] == pytest.approx(1)
    dark = Deviation(paired(np.zeros((12, 12)), np.zeros((12, 12))), *np.ones((2, 12, 12)))
    assert np.isnan(reliability([dark])[0]).all()


def test_mean_and_deviation_are_the_channels():
    pair = paired(torch.ones(12, 12), torch.ones(12, 12))

    def two(image, network):
        return torch.cat([image + 1, 0.5 * image], 1)

    (found,) = deviations(two, Nothing(), [pair])
    assert float(found.error.mean()) == 1
    assert float(found.deviation.mean()) == 0.5


def test_small_differences_do_not_fill_a_panel():
    names = ("steps", "stochastic", "mse", "psnr", "ssim", "seconds")
    rows = [
        dict(zip(names, (n, noisy, 0.1 + 1e-5 * n, 30 + 1e-3 * n, 0.9, 0.1 * n), strict=True))
        for noisy in (False, True)
        for n in (1, 2)
    ]
    figure = draw_steps(rows, {"mse": 0.2, "psnr": 28.0, "ssim": 0.8})
    mse, psnr, _, _ = (high - low for low, high in (ax.get_ylim() for ax in figure.axes))
    assert (mse, psnr) == pytest.approx((0.02, 0.5))


def test_a_slice_without_tissue_can_be_drawn(tmp_path):
    nothing = np.zeros((12, 12))
    item = Deviation(paired(nothing, nothing), nothing, nothing)
    figure = draw_spread(item, reliability([item]), rank_correlations([item]))
    figure.savefig(tmp_path / "a.png")


def test_the_tissue_is_cut_out_with_a_margin():
    tissue = np.zeros((100, 60), bool)
    tissue[30:60, 5:50] = True
    rows, columns = tissue_box(tissue)
    assert (rows.start, rows.stop) == (25, 64)
    assert columns.start == 0
    assert columns.stop == 56
    assert tissue_box(np.zeros((8, 9), bool)) == (slice(0, 8), slice(0, 9))
