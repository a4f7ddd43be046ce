import numpy as np
import pytest

from custom.data.preparation.cropping import CropBox, crop, foreground_box


def body(shape=(60, 80, 4)):
    stack = np.abs(np.random.default_rng(0).normal(0, 1.0, shape))
    stack[20:31, 40:61] += 100
    stack[31:36, 45:50] += 15  # dark tissue beside bright fat
    return stack


def test_the_box_holds_dark_tissue_and_the_margin():
    box = foreground_box(body(), (0.5, 0.5), margin_mm=2.0, min_size=8)
    # Never less; the smoothing may add voxels at an edge.
    assert box.start[0] in range(13, 17)
    assert box.start[1] in range(33, 37)
    assert box.stop[0] in range(40, 44)
    assert box.stop[1] in range(65, 69)


def test_the_margin_is_in_millimetres_along_each_axis():
    tight, wide = (foreground_box(body(), (0.5, 0.2), margin, min_size=1) for margin in (0, 2.0))
    assert np.subtract(tight.start, wide.start).tolist() == [4, 10]
    assert np.subtract(wide.stop, tight.stop).tolist() == [4, 10]


def test_a_mirrored_body_has_the_mirrored_box():
    here, there = (
        foreground_box(stack, (0.5, 0.5), min_size=1) for stack in (body(), body()[::-1, ::-1])
    )
    assert np.subtract((60, 80), there.stop).tolist() == list(here.start)
    assert np.subtract((60, 80), there.start).tolist() == list(here.stop)


def test_a_part_counts_from_a_twentieth_of_the_largest():
    """Areas with their smoothed edges: a tenth is a limb, a fiftieth is a speck."""
    stack = np.zeros((120, 120, 1))
    stack[10:60, 10:60] = 1
    stack[70:85, 70:85] = 1
    stack[100:103, 100:103] = 1
    box = foreground_box(stack, (1, 1), margin_mm=0, min_size=1)
    assert box.stop[0] in range(85, 90)


def test_a_box_is_widened_to_the_least_size_inside_the_image():
    stack = np.zeros((40, 40, 1))
    stack[:3, 37:] = 1
    box = foreground_box(stack, (1, 1), margin_mm=0, min_size=16)
    assert (box.start, box.stop) == ((0, 24), (16, 40))
    assert foreground_box(np.ones((9, 7, 2)), (1, 1)) == CropBox((0, 0), (9, 7))
    small = foreground_box(stack[:, 30:], (1, 1), margin_mm=0, min_size=16)
    assert small.stop[1] - small.start[1] == 10


def test_specks_of_noise_do_not_widen_the_box():
    stack = body()
    stack[2, 2, 0] += 100
    assert foreground_box(stack, (0.5, 0.5)).start[0] > 10


@pytest.mark.parametrize("scale", [1, 2])
def test_cropped_voxels_keep_their_place(scale):
    rng = np.random.default_rng(1)
    affine = np.eye(4)
    affine[:3] = rng.random((3, 4))
    stack = rng.random((12, 10, 3))
    box = CropBox((2, 1), (5, 4)).finer(scale)
    part, moved = crop(stack, affine, box)
    assert part.shape == (3 * scale, 3 * scale, 3)
    index = np.array([1, 2, 1])
    whole = index + np.array([2 * scale, scale, 0])
    assert part[tuple(index)] == stack[tuple(whole)]
    np.testing.assert_allclose(moved @ [*index, 1], affine @ [*whole, 1])


@pytest.mark.parametrize("hot", [1e4, 1e6])
def test_one_hot_voxel_does_not_move_the_box(hot):
    stack = body()
    stack[25, 50, 0] = hot
    assert foreground_box(stack, (0.5, 0.5)) == foreground_box(body(), (0.5, 0.5))
