"""A new study adds its own files, and no line to what all studies share."""

import json

import fourth_study
import nibabel as nib
import numpy as np
import pytest

from custom.bundle.launch import run_bundle
from custom.bundle.verification.verify import verify_bundle
from custom.cli import main
from custom.data.inputs.earlier_results import is_result
from custom.deploy.bundle_forms import importable, open_bundle
from custom.deploy.packaging.package import package_bundle
from custom.files.csv_table import read_table


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The bundle with weights that its own training made."""
    root = fourth_study.write(tmp_path_factory.mktemp("bundles"))
    output = root.parent / "train"
    run_bundle(root, ["train", "tiny"], {"output_dir": str(output)})
    assert len((output / "metrics.csv").read_text().splitlines()) == 2
    fourth_study.ship(root, output / "models" / "model.pt")
    return root


def test_it_passes_every_check_that_runs_nothing(bundle):
    failed = {
        result.check_id: result.message
        for result in verify_bundle(bundle, quick=True)
        if not result.passed
    }
    assert failed == {}


def test_it_evaluates_and_keeps_the_evaluation_of_before(bundle):
    folder = bundle / "output" / "evaluate"
    for split in ("validation", "test"):
        main(["evaluate", str(bundle), "--split", split])
    rows = read_table(folder / "metrics.csv", ("scan", "person", "method", "psnr", "brightness"))
    assert len(rows) == 4  # two volumes, two methods
    assert all(0.5 < float(row["brightness"]) < 2 for row in rows)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["measures"]["brightness"]["label"] == "brightness of the image"
    assert (folder / "figures" / "figures.csv").is_file()
    page = (folder / "report.html").read_text()
    assert "brightness of the image" in page
    assert "smoothing" in page
    before = folder.with_name("evaluate.1")
    assert json.loads((before / "summary.json").read_text())["split"] == "validation"
    assert {path.name for path in before.iterdir()} == {path.name for path in folder.iterdir()}


def test_an_evaluation_leaves_a_training_alone(bundle, capsys):
    training = bundle.parent / "train"
    before = (training / "metrics.csv").read_bytes()
    with pytest.raises(SystemExit):
        main(["evaluate", str(bundle), "--output", str(training)])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{training} holds other files than those of an evaluation: give a new folder" in line
    assert (training / "metrics.csv").read_bytes() == before


@pytest.mark.slow
def test_it_restores_from_its_folder_and_from_its_archive(bundle, tmp_path):
    package_bundle(bundle, tmp_path / "fourth.zip", quick=True, application=None)
    (tmp_path / "unpacked").mkdir()
    scan = bundle / "data" / "demo" / "s3_image.nii.gz"
    results = {}
    for form in (bundle, tmp_path / "fourth.zip"):
        output = tmp_path / f"restored_{form.suffix}"
        opened = open_bundle(form, tmp_path / "unpacked")
        with importable(opened):
            run_bundle(opened.root, ["inference"], {"input": str(scan), "output_dir": str(output)})
        names = ("restored", "removed")
        results[form] = [
            np.asarray(nib.load(output / f"s3_image_{name}.nii.gz").dataobj) for name in names
        ]
        assert is_result(output / "s3_image_removed.nii.gz")
        sidecar = json.loads((output / "s3_image_restored.json").read_text())
        assert sidecar["removed"]["file"] == "s3_image_removed.nii.gz"
        assert opened.maps["removed"].series_number_offset == 9100
    restored, removed = results[bundle]
    image = np.asarray(nib.load(scan).dataobj)
    np.testing.assert_allclose(restored + removed, image, rtol=1e-4)
    assert np.abs(removed).max() > 0
    np.testing.assert_array_equal(results[bundle], results[tmp_path / "fourth.zip"])
