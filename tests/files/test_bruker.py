import warnings

import numpy as np
import pytest
from monai.transforms import LoadImage
from paravision_files import AXIAL, CORONAL, SAGITTAL, write_scan

from custom.errors import InputError
from custom.files.bruker import BrukerReader, read_2dseq, read_bruker_header
from custom.files.bruker_geometry import stack_affine

STACK = np.arange(6 * 4 * 5).reshape(6, 4, 5) + 10


def oblique(degrees):
    angle = np.deg2rad(degrees)
    turn = [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    return np.array(turn) @ CORONAL


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, oblique(20)])
def test_affine_agrees_with_brukerapi(tmp_path, orientation):
    from brukerapi.dataset import Dataset

    path = write_scan(tmp_path, 5, STACK, orientation=orientation, first_voxel=(-3, 7))
    expected = np.diag([-1, -1, 1, 1]) @ Dataset(str(path)).affine
    np.testing.assert_allclose(read_bruker_header(path).affine, expected, atol=1e-9)


def test_known_places_in_an_axial_stack(tmp_path):
    header = read_bruker_header(write_scan(tmp_path, 5, STACK, fov_mm=(30, 20)))
    # Visu counts to the left and back, NIfTI to the right and front.
    np.testing.assert_allclose(header.affine @ [0, 0, 0, 1], [15, 10, -1.2, 1], atol=1e-9)
    np.testing.assert_allclose(header.affine @ [6, 4, 4, 1], [-15, -10, 1.2, 1], atol=1e-9)
    assert header.size == (6, 4, 5)


def test_every_frame_has_its_own_slope(tmp_path):
    slopes = np.array([1.0, 2.0, 0.5, 11.027, 3.0])
    stack, _ = read_2dseq(write_scan(tmp_path, 5, STACK, slope=slopes))
    np.testing.assert_allclose(stack, STACK * slopes, rtol=1e-6)


def test_echoes_before_the_slices_are_moved_behind_them(tmp_path):
    echoes = np.stack([STACK, STACK + 100], axis=2)  # stored (X, Y, echo, slice)
    groups = "( 2 )\n(2, <FG_ECHO>, <>, 0, 0) (5, <FG_SLICE>, <>, 0, 2)"
    offsets = np.arange(5)[:, None] * [0, 0, 0.6]
    path = write_scan(
        tmp_path, 5, echoes, groups=groups, position=offsets, visu={"VisuFGOrderDescDim": 2}
    )
    stack, _ = read_2dseq(path)
    assert stack.shape == (6, 4, 5, 2)
    np.testing.assert_array_equal(stack[..., 1], STACK + 100)


def test_a_reversed_disk_order_turns_pixels_and_positions(tmp_path):
    visu = {"VisuCoreDiskSliceOrder": "disk_reverse_slice_order"}
    plain, header = read_2dseq(write_scan(tmp_path, 5, STACK))
    turned, reverse = read_2dseq(write_scan(tmp_path, 6, STACK, visu=visu))
    np.testing.assert_array_equal(turned, plain[..., ::-1])
    for index in range(5):
        here, there = np.array([1, 2, index, 1]), np.array([1, 2, 4 - index, 1])
        np.testing.assert_allclose(reverse.affine @ here, header.affine @ there, atol=1e-9)


def test_a_single_slice_takes_its_step_from_the_thickness(tmp_path):
    stack, header = read_2dseq(write_scan(tmp_path, 5, STACK[..., :1], orientation=SAGITTAL))
    assert stack.shape == (6, 4, 1)
    np.testing.assert_allclose(header.affine[:3, 2], [0.6, 0, 0], atol=1e-12)


def test_a_3d_image_counts_its_partitions_as_slices():
    affine, _ = stack_affine((4, 4, 8), (8, 8, 4), CORONAL.reshape(1, 9), np.zeros((1, 3)), 4.0)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), [2, 2, 0.5])


