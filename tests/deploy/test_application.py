"""Every bundle as a MONAI Deploy application, in each form that a bundle is handed over in."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from demo_series import BUNDLES, REPOSITORY, as_dicom, copy_of, demo_scan, kind_of
from mr_series import NAME, PATIENT_ID

from custom.bundle.verification.bundle_folder import METADATA
from custom.cli import main
from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume, write_nifti
from custom.deploy.packaging.package import package_bundle

pytestmark = [pytest.mark.deploy, pytest.mark.slow]


@pytest.fixture(scope="module", params=BUNDLES, ids=lambda path: path.name)
def bundle(request, tmp_path_factory):
    return copy_of(request.param, tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def dicom(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")
    return as_dicom(demo_scan(bundle, folder / "demo"), folder / "series")


@pytest.fixture(scope="module")
def archive(bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "bundle.zip"
    package_bundle(bundle, path, quick=True)
    return path


def restore(bundle, dicom, folder, *more):
    """What ``restore`` makes of the same volume: images by name, with their affines."""
    write_nifti(series_volume(read_folder(dicom)[0], kind_of(bundle)), folder / "scan.nii")
    words = ["restore", str(bundle), "--input", str(folder / "scan.nii"), "--output", str(folder)]
    main([*words, *more])
    files = {name: folder / f"scan_{name}.nii.gz" for name in ("restored", "spread")}
    images = {name: nib.load(file) for name, file in files.items() if file.exists()}
    return {name: (image.get_fdata(), image.affine) for name, image in images.items()}


@pytest.fixture(scope="module")
def expected(bundle, dicom, tmp_path_factory):
    return restore(bundle, dicom, tmp_path_factory.mktemp("expected"))


def deploy(model, dicom, output, *more):
    words = ["deploy", str(model), "--input", str(dicom), "--output", str(output)]
    main([*words, "--outside_range", "warn", *more])


def compare(output, bundle, expected):
    """The series in a folder are the expected images, and no other."""
    assert sorted(path.name for path in output.iterdir() if path.is_dir()) == sorted(expected)
    for name, (values, affine) in expected.items():
        made = series_volume(read_folder(output / name)[0], kind_of(bundle))
        slopes = [float(header.get("RescaleSlope", 1)) for header in made.headers]
        assert made.array.shape == values.shape
        np.testing.assert_allclose(made.affine, affine, atol=2e-4)
        # Half a stored number, and what rounding in another order of sums makes.
        bound = max(slopes) / 2 + 1e-4 * np.abs(values).max()
        np.testing.assert_allclose(made.array, values, atol=bound)


def test_folder(bundle, dicom, expected, tmp_path):
    deploy(bundle, dicom, tmp_path)
    compare(tmp_path, bundle, expected)
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["decision"] == "restored"


def test_every_further_model_by_its_overlay(bundle, dicom, tmp_path):
    """Iterative samplers are among them."""
    for variant, about in json.loads((bundle / METADATA).read_text()).get("variants", {}).items():
        folder = tmp_path / variant
        (folder / "nifti").mkdir(parents=True)
        overlays = ["--config", *about.get("overlays", [variant])]
        images = restore(bundle, dicom, folder / "nifti", *overlays)
        deploy(bundle, dicom, folder / "dicom", *overlays)
        compare(folder / "dicom", bundle, images)


def test_archive(bundle, archive, dicom, expected, tmp_path):
    deploy(archive, dicom, tmp_path)
    compare(tmp_path, bundle, expected)


def test_torchscript_alone(bundle, archive, dicom, expected, tmp_path):
    with zipfile.ZipFile(archive) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith("/models/model.ts")]
        (tmp_path / "handed_over.ts").write_bytes(opened.read(name))
        weights = opened.read(f"{bundle.name}/models/model.pt")
    deploy(tmp_path / "handed_over.ts", dicom, tmp_path / "out")
    compare(tmp_path / "out", bundle, expected)
    # What the result names is a file of the archive.
    about = json.loads((tmp_path / "out" / "restoration.json").read_text())
    assert about["weights"]["sha256"] == hashlib.sha256(weights).hexdigest()


def test_the_archive_brings_its_own_application(bundle, archive, dicom, expected, tmp_path):
    """Run by the SDK's command line, where the package of this repository cannot be imported."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    folder = tmp_path / bundle.name
    named = Path(shutil.copytree(dicom, tmp_path / "DOE^JOHN in"))
    paths = [path for path in sys.path if path and not is_of_the_repository(Path(path))]
    program = (
        f"import sys, runpy; sys.path[:] = {paths!r}\n"
        "class No:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] == 'custom': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        f"sys.argv = ['app', '-i', {str(named)!r}, '-o', {str(tmp_path / 'out')!r}, "
        f"'-m', {str(folder)!r}]\n"
        f"runpy.run_path({str(folder / 'app')!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "RESTORATION_OUTSIDE_RANGE": "warn", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    compare(tmp_path / "out", bundle, expected)
    said = done.stdout + done.stderr + (tmp_path / "out" / "audit.jsonl").read_text()
    assert not [word for word in ("DOE^JOHN", NAME, PATIENT_ID) if word in said]


def is_of_the_repository(path):
    return path == REPOSITORY or path.is_relative_to(REPOSITORY / "tests")


def test_a_refusal_is_one_line_and_leaves_only_the_log(bundle, dicom, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for file in dicom.iterdir():
        image = pydicom.dcmread(file)
        image.Modality = "CT"
        image.save_as(tmp_path / "in" / file.name)
    with pytest.raises(SystemExit) as stop:
        deploy(bundle, tmp_path / "in", tmp_path / "out")
    assert stop.value.code == 1
    (line,) = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("mri-bundles:")
    ]
    assert "not MR" in line
    (logged,) = (tmp_path / "out" / "audit.jsonl").read_text().splitlines()
    assert json.loads(logged)["reason"] == "no-series"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["audit.jsonl"]
