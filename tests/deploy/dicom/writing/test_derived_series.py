"""Writing: what is read back."""

import errno
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mr_series import PLANES, classic, diffusion, enhanced, oblique, phantom, write
from pydicom.pixels import apply_modality_lut, apply_windowing

from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume
from custom.deploy.dicom.writing.derived_series import Derivation, write_derived
from custom.errors import InputError

DONE = Derivation("restored", "gan3d_sr_denoise", "0.3.1", "ab" * 32, "Restored by a network.")


def source_of(of, folder, kind="volume", make=classic):
    images = make(of)
    (series,) = read_folder(write(images if isinstance(images, list) else [images], folder))
    return series_volume(series, kind)


def finer(affine, factors):
    """The affine of a grid that cuts each voxel of another into ``factors`` parts."""
    factors = np.array(factors, float)
    result = affine.copy()
    result[:3, :3] = affine[:3, :3] / factors
    result[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((1 / factors - 1) / 2)
    return result


def read_back(files, kind="volume"):
    (series,) = read_folder(Path(files[0]).parent)
    return series_volume(series, kind)


def written(array, affine, source, folder, derivation=DONE):
    files = write_derived(array, affine, source, folder, derivation)
    return files, [pydicom.dcmread(file) for file in files]


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 5)] * 3),
    shape=st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(2, 4)),
    factors=st.sampled_from([(1, 1, 1), (2, 2, 1), (2, 2, 2), (1, 1, 3)]),
    order=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([1, -1])] * 3),
    scale=st.sampled_from([1.0, 1e-4, 3e5]),
)
@settings(max_examples=12, deadline=None)
def test_any_grid_and_order_of_axes_is_read_back(
    tmp_path_factory, angles, spacing, shape, factors, order, signs, scale
):
    folder = tmp_path_factory.mktemp("any")
    of = phantom(shape=shape, plane=oblique(angles), spacing=spacing)
    source = source_of(of, folder / "in")
    grid = tuple(np.array(shape) * factors)
    array = np.random.default_rng(0).normal(size=grid).astype(np.float32) * scale
    affine = finer(source.affine, factors)
    # As a bundle may give it: axes swapped and turned, in the same place.
    turn = np.stack([order, signs], axis=1)
    given_array = nib.orientations.apply_orientation(array, turn)
    given_affine = affine @ nib.orientations.inv_ornt_aff(turn, array.shape)
    files, images = written(given_array, given_affine, source, folder / "out")
    back = read_back(files)
    step = float(images[0].get("RescaleSlope", 1))
    assert np.abs(back.array - array).max() <= step / 2 * 1.001
    assert step <= np.abs(array).max() / 32767 * 1.0001 or step == of.slope
    np.testing.assert_allclose(back.affine, affine, atol=1e-6)
    thickness = [float(one.SliceThickness) for one in images]
    np.testing.assert_allclose(thickness, spacing[2] / factors[2], rtol=1e-8)


@pytest.mark.parametrize("make", [classic, enhanced])
@pytest.mark.parametrize("plane", [*PLANES.values(), oblique()], ids=[*PLANES, "oblique"])
def test_nothing_is_lost_of_what_is_on_the_source_s_scale(tmp_path, plane, make):
    of = phantom(plane=plane, slope=2.36166056166056, intercept=-12.0)
    source = source_of(of, tmp_path / "in", make=make)
    files, images = written(source.array, source.affine, source, tmp_path / "out")
    back = read_back(files)
    np.testing.assert_array_equal(back.array, source.array)
    np.testing.assert_allclose(back.affine, source.affine, atol=1e-9)
    assert {(float(one.RescaleSlope), float(one.RescaleIntercept)) for one in images} == {
        (2.36166056166056, -12.0)
    }
    stored = np.stack([one.pixel_array.T for one in images], axis=-1)
    np.testing.assert_array_equal(stored, of.stored)


