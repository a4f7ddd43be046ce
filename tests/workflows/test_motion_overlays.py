"""The overlays of the motion bundle: the 3D GAN, and TorchIO's motion in place of ours."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from custom.bundle.launch import run_bundle
from custom.demo.brain.moving_heads import MovingHeadsDemo
from custom.errors import InputError
from custom.evaluation.table import read_rows
from custom.inferers.tiled_inferer import TiledUpscalingInferer

BUNDLE = Path(__file__).parents[2] / "bundles" / "motion_cdm"
TINY = {"device": "$torch.device('cpu')", "evaluation_size": [-1, -1, 6], "motions": 1}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return MovingHeadsDemo(tmp_path_factory.mktemp("demo"), size="tiny").ensure()


def run(name, overlay, demo, output, **more):
    """Run a workflow on the tiny set."""
    given = {"demo_dir": str(demo), "output_dir": str(output), "device": TINY["device"]}
    run_bundle(BUNDLE, [name, overlay, "tiny"], given | more)


def train_and_evaluate(overlay, demo, tmp_path):
    """Return the checkpoint of a tiny training and the rows of its evaluation."""
    run("train", overlay, demo, tmp_path / "train", max_epochs=1, min_epochs=1)
    trained = {"ckpt_path": str(tmp_path / "train" / "models" / "model.pt")}
    run("evaluate", overlay, demo, tmp_path / "table", **TINY, **trained)
    return trained, read_rows(tmp_path / "table", ["psnr", "severity"])


def test_the_gan_trains_is_measured_and_corrects(demo, tmp_path):
    trained, rows = train_and_evaluate("gan", demo, tmp_path)
    assert {row["method"] for row in rows} == {"input", "model"}
    scan = next((demo / "images").glob("*.nii.gz"))
    paths = {"input": str(scan), "output_dir": str(tmp_path / "out")}
    given = {**trained, **paths, "device": TINY["device"], "still_below": 1.0}
    run_bundle(BUNDLE, ["inference", "gan"], given)
    stem = scan.name.removesuffix(".nii.gz")
    result = nib.load(tmp_path / "out" / f"{stem}_restored.nii.gz")
    # Slices that are judged still come back bit for bit, in the scan's own unit.
    assert np.array_equal(result.get_fdata(), nib.load(scan).get_fdata())
    with pytest.raises(InputError, match="spread cannot be written"):
        run_bundle(BUNDLE, ["inference", "gan"], {**given, "write_spread": True, "overwrite": True})
    parameters = json.loads((tmp_path / "out" / f"{stem}_restored.json").read_text())["parameters"]
    assert parameters["halo"] == 21
    assert "steps" not in parameters


@pytest.mark.slow
def test_torchio_s_motion_stands_in_for_ours(demo, tmp_path):
    pytest.importorskip("torchio")
    _, rows = train_and_evaluate("torchio_published", demo, tmp_path)
    assert {row["motion_kind"] for row in rows} == {"torchio"}


def test_without_torchio_one_line_says_what_to_install(demo, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchio", None)
    with pytest.raises(InputError, match=r"pip install 'mri-restoration-bundles\[motion\]'"):
        run("train", "torchio_published", demo, tmp_path)


def test_the_gan_s_tiles_are_the_whole_volume():
    parser = ConfigParser()
    parser.read_config([str(BUNDLE / "configs" / f"{name}.yaml") for name in ("train", "gan")])
    network = parser.get_parsed_content("network_def").eval()
    assert network.receptive_radius == parser["halo"]
    torch.nn.init.normal_(network.head.output.weight, std=0.1)
    volume = torch.rand(1, 1, 60, 6, 7)
    tiled = TiledUpscalingInferer(1, tile=16, halo=parser["halo"], overlap=4)
    with torch.no_grad():
        torch.testing.assert_close(tiled(volume, network), network(volume), atol=1e-5, rtol=1e-5)
