"""Tables, figures and report of an evaluation."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from evaluation_runs import NETWORK, evaluate, read, write_dataset, write_weights
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from custom.errors import InputError
from custom.physics.intensity_statistics import OUTLIER, outlier_limit
from custom.transforms.non_local_means import non_local_means
from custom.transforms.upsample_in_plane import upsample_in_plane


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "model.pt")


@pytest.fixture(scope="module")
def evaluated(dataset, weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    evaluate(dataset, weights, output)
    return output


def test_every_kept_slice_has_every_method(evaluated):
    rows = read(evaluated / "metrics.csv")
    slices = {(row["scan"], row["slice"]) for row in rows}
    assert slices == {
        ("m1_axial_head", "0"),
        ("m1_axial_head", "1"),
        ("m1_coronal_head", "0"),
        ("m2_axial_head", "0"),
        ("m2_axial_head", "1"),
        ("m2_axial_head", "2"),
    }
    methods = {"input", "bicubic", "zero_filled", "nlm", "model"}
    assert {(*place, method) for place in slices for method in methods} == {
        (row["scan"], row["slice"], row["method"]) for row in rows
    }
    assert len(rows) == 30
    assert "lpips" not in rows[0]


def test_input_and_model_are_those_of_the_files(evaluated, dataset):
    values = {
        (row["scan"], row["slice"], row["method"]): row for row in read(evaluated / "metrics.csv")
    }
    low = nib.load(dataset / "images" / "m2_axial_head.nii.gz").get_fdata()
    high = nib.load(dataset / "labels" / "m2_axial_head.nii.gz").get_fdata()
    width = np.ptp(high)
    for index in range(3):
        nearest = low[..., index].repeat(2, 0).repeat(2, 1)
        mean = outlier_limit(nearest) / OUTLIER  # the median of the tissue
        for method, image in {"input": nearest, "model": 0.8 * nearest + 0.5 * mean}.items():
            row = values["m2_axial_head", str(index), method]
            reference = high[..., index]
            expected = ((image - reference) ** 2).mean() / mean**2
            assert float(row["mse"]) == pytest.approx(expected, rel=1e-5)
            expected = peak_signal_noise_ratio(reference, image, data_range=width)
            assert float(row["psnr"]) == pytest.approx(expected, abs=1e-4)
            expected = structural_similarity(
                reference,
                image,
                data_range=width,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            assert float(row["ssim"]) == pytest.approx(expected, abs=1e-5)
            assert float(row["data_range"]) == pytest.approx(width / mean, rel=1e-5)


def test_the_baselines_are_in_the_units_of_the_reference(evaluated, dataset):
    low = nib.load(dataset / "images" / "m2_axial_head.nii.gz").get_fdata()
    high = nib.load(dataset / "labels" / "m2_axial_head.nii.gz").get_fdata()
    stack = torch.from_numpy(low)[None]
    nlm = torch.from_numpy(non_local_means(low))[None]
    for method, acquired in {"bicubic": stack, "nlm": nlm}.items():
        fine = upsample_in_plane(acquired, 2, "bicubic")[0].double().numpy()
        rows = [
            row
            for row in read(evaluated / "metrics.csv")
            if (row["scan"], row["method"]) == ("m2_axial_head", method)
        ]
        for index, row in enumerate(rows):
            expected = peak_signal_noise_ratio(
                high[..., index], fine[..., index], data_range=np.ptp(high)
            )
            assert float(row["psnr"]) == pytest.approx(expected, abs=1e-3)


def test_the_baselines_come_from_the_scan_and_not_from_the_network(
    dataset, weights, evaluated, tmp_path
):
    other = tmp_path / "model.pt"
    torch.save({"weight": torch.full((1, 1, 1, 1), 0.1), "bias": torch.zeros(1)}, other)
    evaluate(dataset, other, tmp_path / "output", scans_per_plane=0)
    pairs = zip(
        read(evaluated / "metrics.csv"), read(tmp_path / "output" / "metrics.csv"), strict=True
    )
    for before, after in pairs:
        assert (before == after) == (before["method"] != "model")


def peers(weights):
    """A peer that restores as the model of the other tests does: 0.8 x + 0.5."""
    slices = {"_target_": "SliceInferer", "spatial_dim": 2, "roi_size": [-1, -1]}
    restore = {
        "_target_": "custom.evaluation.restore_with.RestoreWithd",
        "keys": "image",
        "output_key": "unet",
        "network": NETWORK,
        "ckpt_path": str(weights),
        "inferer": slices,
        "device": "@device",
    }
    return [restore, {"_target_": "Activationsd", "keys": "unet", "other": "$torch.relu"}]


def test_a_peer_stands_beside_the_model_with_the_numbers_it_has_alone(
    dataset, weights, evaluated, tmp_path
):
    methods = {"input": "image", "unet": "unet", "model": "pred"}
    other = tmp_path / "model.pt"
    torch.save({"weight": torch.full((1, 1, 1, 1), 0.1), "bias": torch.zeros(1)}, other)
    given = {"methods": methods, "peers": peers(weights), "method_names": {"model": "APDDM"}}
    evaluate(dataset, other, tmp_path / "output", nlm_block_radius=1, **given)
    rows = read(tmp_path / "output" / "metrics.csv")
    beside = [row | {"method": "model"} for row in rows if row["method"] == "unet"]
    assert beside == [row for row in read(evaluated / "metrics.csv") if row["method"] == "model"]
    assert beside != [row for row in rows if row["method"] == "model"]

    ratios = read(tmp_path / "output" / "cnr.csv")
    alone = [row["DL CNR"] for row in read(evaluated / "cnr.csv")]
    assert [row["unet CNR"] for row in ratios] == alone
    assert [row["LR CNR"] for row in ratios] == [
        row["LR CNR"] for row in read(evaluated / "cnr.csv")
    ]

    summary = json.loads((tmp_path / "output" / "summary.json").read_text())
    assert summary["peers"]["unet"]["path"] == str(weights)
    assert summary["model_against"]["unet"]["psnr"]["of"] == 6
    times = read(tmp_path / "output" / "times.csv")
    assert [(row["method"], row["slices"]) for row in times] == [
        (method, depth) for depth in "313" for method in ("unet", "model")
    ]
    assert all(float(row["seconds"]) > 0 for row in times)
    assert summary["seconds"]["unet"]["model_ratio"] > 0
    assert "APDDM" in (tmp_path / "output" / "report.html").read_text()


def test_a_peer_without_weights_ends_the_run_before_anything_is_restored(
    dataset, weights, tmp_path
):
    methods = {"input": "image", "unet": "unet", "model": "pred"}
    with pytest.raises(InputError, match=r"gone\.pt does not exist: .* 'unet'"):
        evaluate(dataset, weights, tmp_path, methods=methods, peers=peers(tmp_path / "gone.pt"))
    assert not list(tmp_path.iterdir())


def test_the_summary_says_what_was_done(evaluated, weights):
    summary = json.loads((evaluated / "summary.json").read_text())
    assert summary["dataset"]["name"] == "test pairs"
    assert summary["counts"] == {"slice": 6, "scan": 3, "animal": 2, "excluded": 1}
    assert summary["facts"]["excluded slices"] == "m1_axial_head: 2"
    assert summary["methods"] == ["input", "bicubic", "zero_filled", "nlm", "model"]
    assert summary["groups"]["plane"]["coronal"]["model"]["mse"]["n"] == 1
    assert summary["groups"]["animal"]["m1"]["model"]["mse"]["n"] == 3
    assert summary["checkpoint"]["path"] == str(weights)
    left_out = summary["facts"]["slices without a contrast-to-noise ratio"]
    assert left_out == "1 of slices: no mask file"
    assert len(read(evaluated / "cnr.csv")) == summary["tables"][0]["rows"][0][-1] == 5


def test_contrast_to_noise_of_the_files(evaluated, dataset):
    row = read(evaluated / "cnr.csv")[2]
    assert (row["Mouse"], row["Plane"], row["Slice"]) == ("m2", "axial", "0")
    high = nib.load(dataset / "labels" / "m2_axial_head.nii.gz").get_fdata()[..., 0]
    region, background = high[:6, :6], high[-6:, -6:]
    expected = (region.mean() - background.mean()) / background.std()
    assert float(row["HR CNR"]) == pytest.approx(expected, rel=1e-5)
    # 0.8 x + 0.5 changes neither contrast nor noise relative to each other
    assert float(row["DL CNR"]) == pytest.approx(float(row["LR CNR"]), rel=1e-4)


def test_figures_and_report_are_there(evaluated):
    rows = read(evaluated / "figures" / "figures.csv")
    assert {row["plane"] for row in rows[:-1]} == {"axial", "coronal"}
    assert all((evaluated / "figures" / row["file"]).stat().st_size > 10_000 for row in rows)
    text = (evaluated / "report.html").read_text()
    assert "no backbone weights given" in text
    assert text.count("data:image/png;base64,") == len(rows)
    assert not [path for path in evaluated.rglob("*") if path.name.startswith(".tmp")]


def test_a_backbone_adds_a_column(dataset, weights, tmp_path):
    models = pytest.importorskip("torchvision.models")
    pytest.importorskip("lpips")
    torch.save(models.alexnet(weights=None).state_dict(), tmp_path / "alexnet.pth")
    small = {"nlm_block_radius": 1, "scans_per_plane": 0}
    output = tmp_path / "out"
    evaluate(dataset, weights, output, lpips_weights=str(tmp_path / "alexnet.pth"), **small)
    assert all(0 < float(row["lpips"]) < 2 for row in read(output / "metrics.csv"))
    summary = json.loads((output / "summary.json").read_text())
    assert list(summary["measures"]) == ["mse", "psnr", "psnr_interior", "ssim", "lpips"]
    assert "LPIPS" not in summary["facts"]