def test_the_same_grid_is_said_in_the_same_digits(tmp_path):
    images = classic(phantom(plane=oblique()))
    for image in images:
        image.ImageOrientationPatient = [round(float(x), 7) for x in image.ImageOrientationPatient]
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume")
    _, results = written(source.array + 0.5, source.affine, source, tmp_path / "out")
    for image, result in zip(images, results, strict=True):
        for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
            assert result[keyword].value == image[keyword].value
        assert result.SourceImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
        assert result.SourceImageSequence[0].SpatialLocationsPreserved == "YES"


def test_thinner_slices_name_their_neighbours(tmp_path):
    of = phantom(shape=(4, 4, 3))
    images = classic(of)
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume")
    affine = finer(source.affine, (1, 1, 2))
    array = np.repeat(source.array, 2, axis=2)
    _, results = written(array, affine, source, tmp_path / "out")
    named = [[item.ReferencedSOPInstanceUID for item in one.SourceImageSequence] for one in results]
    uids = [one.SOPInstanceUID for one in images]
    assert [sorted(uids.index(uid) for uid in pair) for pair in named] == [
        [0], [0, 1], [0, 1], [1, 2], [1, 2], [2],
    ]  # fmt: skip
    assert results[1].SourceImageSequence[0].SpatialLocationsPreserved == "NO"
    assert {float(one.SliceThickness) for one in results} == {1.25}
    codes = [code.CodeValue for code in results[0].DerivationCodeSequence]
    assert codes == ["113087", "113085"]


def test_a_grid_of_the_same_size_in_another_place_is_not_the_same_grid(tmp_path):
    source = source_of(phantom(), tmp_path / "in")
    moved = source.affine.copy()
    moved[:3, 3] += source.affine[:3, :3] @ [0.5, 0, 0]
    files, results = written(source.array, moved, source, tmp_path / "out")
    np.testing.assert_allclose(read_back(files).affine, moved, atol=1e-8)
    assert results[0].SourceImageSequence[0].SpatialLocationsPreserved == "NO"


def test_frames_are_referenced_by_number(tmp_path):
    source = source_of(phantom(), tmp_path / "in", make=enhanced)
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    numbers = [one.SourceImageSequence[0].ReferencedFrameNumber for one in results]
    assert numbers == [frame.index + 1 for frame in source.sources]
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert results[0].ScanningSequence == "GR"
    assert results[0].EchoTime == 3.5


def test_slices_count_as_those_of_the_source(tmp_path):
    images = classic(phantom())
    for image in images:
        image.InstanceNumber = 6 - image.InstanceNumber
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume")
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    heights = [one.ImagePositionPatient[2] for one in results]
    assert heights == sorted(heights, reverse=True)
    np.testing.assert_array_equal(read_back([tmp_path / "out" / "x"]).array, source.array)


def test_a_diffusion_series_keeps_its_weighting(tmp_path):
    table = [(0, (0, 0, 0)), (1000, (0, 0.6, 0.8)), (2000, (0.8, 0, -0.6))]
    (series,) = read_folder(write(diffusion(phantom(), table, "siemens"), tmp_path / "in"))
    source = series_volume(series, "diffusion")
    files, results = written(source.array, source.affine, source, tmp_path / "out")
    back = read_back(files, "diffusion")
    np.testing.assert_array_equal(back.array, source.array)
    np.testing.assert_array_equal(back.bvals, source.bvals)
    np.testing.assert_allclose(back.bvecs, source.bvecs, atol=1e-6)
    assert len({one.InstanceNumber for one in results}) == 15


def test_a_map_of_a_diffusion_series_is_one_volume(tmp_path):
    table = [(0, (0, 0, 0)), (1000, (0, 0.6, 0.8))]
    (series,) = read_folder(write(diffusion(phantom(), table), tmp_path / "in"))
    source = series_volume(series, "diffusion")
    done = replace(DONE, what="uncertainty", code=None, series_number_offset=6000)
    files, results = written(
        source.array.std(axis=3) + 0.25, source.affine, source, tmp_path / "out", done
    )
    assert len(files) == 5
    assert "DiffusionBValue" not in results[0]
    assert results[0].ImageType == ["DERIVED", "SECONDARY", "OTHER"]
    assert results[0].SeriesNumber == 6005
    assert "DerivationCodeSequence" not in results[0]


