import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from slice_scans import METHODS, read, run, scan

from custom.errors import InputError
from custom.evaluation.image_measures import mse, psnr, ssim, tissue_interior
from custom.evaluation.measure import Measure
from custom.evaluation.table import QualityTable
from custom.evaluation.units import Slices
from custom.files.process_lock import process_lock

MEASURES = [mse(), psnr(), ssim()]


def table(folder, measures=MEASURES, methods=METHODS, **options):
    """A table of slices."""
    return QualityTable(
        folder / "out", Slices(["scan", "animal", "plane", "region"], **options), methods, measures
    )


def test_measures_are_those_of_the_acquired_intensities(tmp_path):
    item, raw = scan()
    run([item], table(tmp_path))
    rows = read(tmp_path / "out" / "metrics.csv")
    assert [(row["slice"], row["method"]) for row in rows[:4]] == [
        ("0", "input"),
        ("1", "input"),
        ("2", "input"),
        ("0", "model"),
    ]
    width = np.ptp(raw["high"])
    for row in rows:
        index = int(row["slice"])
        high, image = raw["high"][..., index], raw[row["method"]][..., index]
        factor = raw["input"][..., index].mean()
        assert float(row["data_range"]) == pytest.approx(width / factor, rel=1e-6)
        assert float(row["mse"]) == pytest.approx(
            ((image - high) ** 2).mean() / factor**2, rel=1e-6
        )
        expected = peak_signal_noise_ratio(high, image, data_range=width)
        assert float(row["psnr"]) == pytest.approx(expected, abs=1e-5)
        expected = structural_similarity(
            high,
            image,
            data_range=width,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert float(row["ssim"]) == pytest.approx(expected, abs=1e-5)


def test_the_interior_leaves_out_the_edge_of_an_organ_that_was_cut_out(tmp_path):
    organ = np.zeros((1, 40, 30, 2), np.float32)
    organ[:, 8:32, 5:25] = 1
    organ[:, 18:22, 14:16] = 0  # a hole in it is inside
    organ[..., 1] = 0
    blurred = organ.copy()
    blurred[:, 7] = 0.5  # beyond the edge
    blurred[:, 20, 10] += 0.1  # and one voxel inside
    stacks = {"label": organ, "pred": blurred, "image": organ + 0.2}
    item = {key: torch.from_numpy(stack) for key, stack in stacks.items()}
    item["label"][0, 0, 0, 1] = 1e-3  # a slice of air has a range of its scan's
    run(
        [({"scan": "a", "image": item["image"]}, {k: item[k] for k in ("label", "pred")})],
        table(
            tmp_path,
            [psnr(), psnr(region="interior")],
            regions={"interior": tissue_interior},
        ),
    )
    rows = [row for row in read(tmp_path / "out" / "metrics.csv") if row["method"] == "model"]
    inside = 18 * 14  # 24 x 20 without three voxels at each side
    assert float(rows[0]["psnr_interior"]) == pytest.approx(10 * np.log10(inside / 0.01), abs=1e-3)
    assert float(rows[0]["psnr"]) < float(rows[0]["psnr_interior"])


def test_excluded_slices_are_left_out_and_counted(tmp_path):
    (tmp_path / "bad.csv").write_text(
        "scan,slice,exclude,reason\nm1_axial_head,1,yes,ghost\nm1_axial_head,2,no,\n"
        "m1_axial_head,9,yes,beyond the stack\nother,0,yes,\n"
    )
    item, _ = scan(exclusions=str(tmp_path / "bad.csv"))
    without = table(tmp_path)
    run([item], without)
    run([scan()[0]], table(tmp_path / "all"))
    kept = read(tmp_path / "out" / "metrics.csv")
    assert {row["slice"] for row in kept} == {"0", "2"}
    others = [row for row in read(tmp_path / "all" / "out" / "metrics.csv") if row["slice"] != "1"]
    # PSNR and SSIM have the range of what is kept.
    assert [(row["slice"], row["method"], row["mse"]) for row in kept] == [
        (row["slice"], row["method"], row["mse"]) for row in others
    ]
    assert without.units.excluded == {"m1_axial_head": [1]}
    assert without.units.counts() == {"excluded": 1}
    assert without.units.facts() == {"excluded slices": "m1_axial_head: 1"}


def test_an_excluded_slice_does_not_widen_the_data_range(tmp_path):
    (tmp_path / "bad.json").write_text('{"m1_axial_head": [1]}')
    (batch, output), raw = scan(exclusions=str(tmp_path / "bad.json"))
    output["label"][0, 4, 4, 1] *= 20  # a spike
    run([(batch, output)], table(tmp_path))
    width = np.ptp(raw["high"][..., [0, 2]])
    rows = read(tmp_path / "out" / "metrics.csv")
    assert [row["slice"] for row in rows] == ["0", "2"] * 2
    for row in rows:
        index = int(row["slice"])
        factor = raw["input"][..., index].mean()
        assert float(row["data_range"]) == pytest.approx(width / factor, rel=1e-6)
        high, image = raw["high"][..., index], raw[row["method"]][..., index]
        expected = peak_signal_noise_ratio(high, image, data_range=width)
        assert float(row["psnr"]) == pytest.approx(expected, abs=1e-5)


def test_nothing_left_is_said(tmp_path):
    (tmp_path / "bad.json").write_text('{"m1_axial_head": [0, 1, 2]}')
    item, _ = scan(exclusions=str(tmp_path / "bad.json"))
    with pytest.raises(InputError, match="nothing is left to evaluate"):
        run([item], table(tmp_path))


def test_a_region_is_measured_alone_and_unknown_where_it_is_not_drawn(tmp_path):
    drawn = torch.zeros(1, 32, 28, 3)
    drawn[:, 4:12, 6:16] = 2
    (batch, output), raw = scan(lesion=drawn)

    def lesion(images):
        mask = images.image("lesion")
        return None if mask is None else mask > 0

    measures = [psnr("lesion"), ssim("lesion")]
    run([(batch, output), scan("m2")[0]], table(tmp_path, measures, regions={"lesion": lesion}))
    rows = [row for row in read(tmp_path / "out" / "metrics.csv") if row["method"] == "model"]
    width = np.ptp(raw["high"])
    for row in rows[:3]:
        high, image = (raw[name][..., int(row["slice"])] for name in ("high", "model"))
        place = np.s_[4:12, 6:16]
        expected = peak_signal_noise_ratio(high[place], image[place], data_range=width)
        assert float(row["psnr_lesion"]) == pytest.approx(expected, abs=1e-5)
        _, whole = structural_similarity(
            high,
            image,
            data_range=width,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        # Of the region what lies farther than 5 pixels from the border.
        assert float(row["ssim_lesion"]) == pytest.approx(whole[5:12, 6:16].mean(), abs=5e-5)
    assert {row[name] for row in rows[3:] for name in ("psnr_lesion", "ssim_lesion")} == {""}


def test_a_measure_of_ones_own_has_its_column(tmp_path):
    item, _ = scan()

    def mean_difference(compared):
        return (compared.predicted - compared.reference).abs().mean((1, 2, 3))

    own = Measure("mae", "MAE", "", "lower", None, "", mean_difference)
    run([item], table(tmp_path, [*MEASURES, own]))
    rows = read(tmp_path / "out" / "metrics.csv")
    assert all(0 < float(row["mae"]) ** 2 < float(row["mse"]) for row in rows)
    assert list(rows[0])[-2:] == ["mae", "data_range"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda output: output["pred"].fill_(torch.nan), "model gives values that are not finite"),
        (lambda output: output["label"].fill_(2.0), "constant"),
    ],
)
def test_what_cannot_be_measured_names_the_scan(tmp_path, change, word):
    (batch, output), _ = scan()
    change(output)
    batch["image_scale"] = torch.ones(3)
    with pytest.raises(InputError, match=word) as caught:
        run([(batch, output)], table(tmp_path))
    assert "m1_axial_head" in str(caught.value)


