"""The way of diffusion series with a known truth through the evaluation config."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from diffusion_series import make_series, study_table

from custom.bundle.error_line import user_error
from custom.bundle.launch import run_bundle
from custom.data.datasets.dataset_kinds import DIFFUSION_SERIES
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.errors import InputError
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser

BUNDLE = Path(__file__).parents[2] / "bundles" / "dwi_vae"
# As few simulated signals as give every table and figure: those of the paper take a minute.
FEW = {"diagnostic_signals": 30, "diagnostic_points": 4, "diagnostic_sigmas": [0.1, 0.4]}
CLASSICAL = ["input", "wls", "nlls", "patch2self", "mppca", "localpca"]
SERIES = make_series((9, 8, 7), sigma=0.1)
REVERSED = np.arange(31, -1, -1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scans: one with all that can be known, one with its volumes in another order."""
    folder = tmp_path_factory.mktemp("dataset")
    writer = DatasetWriter(folder, DIFFUSION_SERIES, "balls", "a ball of tissue")
    table = study_table()
    affine = np.diag([2.0, 2.0, 2.5, 1.0])
    series = {"image": (SERIES.noisy, affine), "label": (SERIES.clean, affine)}
    known = {"mask": (SERIES.inside.astype(np.uint8), affine), "s0": (SERIES.s0, affine)}
    level = {"sigma": 60.0, "noise_level": 0.1}
    writer.add("test", "known", series | known, table, subject="s1", **level)
    turned = {name: (array[..., REVERSED], affine) for name, (array, _) in series.items()}
    writer.add("test", "turned", turned, table.select(REVERSED))
    writer.close()
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained networks of the study's measurements: ours is a regularised fit."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name, network in {
        "model": TensorInformedDenoiser(),
        "vae": SignalAutoencoder(kind="variational"),
        "dae": SignalAutoencoder(kind="relu"),
    }.items():
        network.b_rows.copy_(study_table().b_rows)
        torch.save(network.state_dict(), folder / f"{name}.pt")
    return folder


def evaluate(dataset: Path, weights: Path, output: Path, *overlays: str, **more: Any) -> None:
    given = {f"{name}_weights": str(weights / f"{name}.pt") for name in ("vae", "dae")}
    given |= {"ckpt_path": str(weights / "model.pt"), "dataset_dir": str(dataset)}
    given |= {"output_dir": str(output), "device": "$torch.device('cpu')"}
    run_bundle(BUNDLE, ["evaluate", *overlays], given | FEW | more)