def bad_results():
    nan = np.zeros((7, 6, 5), np.float32)
    nan[1, 1, 1] = np.nan
    turned = np.eye(4)
    turned[:3, :3] = np.stack([*oblique((0, 0, 3)), (0, 0, 1)], axis=1)
    return {
        "not finite": (nan, np.eye(4), "NaN or infinite"),
        "turned": (np.zeros((7, 6, 5)), turned, "turned against"),
        "volumes": (np.zeros((7, 6, 5, 3)), np.eye(4), r"shape \(7, 6, 5, 3\)"),
        "flat": (np.zeros((7, 6)), np.eye(4), r"shape \(7, 6\)"),
    }


@pytest.mark.parametrize("name", list(bad_results()))
def test_a_result_that_cannot_be_right_is_not_written(tmp_path, name):
    array, turn, message = bad_results()[name]
    source = source_of(phantom(spacing=(1, 1, 1)), tmp_path / "in")
    with pytest.raises(InputError, match=message) as refused:
        write_derived(array, source.affine @ turn, source, tmp_path / "out", DONE)
    assert "PLANTED" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    source = source_of(phantom(), tmp_path / "in")
    save = pydicom.Dataset.save_as

    def full(self, path, **options):
        if self.InstanceNumber == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, **options)

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    with pytest.raises(InputError, match="disk full while writing"):
        write_derived(source.array, source.affine, source, tmp_path / "out", DONE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.undo()
    assert len(write_derived(source.array, source.affine, source, tmp_path / "out", DONE)) == 5
    with pytest.raises(InputError, match="holds files already"):
        write_derived(source.array, source.affine, source, tmp_path / "out", DONE)


def shown(image):
    """An image as a viewer shows it, 0 black and 1 white, by pydicom."""
    low, high = (0, 4095) if image.PixelRepresentation == 0 else (-(2**15), 2**15 - 1)
    slope, intercept = (
        float(image.get(f"Rescale{k}", d)) for k, d in (("Slope", 1), ("Intercept", 0))
    )
    values = apply_windowing(apply_modality_lut(image.pixel_array, image), image)
    grey = (values - (low * slope + intercept)) / ((high - low) * slope)
    return 1 - grey if image.PhotometricInterpretation == "MONOCHROME1" else grey


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("scale", [(1.0, 0.0), (2.5, 100.0)])
def test_a_restored_image_is_shown_as_its_source(tmp_path, photometric, function, scale):
    of = phantom(slope=scale[0], intercept=scale[1])
    window = {"WindowCenter": scale[0] * 1500 + scale[1], "WindowWidth": scale[0] * 900}
    window |= {"VOILUTFunction": function} if function else {}
    images = classic(of, PhotometricInterpretation=photometric, **window)
    source = source_of(of, tmp_path / "in", make=lambda _: images)
    _, made = written(source.array, source.affine, source, tmp_path / "out")
    for before, after in zip(images, made, strict=True):
        np.testing.assert_allclose(shown(after), shown(before), atol=2e-3)
        assert after.get("VOILUTFunction") == function


def test_a_window_that_is_none_is_made_anew(tmp_path):
    source = source_of(phantom(), tmp_path / "in", make=lambda of: classic(of, WindowCenter=40))
    _, made = written(source.array / 1e4, source.affine, source, tmp_path / "out")
    grey = shown(made[0])  # of fractions, for which LINEAR is not defined
    assert grey.min() < 0.05
    assert grey.max() > 0.95
    assert 0.2 < np.median(grey) < 0.8


@pytest.mark.parametrize("stated", ["1.2.3.4.5", None])
def test_all_results_of_a_source_lie_in_one_space(tmp_path, stated):
    images = classic(phantom())
    for image in images:
        image.FrameOfReferenceUID = stated or ""
    source = source_of(phantom(), tmp_path / "in", make=lambda _: images)
    spaces = {
        image.FrameOfReferenceUID
        for what in ("restored", "difference")
        for image in written(
            source.array, source.affine, source, tmp_path / what, replace(DONE, what=what)
        )[1]
    }
    assert len(spaces) == 1
    assert spaces == {stated} or not stated
