from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from paravision_files import write_scan

from custom.data.inputs.image_checks import InputChecks
from custom.errors import InputError
from custom.files.image_faults import available_memory, value_fault
from custom.files.zarr_slices import write_stack

AFFINE = np.diag([0.2, 0.2, 0.6, 1.0])


def magnitude(shape: tuple[int, ...] = (20, 18, 4), seed: int = 0) -> np.ndarray:
    """A Rician image of a bright disc, like any MR magnitude."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[:2]), indexing="ij")
    disc = (axes[0] ** 2 + axes[1] ** 2 < 0.6).astype(float)
    signal = 800 * disc.reshape(disc.shape + (1,) * (len(shape) - 2))
    return np.abs(signal + 60 * (rng.normal(size=shape) + 1j * rng.normal(size=shape)))


def save(path: Path, array: np.ndarray, affine: Any = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def refusal(path: Path, checks: InputChecks | None = None, prefix: Path | None = None) -> str:
    """Return the line that refuses a file; it must name the file and be one line."""
    with pytest.raises(InputError) as raised:
        (checks or InputChecks())(path)
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith(str(prefix or path))
    return line.removeprefix(str(path))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_magnitudes_of_every_type_pass(tmp_path: Path, dtype: Any) -> None:
    array = magnitude() * (0.2 if dtype is np.uint8 else 1.0)
    InputChecks()(save(tmp_path / "a.nii.gz", array.astype(dtype)))


@pytest.mark.parametrize("shape", [(20, 18), (20, 18, 1), (20, 18, 4, 1), (20, 18, 300)])
def test_any_number_of_slices_passes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    InputChecks()(save(tmp_path / "a.nii.gz", magnitude(shape).astype(np.float32)))


@pytest.mark.parametrize(("shape", "slices"), [((20, 18), 1), ((20, 18, 2), 2)])
def test_fewer_slices_than_the_network_sees_are_refused(
    tmp_path: Path, shape: tuple[int, ...], slices: int
) -> None:
    path = save(tmp_path / "a.nii.gz", magnitude(shape).astype(np.float32))
    line = refusal(path, InputChecks(min_slices=3))
    assert line == f": too few slices: {slices}, at least 3 needed"
    InputChecks(min_slices=slices)(path)


def test_zarr_passes(tmp_path: Path) -> None:
    write_stack(tmp_path / "a.zarr" / "image", magnitude(), AFFINE)
    InputChecks()(tmp_path / "a.zarr" / "image")


def test_bruker_passes_and_its_reader_says_what_is_missing(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "study7", 5, magnitude().astype(np.int16))
    InputChecks()(path)
    (path.parent / "visu_pars").unlink()
    assert "visu_pars" in refusal(path, prefix=path.parent)


def test_values_are_judged_after_slope_and_intercept(tmp_path: Path) -> None:
    stored = (magnitude() - 900).astype(np.int16)
    for name, intercept in {"plain": 0.0, "shifted": 900.0}.items():
        image = nib.Nifti1Image(stored, AFFINE)
        image.header.set_slope_inter(1.0, intercept)
        nib.save(image, tmp_path / f"{name}.nii")
    assert "not an MR magnitude" in refusal(tmp_path / "plain.nii")
    InputChecks()(tmp_path / "shifted.nii")


def test_missing_unknown_and_folder(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.nii.gz")
    (tmp_path / "a.png").write_bytes(b"PNG")
    assert "not an image that is read here" in refusal(tmp_path / "a.png")
    assert "not an image that is read here" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b\x08\x00broken", bytes(352)])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "cannot be read" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_truncated_files_are_refused(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, magnitude().astype(np.float32))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cannot be read" in refusal(path)


def test_a_flipped_byte_in_a_compressed_file_is_refused(tmp_path: Path) -> None:
    # Only the checksum can tell: one stored value is another number.
    path = save(tmp_path / "a.nii.gz", magnitude().astype(np.float32))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    assert "cannot be read" in refusal(path)


def test_colour_and_complex_are_refused(tmp_path: Path) -> None:
    colour = np.zeros((20, 18, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "RGB" in refusal(save(tmp_path / "rgb.nii.gz", colour))
    assert "complex" in refusal(save(tmp_path / "c.nii.gz", magnitude().astype(np.complex64)))


def test_negative_values_tell_ct_phase_and_standardised_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ct = np.where(magnitude() > 400, 40.0, -1000.0) + rng.normal(0, 10, (20, 18, 4))
    phase = rng.uniform(-np.pi, np.pi, (20, 18, 4))
    standard = (magnitude() - magnitude().mean()) / magnitude().std()
    for name, array in {"ct": ct, "phase": phase, "standard": standard}.items():
        line = refusal(save(tmp_path / f"{name}.nii.gz", array.astype(np.float32)))
        assert "not an MR magnitude" in line, name
        assert f"{array.astype(np.float32).min():g}" in line


def test_the_overshoot_of_an_interpolation_passes() -> None:
    from scipy.ndimage import zoom

    array = zoom(magnitude(), (2, 2, 1), order=3)
    sharp = zoom(np.where(magnitude() > 400, 800.0, 0.5), (2, 2, 1), order=3)
    assert sharp.min() < -20  # it does overshoot
    assert value_fault(array) is None
    assert value_fault(sharp) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_masks_and_label_maps_are_refused(tmp_path: Path, dtype: Any) -> None:
    mask = (magnitude() > 400).astype(dtype)
    blocks = np.repeat(np.repeat(np.arange(1, 31).reshape(6, 5, 1), 8, 0), 8, 1)
    labels = np.repeat(blocks, 3, 2).astype(dtype)
    assert "label map" in refusal(save(tmp_path / "mask.nii.gz", mask))
    assert "label map" in refusal(save(tmp_path / "labels.nii.gz", labels))


def test_an_enlarged_integer_image_is_no_label_map() -> None:
    fine = np.rint(magnitude((20, 18, 4))).repeat(2, 0).repeat(2, 1)
    assert value_fault(fine) is None


@pytest.mark.parametrize(("bad", "count"), [(np.nan, 3), (np.inf, 5), (-np.inf, 1)])
def test_values_that_are_not_finite_are_counted(tmp_path: Path, bad: float, count: int) -> None:
    array = magnitude().astype(np.float32)
    array.reshape(-1)[:count] = bad
    assert f": {count} of 1440 voxels are NaN" in refusal(save(tmp_path / "a.nii.gz", array))


def test_values_beyond_float32_are_counted_as_infinite(tmp_path: Path) -> None:
    array = magnitude()
    array[0, 0, 0] = 1e60
    assert ": 1 of 1440 voxels are NaN" in refusal(save(tmp_path / "a.nii.gz", array))


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constant_images_are_refused(tmp_path: Path, value: float) -> None:
    path = save(tmp_path / "a.nii.gz", np.full((20, 18, 4), value, np.float32))
    assert f"all voxels are {value:g}" in refusal(path)


def test_empty_4d_and_5d_are_refused(tmp_path: Path) -> None:
    empty = save(tmp_path / "empty.nii.gz", np.zeros((20, 18, 0), np.float32))
    assert "empty" in refusal(empty)
    series = save(tmp_path / "series.nii.gz", magnitude((20, 18, 4, 6)).astype(np.float32))
    line = refusal(series)
    assert "4D" in line
    assert "split" in line
    vectors = save(tmp_path / "vectors.nii.gz", magnitude((20, 18, 4, 1, 3)).astype(np.float32))
    assert "5D" in refusal(vectors)


def test_size_is_that_of_the_slices(tmp_path: Path) -> None:
    turned = np.diag([0.6, 0.2, 0.2, 1.0])  # slices along the first axis
    thin = magnitude((18, 20, 4)).transpose(2, 0, 1).astype(np.float32)
    InputChecks(min_size=16)(save(tmp_path / "a.nii.gz", thin, turned))
    line = refusal(save(tmp_path / "b.nii.gz", thin), InputChecks(min_size=16))
    assert "4 x 18" in line
    assert "16 x 16" in line
    InputChecks(min_size=16, slice_axis=0)(tmp_path / "b.nii.gz")
    line_of_one = save(tmp_path / "c.nii.gz", np.arange(500, dtype=np.float32), np.eye(4))
    assert "too small" in refusal(line_of_one)


@pytest.mark.parametrize(
    ("affine", "word"),
    [
        (np.diag([0.2, np.nan, 0.6, 1.0]), "finite"),
        (np.diag([0.2, np.inf, 0.6, 1.0]), "finite"),
        (np.diag([0.2, 0.0, 0.6, 1.0]), "singular"),
        (np.array([[0.2, 0.2, 0, 0], [0, 0, 0, 0], [0, 0, 0.6, 0], [0, 0, 0, 1]]), "singular"),
    ],
)
def test_broken_affines_are_refused(tmp_path: Path, affine: np.ndarray, word: str) -> None:
    image = nib.Nifti1Image(magnitude().astype(np.float32), AFFINE)
    image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = affine[:3]
    image.header["sform_code"] = 1
    path = tmp_path / "a.nii"
    nib.save(image, path)
    content = bytearray(path.read_bytes())  # saving mends the header: put the broken rows back
    content[280:328] = affine[:3].astype("<f4").tobytes()
    path.write_bytes(bytes(content))
    assert word in refusal(path)


def test_spacings_in_metres_are_no_singular_affine(tmp_path: Path) -> None:
    affine = np.diag([1e-5, 1e-5, 3e-5, 1.0])
    InputChecks()(save(tmp_path / "a.nii.gz", magnitude().astype(np.float32), affine))


def test_memory_is_estimated_before_loading(tmp_path: Path) -> None:
    # The header promises 30000^3 voxels, the file holds none of them.
    path = save(tmp_path / "a.nii", magnitude().astype(np.float32))
    content = bytearray(path.read_bytes()[:352])
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()
    path.write_bytes(bytes(content))
    line = refusal(path, InputChecks(memory_per_voxel=4, memory=lambda: 10**9))
    assert "needs about 108000.0 GB" in line
    assert "1.0 GB is free" in line


@pytest.mark.parametrize(
    ("limit", "passes"),
    [(1440 * 100 + 3 * 360 * 4000 - 1, False), (1440 * 100 + 3 * 360 * 4000, True)],
)
def test_memory_counts_the_stack_and_the_slices_at_a_time(
    tmp_path: Path, limit: int, passes: bool
) -> None:
    path = save(tmp_path / "a.nii.gz", magnitude((20, 18, 4)).astype(np.float32))
    checks = InputChecks(
        memory_per_voxel=100,
        memory_per_slice_voxel=4000,
        slices_at_a_time=3,
        memory=lambda: limit,
    )
    if passes:
        checks(path)
    else:
        assert "too large" in refusal(path, checks)


def test_free_memory_is_that_of_this_machine() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":") for line in lines)
    assert 0 < available_memory() <= int(fields["MemTotal"].split()[0]) * 1024


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match="slice_axis"):
        InputChecks(slice_axis=7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="min_size"):
        InputChecks(min_size=0)


def test_spikes_neither_make_an_image_no_magnitude_nor_hide_that_it_is_none() -> None:
    spiky, ct = magnitude(), np.where(magnitude() > 400, 40.0, -1000.0)
    spiky[3, 3], ct[3, 3, 0] = -1e7, 1e9
    assert value_fault(spiky) is None
    assert "not an MR magnitude" in str(value_fault(ct))