def test_slices_too_small_for_ssim_name_the_scan(tmp_path):
    (batch, output), _ = scan()
    batch["image"] = batch["image"][:, :8]
    small = {key: stack[:, :8] for key, stack in output.items()}
    with pytest.raises(InputError, match=r"m1_axial_head .* at least 11 voxels"):
        run([(batch, small)], table(tmp_path))


def test_a_stack_of_another_shape_is_refused(tmp_path):
    (batch, output), _ = scan()
    output["pred"] = output["pred"][:, 1:]
    with pytest.raises(ValueError, match=r"model must give .* for m1_axial_head"):
        run([(batch, output)], table(tmp_path))


def test_an_output_folder_that_will_not_do_is_refused_before_anything_runs(tmp_path, monkeypatch):
    item, _ = scan()
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "out").write_text("")
    for folder, word in (("file", "cannot write into"), ("other", "holds other files")):
        with pytest.raises(InputError, match=word):
            run([item], table(tmp_path / folder))
    with (
        process_lock(tmp_path / "out" / ".running.lock"),
        pytest.raises(InputError, match="another process is writing there"),
    ):
        run([item], table(tmp_path))
    run([item], table(tmp_path))
    monkeypatch.setattr("pathlib.Path.is_mount", lambda _: True)
    never = Measure("never", "", "", "lower", None, "", lambda _: pytest.fail("it ran"))
    with pytest.raises(InputError, match="give a new folder in it"):
        run([item], table(tmp_path, [never]))
