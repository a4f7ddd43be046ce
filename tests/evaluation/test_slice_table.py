import csv

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from custom.errors import InputError
from custom.evaluation.slice_table import CNR_COLUMNS, QualityTable

METHODS = {"input": "image", "model": "pred"}


def scan(name="m1_axial_head", depth=3, seed=0, **more):
    """One scan as the evaluator hands it over: a batch item and its output."""
    random = np.random.default_rng(seed)
    high = 100 + 50 * random.random((16, 14, depth)).repeat(2, 0).repeat(2, 1)
    low = high + 8 * random.standard_normal(high.shape)
    pred = high + 3 * random.standard_normal(high.shape)
    factors = low.mean((0, 1))
    stacks = {
        key: MetaTensor(
            torch.from_numpy(stack / factors)[None],
            affine=torch.diag(torch.tensor([0.1, 0.2, 0.6, 1.0])),
        )
        for key, stack in {"image": low, "label": high, "pred": pred}.items()
    }
    batch = {"scan": name, "animal": "m1", "plane": "axial", "region": "head"}
    batch |= {"image": stacks["image"], "image_scale": torch.from_numpy(factors), **more}
    output = {"label": stacks["label"], "pred": stacks["pred"]}
    return (batch, output), {"input": low, "model": pred, "high": high}


def run(scans, *handlers):
    engine = Engine(lambda engine, _: [scans[engine.state.iteration - 1][1]])
    for handler in handlers:
        handler.attach(engine)
    engine.run([[batch] for batch, _ in scans])


def read(path):
    with path.open(newline="") as text:
        return list(csv.DictReader(text))


def test_measures_are_those_of_the_acquired_intensities(tmp_path):
    item, raw = scan()
    run([item], QualityTable(tmp_path, METHODS))
    rows = read(tmp_path / "metrics.csv")
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


def test_excluded_slices_are_left_out_and_counted(tmp_path):
    (tmp_path / "bad.csv").write_text(
        "scan,slice,exclude,reason\nm1_axial_head,1,yes,ghost\nm1_axial_head,2,no,\n"
        "m1_axial_head,9,yes,beyond the stack\nother,0,yes,\n"
    )
    item, _ = scan(exclusions=str(tmp_path / "bad.csv"))
    table, everything = QualityTable(tmp_path, METHODS), QualityTable(tmp_path / "all", METHODS)
    run([item], table)
    run([scan()[0]], everything)
    kept = read(tmp_path / "metrics.csv")
    assert {row["slice"] for row in kept} == {"0", "2"}
    others = [row for row in read(tmp_path / "all" / "metrics.csv") if row["slice"] != "1"]
    # PSNR and SSIM have the range of what is kept.
    assert [(row["slice"], row["method"], row["mse"]) for row in kept] == [
        (row["slice"], row["method"], row["mse"]) for row in others
    ]
    assert table.excluded == {"m1_axial_head": [1]}


def test_an_excluded_slice_does_not_widen_the_data_range(tmp_path):
    (tmp_path / "bad.json").write_text('{"m1_axial_head": [1]}')
    (batch, output), raw = scan(exclusions=str(tmp_path / "bad.json"))
    output["label"][0, 4, 4, 1] *= 20  # a spike
    run([(batch, output)], QualityTable(tmp_path, METHODS))
    width = np.ptp(raw["high"][..., [0, 2]])
    rows = read(tmp_path / "metrics.csv")
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
    item, _ = scan()
    with pytest.raises(InputError, match="no slice is left"):
        run([item], QualityTable(tmp_path, METHODS, exclusions=tmp_path / "bad.json"))


def test_contrast_to_noise_in_the_layout_of_the_source(tmp_path):
    mask = torch.zeros(1, 32, 28, 3, dtype=torch.uint8)
    mask[:, :8, :8, :2] = 1
    mask[:, 16:, 16:, 1:] = 2
    item, raw = scan(mask=mask)
    table = QualityTable(tmp_path, METHODS)
    run([item], table)
    (row,) = read(tmp_path / "cnr.csv")
    assert tuple(row) == CNR_COLUMNS
    assert (row["Mouse"], row["Plane"], row["Slice"], row["Region"]) == ("m1", "axial", "1", "head")
    for column, key in {"LR CNR": "input", "DL CNR": "model", "HR CNR": "high"}.items():
        image = raw[key][..., 1]
        roi, background = image[:8, :8], image[16:, 16:]
        expected = (roi.mean() - background.mean()) / background.std()
        assert float(row[column]) == pytest.approx(expected, rel=1e-5)
    assert table.cnr_left_out == {"no background drawn": 1, "no region of interest drawn": 1}


def test_a_further_method_has_a_ratio_of_its_own(tmp_path):
    mask = torch.zeros(1, 32, 28, 3, dtype=torch.uint8)
    mask[:, :8, :8], mask[:, 16:, 16:] = 1, 2
    (batch, output), _ = scan(mask=mask)
    output["smooth"] = 2 * output["label"]  # the ratio does not depend on the gain
    output["smooth"][:, 16:, 16:, 2] = 0.5  # no noise is left: no ratio
    table = QualityTable(tmp_path, METHODS | {"smooth": "smooth"})
    run([(batch, output)], table)
    rows = read(tmp_path / "cnr.csv")
    assert tuple(rows[0]) == (*CNR_COLUMNS, "smooth CNR")
    assert [row["smooth CNR"] for row in rows] == [rows[0]["HR CNR"], rows[1]["HR CNR"], ""]
    assert all(float(row["DL CNR"]) for row in rows)
    assert not table.cnr_left_out


def test_a_further_measure_has_its_column(tmp_path):
    item, _ = scan()

    def mean_difference(predicted, reference, data_range):
        return (predicted - reference).abs().mean((1, 2, 3)) / data_range

    run([item], QualityTable(tmp_path, METHODS, lpips=mean_difference))
    rows = read(tmp_path / "metrics.csv")
    assert all(float(row["lpips"]) > 0 for row in rows)
    assert list(rows[0])[-2:] == ["lpips", "data_range"]


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
        run([(batch, output)], QualityTable(tmp_path, METHODS))
    assert "m1_axial_head" in str(caught.value)


def test_slices_too_small_for_ssim_name_the_scan(tmp_path):
    (batch, output), _ = scan()
    batch["image"] = batch["image"][:, :8]
    small = {key: stack[:, :8] for key, stack in output.items()}
    with pytest.raises(InputError, match=r"m1_axial_head .* at least 11 voxels"):
        run([(batch, small)], QualityTable(tmp_path, METHODS))


def test_input_and_model_must_be_there(tmp_path):
    with pytest.raises(ValueError, match="methods"):
        QualityTable(tmp_path, {"input": "image"})
