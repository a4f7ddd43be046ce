import random

import numpy as np
import pytest
from mr_series import PLANES, classic, diffusion, enhanced, oblique, phantom, write

from custom.deploy.dicom.diffusion import fsl_directions
from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume
from custom.errors import Refusal


def unit(vectors):
    array = np.array(vectors, float)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


DIRECTIONS = unit([(1, 2, 3), (-2, 1, 0.5), (0, 0, 1)])
TABLE = [(0, (0, 0, 0)), *zip((1000, 1000, 2000), DIRECTIONS, strict=True)]
MAKERS = {
    "standard": diffusion,
    "siemens": lambda of, table: diffusion(of, table, "siemens"),
    "enhanced": lambda of, table: [enhanced(of, table)],
}


def read(images, folder):
    (series,) = read_folder(write(images, folder))
    return series_volume(series, "diffusion")


@pytest.mark.parametrize("scheme", list(MAKERS))
@pytest.mark.parametrize("plane", [*PLANES.values(), oblique()], ids=[*PLANES, "oblique"])
def test_volumes_and_directions(tmp_path, scheme, plane):
    of = phantom(plane=plane)
    volume = read(MAKERS[scheme](of, TABLE), tmp_path)
    expected = np.stack([(of.stored + 17 * n) % 4096 for n in range(4)], axis=-1)
    np.testing.assert_array_equal(volume.array, expected)
    np.testing.assert_array_equal(volume.bvals, [0, 1000, 1000, 2000])
    # The tables of FSL: x of the voxels against its axis where the determinant is positive.
    # Turned back by the affine (RAS), they must be the directions in the patient (LPS).
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    turned = (volume.bvecs * [-1, 1, 1]) @ axes.T * [-1, -1, 1]
    np.testing.assert_allclose(turned, [[0, 0, 0], *DIRECTIONS], atol=2e-5)


def test_fsl_turns_x_of_a_right_handed_image_alone():
    right, left = np.eye(3), np.diag([1.0, 1, -1])
    directions = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(fsl_directions(directions, right), np.diag([-1, 1, 1]))
    np.testing.assert_array_equal(fsl_directions(directions, left), np.diag([1, 1, -1]))


def test_repeated_weightings_are_volumes_of_their_own(tmp_path):
    table = [(0, (0, 0, 0)), (1000, (1, 0, 0)), (0, (0, 0, 0)), (1000, (1, 0, 0))]
    of = phantom()
    volume = read(diffusion(of, table), tmp_path)
    np.testing.assert_array_equal(volume.bvals, [0, 1000, 0, 1000])
    np.testing.assert_array_equal(volume.array[..., 3], (of.stored + 3 * 17) % 4096)


def test_volumes_are_told_apart_when_slices_were_numbered_first(tmp_path):
    of = phantom()
    images = diffusion(of, TABLE)
    for image in images:  # numbered slice by slice, one acquisition: as Philips does it
        place = (image.InstanceNumber - 1) % 5
        image.InstanceNumber = place * 4 + image.AcquisitionNumber
        image.AcquisitionNumber = 1
    random.Random(1).shuffle(images)
    volume = read(images, tmp_path)
    np.testing.assert_array_equal(volume.bvals, [0, 1000, 1000, 2000])
    np.testing.assert_array_equal(volume.array[..., 2], (of.stored + 34) % 4096)


def test_trace_images_are_left_out_and_reported(tmp_path):
    images = diffusion(phantom(), [*TABLE, (1000, (0, 0, 0))])
    volume = read(images, tmp_path)
    assert volume.array.shape[3] == 4
    assert volume.warnings == ("5 trace images (weighted without a direction) were left out",)


def test_private_numbers_whose_type_was_lost(tmp_path):
    images = diffusion(phantom(), [(0, (0, 0, 0)), (1000, (0, 0.6, 0.8))], "siemens")
    for image in images:
        block = image.private_block(0x0019, "SIEMENS MR HEADER")
        for offset in (0x0C, 0x0E):
            if offset in block:
                element = block[offset]
                value = (
                    str(element.value).encode()
                    if offset == 0x0C
                    else np.array(element.value, "<f8").tobytes()
                )
                image.add_new(element.tag, "UN", value + b" " * (len(value) % 2))
    volume = read(images, tmp_path)
    np.testing.assert_array_equal(volume.bvals, [0, 1000])
    np.testing.assert_allclose(volume.bvecs[1], [0, 0.6, 0.8], atol=1e-5)


def ge():
    images = diffusion(phantom(), TABLE)
    for image in images:
        image.Manufacturer = "GE MEDICAL SYSTEMS"
    return images


def incomplete():
    images = diffusion(phantom(), TABLE)
    del images[7]
    return images


def without_directions():
    return diffusion(phantom(), [(0, (0, 0, 0)), (1000, (0, 0, 0))])


@pytest.mark.parametrize(
    ("make", "reason", "match"),
    [
        (ge, "private-diffusion-scheme", "dcm2niix, then run `mri-bundles restore`"),
        (lambda: classic(phantom()), "no-b-values", "5 of 5 images have no b-value"),
        (without_directions, "no-directions", "trace or mean images"),
        (
            incomplete,
            "incomplete-volumes",
            "1 of 4 .*: one of b = 1000 has 4 of 5",
        ),
    ],
)
def test_it_is_refused(tmp_path, make, reason, match):
    write(make(), tmp_path)
    with pytest.raises(Refusal, match=match) as refused:
        series_volume(read_folder(tmp_path)[0], "diffusion")
    assert refused.value.reason == reason
    assert "PLANTED" not in str(refused.value)


def test_a_gap_in_a_diffusion_series_is_seen(tmp_path):
    images = [one for one in diffusion(phantom(), TABLE) if (one.InstanceNumber - 1) % 5 != 2]
    write(images, tmp_path)
    with pytest.raises(Refusal) as refused:
        series_volume(read_folder(tmp_path)[0], "diffusion")
    assert refused.value.reason == "missing-slices"


def test_the_hash_knows_the_weighting(tmp_path):
    of = phantom()
    weightings = [(1000, (1, 0, 0)), (1000, (0, 1, 0)), (900, (1, 0, 0))]
    hashes = {
        read(diffusion(of, [TABLE[0], weighting]), tmp_path / str(index)).sha256
        for index, weighting in enumerate(weightings)
    }
    assert len(hashes) == 3
