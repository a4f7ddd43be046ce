import nibabel as nib
import numpy as np
import pytest

from custom.data.preparation.pair_loading import PairLoader
from custom.data.preparation.scans.scan_finder import find_nifti_scans
from custom.data.preparation.scans.scan_pairing import ScanPair

LOW = np.diag([0.4, 0.4, 1.0, 1.0])
HIGH = LOW @ np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture
def pair(tmp_path):
    """A pair of smooth spots, with a mask over the middle of the spot."""

    def make(shift):
        x, y = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
        spot = 1000 * np.exp(-((x - 14) ** 2 + (y - 18) ** 2) / 20)[..., None]
        coarse = spot.reshape(16, 2, 16, 2, 1).mean(axis=(1, 3))
        stacks = {"fast": (coarse, LOW), "default": (spot, HIGH), "mask": (spot > 600, HIGH)}
        for kind, (stack, affine) in stacks.items():
            image = nib.Nifti1Image(np.asarray(stack, np.float32), affine)
            nib.save(image, tmp_path / f"m1_axial_head_{kind}.nii.gz")
        scans = {scan.kind: scan for scan in find_nifti_scans(tmp_path, {})[0]}
        return ScanPair(scans["fast"], scans["default"], shift)

    return make


def middle(stack):
    weights = stack[..., 0].astype(float)
    return (
        np.array([(index * weights).sum() for index in np.indices(weights.shape)]) / weights.sum()
    )


@pytest.mark.parametrize(
    ("shift", "whole"),
    [
        ((1.0, -2.0), [1, -2]),
        ((0.7, -0.4), [1, 0]),
        ((-0.5, 0.5), [0, 0]),
        ((-0.500001, 0.499999), [0, 0]),
        ((0.01, 0.0), [0, 0]),
    ],
)
def test_the_mask_moves_with_the_label(pair, shift, whole):
    images, record = PairLoader(crop_background=False)(pair(shift))
    mask, label = images["mask"][0], images["label"][0]
    assert record["mask_shift_voxels"] == whole
    assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_allclose(middle(mask), [14 - whole[0], 18 - whole[1]], atol=1e-9)
    # Never more than half a voxel from the spot it marks.
    assert np.abs(middle(mask) - middle(label)).max() <= 0.5 + 1e-3


def test_an_unaligned_label_keeps_its_mask(pair):
    images, record = PairLoader(align_grids=False, crop_background=False)(pair((1.0, -2.0)))
    assert record["mask_shift_voxels"] == [0, 0]
    np.testing.assert_array_equal(images["mask"][0], images["label"][0] > 600)
