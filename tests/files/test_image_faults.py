"""Images that declare, or unpack to, more than the memory are refused before they are read."""

import gzip
import time
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import zarr
from paravision_files import write_scan

from custom.cli import main
from custom.errors import InputError
from custom.files.image_faults import check_image, load_image
from custom.transforms.voxel_map import read_mask, read_voxel_map

BUNDLES = sorted(path.parents[1] for path in Path("bundles").glob("*/configs/inference.yaml"))
SMALL = np.random.default_rng(0).integers(50, 900, (20, 20, 18)).astype(np.int16)


def declaring(path, shape=(10_000, 10_000, 10_000)):
    """A NIfTI file of few bytes whose header declares 10^12 voxels."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    content = header.binaryblock + bytes(4 + 1000)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def unpacking(path):
    """A NIfTI file of 20 x 20 x 18 voxels that goes on for 60 MB, of 60 KB on disk."""
    image = nib.Nifti1Image(SMALL, np.eye(4))
    with gzip.open(path, "wb") as file:
        file.write(image.to_bytes())
        for _ in range(60):
            file.write(bytes(10**6))
    return path


def extending(path):
    """A NIfTI file of 20 x 20 x 18 voxels with an extension of 80 MB, of 80 KB on disk."""
    header = nib.Nifti1Image(SMALL, np.eye(4)).header
    header["vox_offset"] = 80 * 10**6 + 352
    with gzip.open(path, "wb", 1) as file:
        file.write(header.binaryblock + b"\1\0\0\0" + np.array([80 * 10**6, 6], "<i4").tobytes())
        for _ in range(80):
            file.write(bytes(10**6))
    return path


def store(path):
    """A Zarr array of 10^12 voxels without a chunk."""
    shape = (10_000,) * 3
    affine = {"affine": np.eye(4).tolist()}
    chunks = (1, *shape[1:])
    zarr.create_array(str(path), shape=shape, chunks=chunks, dtype="float32", attributes=affine)
    return path


def paravision(folder):
    """A ParaVision image of 10^9 voxels, of some KB on disk."""
    return write_scan(folder, 5, SMALL, visu={"VisuCoreSize": np.array([100_000, 1_000_000])})


BOMBS = {
    "nii": lambda folder: declaring(folder / "a.nii"),
    "nii.gz": lambda folder: declaring(folder / "a.nii.gz"),
    "unpacking": lambda folder: unpacking(folder / "a.nii.gz"),
    "extending": lambda folder: extending(folder / "a.nii.gz"),
    "zarr": lambda folder: store(folder / "a.zarr" / "image"),
    "bruker": paravision,
}
TOO_LARGE = (
    r"too large: it needs about [\d.]+ GB of memory|unpacks to far more than its|extensions of 8e"
)


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_it_is_refused_before_it_is_read(tmp_path, make):
    path = make(tmp_path)
    started = time.monotonic()
    tracemalloc.start()
    with pytest.raises(InputError, match=TOO_LARGE) as refused:
        check_image(path, lambda _: None, lambda _: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(refused.value).startswith(f"{path}: ")
    assert peak < 2**26
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_map_of_another_grid_is_not_read(tmp_path, name):
    path = declaring(tmp_path / name)
    with pytest.raises(InputError, match="10000 x 10000 x 10000 voxels, the scan 20 x 20 x 18"):
        read_mask("mask", path, SMALL.shape, np.eye(4))
    with pytest.raises(InputError, match="too large"):
        read_voxel_map("sigma", path, (10_000,) * 3, np.eye(4), zero_allowed=True)


def test_extensions_and_rounded_lengths_are_no_bomb(tmp_path):
    image = nib.Nifti1Image(SMALL, np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 10**6))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(image.to_bytes() + bytes(512)))
    np.testing.assert_array_equal(load_image(tmp_path / "a.nii.gz")[0], SMALL)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_restore_names_each_and_goes_on(bundle, tmp_path, capsys):
    for name in ("nii", "zarr"):
        (tmp_path / "in" / name).mkdir(parents=True)
        BOMBS[name](tmp_path / "in" / name)
    with pytest.raises(SystemExit) as ended:
        main(["restore", str(bundle), "--input", str(tmp_path / "in"), "--output", str(tmp_path)])
    assert ended.value.code == 1
    lines = capsys.readouterr().err
    assert "too large" in lines or "4D" in lines  # a diffusion series has a fourth axis
    assert "Traceback" not in lines
