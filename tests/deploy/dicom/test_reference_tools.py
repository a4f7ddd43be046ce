"""Derived series and volumes against dciodvfy (dicom3tools) and dcm2niix."""

import os
import re
import shutil
import subprocess
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from mr_series import PLANES, classic, diffusion, enhanced, oblique, phantom, write

from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume, write_nifti
from custom.deploy.dicom.writing.derived_series import Derivation, write_derived

pytestmark = pytest.mark.reference
REQUIRED = os.environ.get("REFERENCE_TOOLS") == "required"  # then a missing tool is a failure


def needs(tool, package):
    absent = not REQUIRED and shutil.which(tool) is None
    return pytest.mark.skipif(absent, reason=f"needs {package}")


needs_dciodvfy = needs("dciodvfy", "dicom3tools")
needs_dcm2niix = needs("dcm2niix", "dcm2niix")

DONE = Derivation("restored", "gan3d_sr_denoise", "0.3.1", "ab" * 32, "Restored by a network.")
TABLE = [(0, (0, 0, 0)), (1000, (0, 0.6, 0.8)), (1000, (1, 0, 0)), (700, (-0.48, 0.6, 0.64))]
ALL_PLANES = {**PLANES, "oblique": oblique()}


def rounded(images):
    """Cosines of at most 16 characters, as the standard wants them."""
    for image in images:
        image.ImageOrientationPatient = [round(float(x), 9) for x in image.ImageOrientationPatient]
    return images


def read(images, folder, kind="volume"):
    (series,) = read_folder(write(images, folder))
    return series_volume(series, kind)


def errors_of(file):
    """What dciodvfy calls an error, without the values that it is about."""
    done = subprocess.run(
        ["dciodvfy", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert any("MRImage" in line for line in lines), lines[-3:]  # it knew what it looked at
    return {re.sub(r"<[^>]*\d[^>]*>", "<>", line) for line in lines if line.startswith("Error")}


def converted(folder, target):
    """The image that dcm2niix makes of a folder, and its tables."""
    target.mkdir()
    subprocess.run(
        ["dcm2niix", "-z", "n", "-b", "n", "-p", "n", "-f", "x", "-o", str(target), str(folder)],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    (file,) = target.glob("*.nii")
    return file


def in_one_order(image, reference):
    """Values and affine of an image, with the axes of another."""
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.io_orientation(reference)
    )
    moved = image.as_reoriented(turn)
    return np.asarray(moved.dataobj), moved.affine, turn


def finer(source, factors):
    factors = np.array(factors, float)
    affine = source.affine.copy()
    affine[:3, :3] /= factors
    affine[:3, 3] += source.affine[:3, :3] @ ((1 / factors - 1) / 2)
    array = source.array
    for axis, factor in enumerate(factors.astype(int)):
        array = np.repeat(array, factor, axis=axis)
    return array + 0.25, affine


@needs_dciodvfy
@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("what", ["restored", "uncertainty"])
def test_dciodvfy_finds_no_error_that_the_source_has_not(tmp_path, factors, what):
    images = rounded(classic(phantom(plane=oblique(), slope=2.5)))
    source = read(images, tmp_path / "in")
    array, affine = finer(source, factors)
    files = write_derived(array, affine, source, tmp_path / "out", replace(DONE, what=what))
    known = errors_of(tmp_path / "in" / "im0000.dcm")
    assert known  # of a made-up patient: the tool has looked
    assert errors_of(files[0]) <= known
    assert errors_of(files[-1]) <= known


@needs_dciodvfy
def test_dciodvfy_finds_nothing_of_a_complete_source(tmp_path):
    images = classic(phantom(), Laterality="", PatientPosition="HFS")
    for image in images:
        image.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        image.remove_private_tags()
    source = read(images, tmp_path / "in")
    files = write_derived(source.array, source.affine, source, tmp_path / "out", DONE)
    assert {error for file in files for error in errors_of(file)} <= errors_of(
        tmp_path / "in" / "im0000.dcm"
    )


@needs_dciodvfy
def test_dciodvfy_takes_the_classic_image_of_an_enhanced_one(tmp_path):
    source = read([enhanced(phantom())], tmp_path / "in")
    files = write_derived(source.array, source.affine, source, tmp_path / "out", DONE)
    # A classic image of what an Enhanced one holds lacks the side of the body alone.
    assert {"Laterality" in error for error in errors_of(files[0])} <= {True}


@needs_dcm2niix
@pytest.mark.parametrize("plane", list(ALL_PLANES))
@pytest.mark.parametrize("make", ["classic", "enhanced"])
def test_the_volume_is_that_of_dcm2niix(tmp_path, plane, make):
    of = phantom(shape=(8, 6, 5), plane=ALL_PLANES[plane], slope=2.5)
    images = rounded(classic(of)) if make == "classic" else [enhanced(of)]
    volume = read(images, tmp_path / "in")
    image = nib.load(converted(tmp_path / "in", tmp_path / "nii"))
    values, affine, _ = in_one_order(image, volume.affine)
    np.testing.assert_allclose(values, volume.array, atol=1e-3)
    np.testing.assert_allclose(affine, volume.affine, atol=2e-3)


@needs_dcm2niix
@pytest.mark.parametrize("plane", list(ALL_PLANES))
@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 2, 1), (2, 2, 2)])
def test_dcm2niix_makes_of_a_derived_series_what_restore_writes(tmp_path, plane, factors):
    of = phantom(shape=(8, 6, 5), plane=ALL_PLANES[plane], slope=2.5)
    source = read(rounded(classic(of)), tmp_path / "in")
    array, affine = finer(source, factors)
    write_derived(array, affine, source, tmp_path / "out", DONE)
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "restored.nii")
    expected = nib.load(tmp_path / "restored.nii")
    image = nib.load(converted(tmp_path / "out", tmp_path / "nii"))
    values, moved, _ = in_one_order(image, expected.affine)
    assert values.shape == expected.shape
    np.testing.assert_allclose(values, expected.get_fdata(), atol=2.5 / 2 + 1e-3)
    np.testing.assert_allclose(moved, expected.affine, atol=2e-3)
    np.testing.assert_allclose(
        nib.affines.voxel_sizes(moved), nib.affines.voxel_sizes(affine), atol=1e-4
    )