@pytest.fixture(scope="module")
def evaluated(dataset: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("output")
    evaluate(dataset, weights, output)
    return output


def read(folder: Path, name: str = "metrics") -> dict[tuple[str, str], dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as text:
        return {(row["scan"], row["method"]): row for row in csv.DictReader(text)}


def test_every_method_restores_every_scan(evaluated: Path) -> None:
    rows = read(evaluated)
    methods = [*CLASSICAL, "vae", "dae", "model"]
    assert list(rows) == [(scan, method) for scan in ("known", "turned") for method in methods]
    assert set(read(evaluated, "times")) == set(rows) - {("known", "input"), ("turned", "input")}
    for name in ("report.html", "summary.json"):
        assert (evaluated / name).stat().st_size > 1000
    assert len(list((evaluated / "figures").glob("*.png"))) == 2


def test_the_input_is_measured_as_by_hand(evaluated: Path, dataset: Path) -> None:
    image, label, s0, mask = (
        nib.load(dataset / folder / "known.nii.gz").get_fdata()
        for folder in ("images", "labels", "s0", "masks")
    )
    inside = mask > 0
    off = ((image - label)[inside] / s0[inside, None]) ** 2
    row = read(evaluated)["known", "input"]
    assert float(row["mse"]) == pytest.approx(off.mean(), rel=1e-5)
    assert (row["subject"], row["noise_level"]) == ("s1", "0.1")
    assert int(row["voxels"]) == inside.sum()


def test_the_order_of_the_volumes_plays_no_part(evaluated: Path) -> None:
    # Without S0 and mask they differ in the unit and in voxels of the rim: not by much.
    rows = read(evaluated)
    for method in ("input", "wls", "nlls", "model"):
        one, other = (float(rows[scan, method]["mse"]) for scan in ("known", "turned"))
        assert other == pytest.approx(one, rel=0.35), method
    assert rows["turned", "input"]["noise_level"] == ""


def test_only_the_model_has_a_coverage(evaluated: Path) -> None:
    for (_, method), row in read(evaluated).items():
        assert (row["coverage_1sd"] != "") == (method == "model")


def test_the_summary_says_how_it_was_measured(evaluated: Path, weights: Path) -> None:
    summary = json.loads((evaluated / "summary.json").read_text())
    assert summary["unit"] == "series"
    assert summary["checkpoint"]["path"] == str((weights / "model.pt").resolve())
    assert list(summary["peers"]) == ["vae", "dae"]
    assert list(summary["groups"]["noise_level"]) == ["0.1", "unknown"]
    assert set(summary["seconds"]) == {*CLASSICAL[1:], "vae", "dae", "model"}


@pytest.mark.slow
def test_an_overlays_network_is_the_model(dataset: Path, weights: Path, tmp_path: Path) -> None:
    evaluate(dataset, weights, tmp_path / "both")
    own = {"ckpt_path": str(weights / "vae.pt")}
    evaluate(dataset, weights, tmp_path / "vae", "vae", num_samples=4, **own)
    rows, peers = read(tmp_path / "vae"), read(tmp_path / "both")
    assert {method for _, method in rows} == {*CLASSICAL, "dae", "model"}, "no peer of itself"
    assert rows["known", "model"]["coverage_1sd"] != "", "several draws have a deviation"
    evaluate(dataset, weights, tmp_path / "mean", "vae", **own)
    mean = read(tmp_path / "mean")["known", "model"]
    assert mean["mse"] == peers["known", "vae"]["mse"]


@pytest.mark.slow
def test_the_datasets_own_noise_level_can_be_told(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    evaluate(dataset, weights, tmp_path, sigma_from_item=True)
    rows = read(tmp_path)
    # 60 of an S0 of about 600
    assert float(rows["known", "model"]["noise_estimate"]) == pytest.approx(0.1, rel=0.1)
    summary = json.loads((tmp_path / "summary.json").read_text())
    told = summary["facts"]["noise of the model"]
    assert told == "data, fit residuals", "the other scan does not tell"


def test_networks_of_other_measurements_are_no_peers(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    other = SignalAutoencoder(num_measurements=16)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    gone = {"vae_weights": str(tmp_path / "other.pt"), "dae_weights": str(tmp_path / "gone.pt")}
    evaluate(
        dataset, weights, tmp_path / "out", methods={"model": "pred"}, diagnostics=None, **gone
    )
    assert {method for _, method in read(tmp_path / "out")} == {"model"}


def test_a_dataset_of_other_measurements_is_one_line_that_says_what_to_do(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    """As for a user of own_scan who evaluates on the demonstration set."""
    own = TensorInformedDenoiser(num_measurements=22, with_scale=True)
    own.b_rows.copy_(study_table().b_rows[:22])
    torch.save(own.state_dict(), tmp_path / "own.pt")
    own_path = {"ckpt_path": str(tmp_path / "own.pt")}
    with pytest.raises((InputError, RuntimeError)) as raised:
        evaluate(dataset, weights, tmp_path / "out", "own_scan", **own_path)
    error = user_error(raised.value)
    assert isinstance(error, InputError)
    (line,) = str(error).splitlines()
    assert "known.nii.gz: 32 volumes, but the model was trained for 22: a model is" in line
    assert "give --dataset" in line


def test_a_split_without_scans_is_refused(dataset: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"split 'validation' .* holds no scan: there are some in test"
    ):
        evaluate(dataset, weights, tmp_path, split="validation")
