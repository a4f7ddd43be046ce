"""The evaluation of the super-resolution bundle, from files to tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity
from torch.nn.functional import interpolate

from custom.bundle.launch import run_bundle
from custom.evaluation.table import read_rows

BUNDLE = Path(__file__).parents[2] / "bundles" / "gan3d_sr_denoise"


@pytest.mark.slow
def test_the_table_is_that_of_the_files(tmp_path: Any) -> None:
    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "evaluate.yaml")
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    settings = {
        "ckpt_path": str(tmp_path / "model.pt"),
        "demo_dir": str(tmp_path / "demo"),
        "noise_levels": [0.0, 0.3],
        "acquired_by": "linear",
        "nlm_block_radius": 1,
        "device": "cpu",
    }
    run_bundle(BUNDLE, ["evaluate", "tiny"], {**settings, "output_dir": str(tmp_path / "out")})
    found = read_rows(tmp_path / "out", ["psnr", "ssim", "nrmse", "kspace_error"])
    rows = {(row["method"], float(row["noise_level"])): row for row in found}
    assert len(rows) == 10
    row = rows["trilinear", 0.0]
    file = tmp_path / "demo" / "labels" / f"{row['scan']}.nii.gz"
    label = np.asarray(nib.load(file).dataobj, dtype=np.float64)
    assert not any(length % 2 for length in label.shape)
    # Half of the triangle filter: weights 1, 3, 3, 1 over 8, away from the border.
    low = label
    for axis in range(3):
        low = np.moveaxis(low, axis, 0)
        padded = np.pad(low, ((1, 1), (0, 0), (0, 0)), mode="edge")
        taps = [padded[k::2][: len(low) // 2] for k in range(4)]
        halved = (taps[0] + 3 * taps[1] + 3 * taps[2] + taps[3]) / 8
        # At the border the filter leaves out what is not there.
        halved[0] = (3 * low[0] + 3 * low[1] + low[2]) / 7
        halved[-1] = (3 * low[-1] + 3 * low[-2] + low[-3]) / 7
        low = np.moveaxis(halved, 0, axis)
    fine = interpolate(torch.from_numpy(low)[None, None], scale_factor=2, mode="trilinear")
    found = fine[0, 0].numpy()
    width = label.max() - label.min()
    assert row["psnr"] == pytest.approx(
        peak_signal_noise_ratio(label, found, data_range=width), abs=1e-3
    )
    assert row["nrmse"] == pytest.approx(normalized_root_mse(label, found), abs=1e-5)
    expected = structural_similarity(
        label, found, data_range=width, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    assert row["ssim"] == pytest.approx(expected, abs=1e-4)
    consistent, model = rows["model_consistent", 0.0], rows["model", 0.0]
    assert consistent["kspace_error"] < model["kspace_error"]
    for method in ("trilinear", "cubic", "model"):
        assert rows[method, 0.3]["psnr"] < rows[method, 0.0]["psnr"]
    for file in ("report.html", "summary.json", "times.csv", "diagnostics/noise.png"):
        assert (tmp_path / "out" / file).is_file()
