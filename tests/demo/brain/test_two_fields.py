import numpy as np
import pytest
from scipy import ndimage

from custom.demo.brain.brain_anatomy import BrainGrid
from custom.demo.brain.two_fields import LABELS, TwoFields, scan_at_two_fields

GRID = BrainGrid((72, 84, 10), 1.8, height_mm=2.0)


def scanned(age: float = 40, displaced_mm: float = 0.0, seed: int = 5) -> TwoFields:
    return scan_at_two_fields(GRID, np.random.SeedSequence(seed), age, displaced_mm)


def shift_of(scan: TwoFields) -> list[float]:
    """Voxels by which the two fields differ, by the peak of their correlation, to a fifth."""
    best = []
    for axis in range(3):
        offsets = np.arange(-1.0, 1.01, 0.2)
        moved = [
            ndimage.shift(scan.image, np.eye(3)[axis] * offset, order=3, mode="nearest")
            for offset in offsets
        ]
        inside = ndimage.binary_erosion(scan.mask, iterations=2)
        likeness = [np.corrcoef(one[inside], scan.label[inside])[0, 1] for one in moved]
        best.append(float(offsets[int(np.argmax(likeness))]))
    return best


def test_the_two_fields_lie_on_each_other():
    """No half voxel, which a coarse grid laid over a fine one easily brings."""
    np.testing.assert_allclose(shift_of(scanned()), 0, atol=0.11)


def test_the_same_brain_at_another_contrast():
    scan = scanned()
    for name in ("csf", "grey", "white"):
        there = scan.segmentation == LABELS[name]
        assert there.sum() > 500, name
    means = {
        name: [
            image[scan.segmentation == LABELS[name]].mean() for image in (scan.image, scan.label)
        ]
        for name in ("csf", "grey", "white")
    }
    for field in (0, 1):
        assert means["white"][field] > means["grey"][field] + 0.1 > means["csf"][field] + 0.2
    assert not scan.image[scan.mask == 0].any()
    assert set(np.unique(scan.segmentation)) <= {0, *LABELS.values()}


def test_older_brains_have_more_csf():
    young, old = ((scanned(age).segmentation == LABELS["csf"]).sum() for age in (30, 80))
    assert old > 1.1 * young


def test_misregistration_moves_the_3t_scan_alone():
    aligned, off = scanned(), scanned(displaced_mm=0.6)
    assert np.array_equal(aligned.label, off.label)
    inside = aligned.mask > 0
    apart = np.sqrt(np.square(off.image - aligned.image)[inside].mean())
    assert apart > 0.03


def test_the_acquired_scan_is_coarser_over_the_same_field_of_view():
    scan = scanned()
    spacing = np.linalg.norm(scan.low_affine[:3, :3], axis=0)
    assert spacing == pytest.approx(1.8 / 0.65, rel=0.03)
    wide = spacing * scan.low.shape
    np.testing.assert_allclose(wide, 1.8 * np.add(GRID.shape, [0, 0, 16]))