def test_positions_across_the_normal_keep_the_orientation_and_say_so(tmp_path, caplog):
    """As in scans 2 and 3 of a real study whose orientation was edited by hand."""
    position = np.array([-22, -21.2, 0]) + np.arange(5)[:, None] * [0, 0, 2.0]
    path = write_scan(tmp_path, 5, STACK, orientation=SAGITTAL, position=position)
    image = LoadImage(reader=BrukerReader)(str(path))
    assert "contradicts itself" in caplog.text
    assert str(path) in caplog.text
    np.testing.assert_allclose(image.affine[:3, 2].numpy(), [2, 0, 0], atol=1e-12)
    assert abs(np.linalg.det(image.affine[:3, :3].numpy())) > 0


def test_load_image_finds_pixels_and_geometry(tmp_path):
    path = write_scan(tmp_path, 5, STACK, orientation=CORONAL)
    image = LoadImage(reader=BrukerReader, ensure_channel_first=True)(str(path))
    assert image.shape == (1, 6, 4, 5)
    np.testing.assert_array_equal(image[0].numpy(), STACK)
    np.testing.assert_allclose(image.affine.numpy(), read_bruker_header(path).affine, atol=1e-12)
    assert BrukerReader().verify_suffix(path)
    assert not BrukerReader().verify_suffix("a.nii.gz")


@pytest.mark.parametrize(
    ("visu", "message"),
    [
        ({"VisuCoreDimDesc": "( 2 )\nspectroscopic spatial"}, "spectroscopy"),
        ({"VisuCoreFrameType": "COMPLEX_IMAGE"}, "complex image"),
        ({"VisuCoreFrameType": "PHASE_IMAGE"}, "PHASE_IMAGE"),
        ({"VisuCoreUnits": "( 2, 65 )\n<mm> <ppm>"}, "axes in mm, ppm"),
        ({"VisuCoreOrientation": np.tile([1.0, 0, 0, 1, 0, 0, 0, 0, 1], (5, 1))}, "no rotation"),
        ({"VisuCorePosition": np.outer([0, 1, 2, 3, 7], [0, 0, 1.0])}, "not evenly spaced"),
        ({"VisuCorePosition": np.arange(4)[:, None] * [0, 0, 1.0]}, "parameters say"),
        ({"VisuCoreSize": "unknown"}, "2dseq"),
    ],
)
def test_what_is_no_stack_of_magnitudes_is_refused(tmp_path, visu, message):
    path = write_scan(tmp_path, 5, STACK, visu=visu)
    with pytest.raises(InputError, match=message) as error:
        read_2dseq(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_several_orientations_are_refused(tmp_path):
    rows = np.array([AXIAL.ravel()] * 2 + [CORONAL.ravel()] * 3)
    path = write_scan(tmp_path, 5, STACK, visu={"VisuCoreOrientation": rows})
    with pytest.raises(InputError, match="several orientations"):
        read_2dseq(path)


@pytest.mark.parametrize("kept", [0, 7, 200])
def test_truncated_pixels_are_refused(tmp_path, kept):
    path = write_scan(tmp_path, 5, STACK)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="copy the scan again"):
        read_2dseq(path)


def test_missing_and_broken_parameters_are_named(tmp_path):
    path = write_scan(tmp_path, 5, STACK)
    (path.parent / "visu_pars").write_text("not a parameter file")
    with pytest.raises(InputError, match="visu_pars: unreadable parameters"):
        read_2dseq(path)
    (path.parent / "visu_pars").unlink()
    with pytest.raises(InputError, match="visu_pars is missing"):
        read_2dseq(path)


def test_a_broken_optional_file_is_passed_over_with_a_warning(tmp_path, caplog):
    path = write_scan(tmp_path, 5, STACK)
    (tmp_path / "5" / "method").write_text("")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack, header = read_2dseq(path)
    assert "method: unreadable" in caplog.text
    assert "Method" not in header.parameters
    assert stack.shape == (6, 4, 5)


def test_without_brukerapi_the_extra_is_named(tmp_path, monkeypatch):
    path = write_scan(tmp_path, 5, STACK)
    monkeypatch.setitem(__import__("sys").modules, "brukerapi.jcampdx", None)
    with pytest.raises(InputError, match="preprocess"):
        read_bruker_header(path)