@needs_dcm2niix
@pytest.mark.parametrize("plane", list(ALL_PLANES))
@pytest.mark.parametrize("scheme", ["standard", "siemens", "enhanced", "derived"])
def test_directions_are_those_of_dcm2niix(tmp_path, plane, scheme):
    of = phantom(shape=(8, 6, 5), plane=ALL_PLANES[plane])
    if scheme == "enhanced":
        images = [enhanced(of, TABLE)]
        images[0].Manufacturer = "Philips"
    else:
        images = rounded(diffusion(of, TABLE, "siemens" if scheme == "siemens" else "standard"))
    volume = read(images, tmp_path / "in", "diffusion")
    folder = tmp_path / "in"
    if scheme == "derived":
        folder = tmp_path / "out"
        write_derived(volume.array, volume.affine, volume, folder, DONE)
    file = converted(folder, tmp_path / "nii")
    bvals = np.loadtxt(file.with_suffix(".bval"))
    bvecs = np.loadtxt(file.with_suffix(".bvec")).T
    theirs = nib.load(file)
    # Both as directions in space: the axes of the files differ, not what they say.
    np.testing.assert_array_equal(sorted(bvals), sorted(volume.bvals))
    ours = {tuple(np.round(one, 3)) for one in in_space(volume.bvecs, volume.affine)}
    other = {tuple(np.round(one, 3)) for one in in_space(bvecs, theirs.affine)}
    for direction in other:
        assert min(np.abs(np.subtract(direction, one)).max() for one in ours) < 3e-3
    write_nifti(volume, tmp_path / "ours.nii")
    values, _, _ = in_one_order(theirs, volume.affine)
    order = [volume_like(values[..., index], volume.array) for index in range(4)]
    np.testing.assert_array_equal(bvals, volume.bvals[order])
    np.testing.assert_allclose(
        in_space(bvecs, theirs.affine), in_space(volume.bvecs, volume.affine)[order], atol=3e-3
    )


def in_space(bvecs, affine):
    """FSL's directions as directions in space (RAS)."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    turned = bvecs * [-1, 1, 1] if np.linalg.det(affine[:3, :3]) > 0 else bvecs
    return turned @ axes.T


def volume_like(values, series):
    """Which volume of a series an image is."""
    away = [np.abs(values - series[..., index]).max() for index in range(series.shape[3])]
    assert min(away) < 1e-3
    return int(np.argmin(away))
