import numpy as np
import pytest

from custom.demo.rare_signal import TISSUES, Tissue, rare_signal
from custom.demo.shapes import Capsule, Ellipsoid, ellipse_distance, tube_distance
from custom.demo.slab import Slab, SlabGrid


def make_slab(order="zxy", points=41, depths=3, half_mm=5.0, thickness_mm=0.6, shift=0.0):
    plane = np.linspace(-half_mm, half_mm, points, dtype=np.float32)
    depth = ((np.arange(depths) + 0.5) / depths - 0.5).astype(np.float32) * thickness_mm
    grid = SlabGrid((depth, plane, plane), order)
    mesh = dict(zip(order, np.meshgrid(*grid.axes_mm, indexing="ij"), strict=True))
    shape = (depths, points, points)
    fields = {name: np.zeros(shape, np.float32) for name in ("density", "relaxation")}
    return Slab(
        grid,
        *(mesh[letter] + np.float32(shift) for letter in "xyz"),
        (abs(shift),) * 3,
        fields,
        dict(TISSUES),
        float(plane[1] - plane[0]),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.uint8),
    )


def test_distance_to_a_sphere_is_exact():
    slab = make_slab()
    sphere = Ellipsoid((1.0, -0.5, 0.2), (2.0, 2.0, 2.0))
    exact = np.sqrt((slab.x - 1) ** 2 + (slab.y + 0.5) ** 2 + (slab.z - 0.2) ** 2) - 2
    np.testing.assert_allclose(sphere.distance(slab), exact, atol=1e-4)


def test_distance_to_an_ellipse_is_first_order_at_its_surface():
    angle = np.linspace(0, 2 * np.pi, 50, dtype=np.float32)
    x, y = 3 * np.cos(angle), 1.5 * np.sin(angle)
    normal = np.stack([x / 9, y / 2.25])
    normal /= np.linalg.norm(normal, axis=0)
    for step in (-0.02, 0.0, 0.02):
        got = ellipse_distance((x + step * normal[0], 3.0), (y + step * normal[1], 1.5))
        np.testing.assert_allclose(got, step, atol=1e-3)


def test_a_pitched_ellipsoid_turns_its_head_end_to_the_belly():
    slab = make_slab("xyz", depths=1)
    turned = Ellipsoid((0.0, 0.0, 0.0), (1.0, 1.0, 4.0), 30.0)
    tip = (slab.y - 4 * np.sin(np.pi / 6)) ** 2 + (slab.z - 4 * np.cos(np.pi / 6)) ** 2
    nearest = np.unravel_index(np.argmin(tip), tip.shape)
    assert abs(turned.distance(slab)[nearest]) < 0.3


def test_distance_to_a_capsule():
    slab = make_slab("yxz", depths=1)
    capsule = Capsule((0.0, 0.0, -2.0), (0.0, 0.0, 2.0), 0.5, 1.0)
    along = np.clip((slab.z + 2) / 4, 0, 1)
    radius = 0.5 + 0.5 * along
    exact = np.sqrt(slab.x**2 + slab.y**2 + (slab.z - (4 * along - 2)) ** 2) - radius
    np.testing.assert_allclose(capsule.distance(slab), exact, atol=1e-4)


def test_tube_distance_is_zero_at_its_radius():
    first = np.array([0.0, 0.3, 0.0], np.float32)
    second = np.array([0.0, 0.4, 0.24], np.float32)
    got = tube_distance(first, second, 1.2, 0.24)
    np.testing.assert_allclose(got, [-0.24, 0.26, 0.0], atol=1e-6)


@pytest.mark.parametrize("order", ["zxy", "yxz", "xyz"])
def test_a_crop_misses_nothing_of_a_shape(order):
    whole, cropped = make_slab(order, shift=0.7), make_slab(order, shift=0.7)
    shape = Ellipsoid((1.0, 0.6, 0.9), (1.5, 1.0, 2.0), 25.0)
    whole.paint("liver", shape.distance(whole))
    part = shape.crop(cropped)
    assert part is not None
    assert part.x.size < whole.x.size
    part.paint("liver", shape.distance(part))
    np.testing.assert_array_equal(whole.signal, cropped.signal)
    np.testing.assert_array_equal(whole.codes, cropped.codes)


def test_a_crop_out_of_reach_is_none():
    assert Ellipsoid((0.0, 0.0, 9.0), (1.0, 1.0, 1.0)).crop(make_slab()) is None


def test_paint_keeps_area_and_signal():
    slab = make_slab(points=201)
    disc = np.hypot(slab.x, slab.y) - np.float32(2.013)
    slab.paint("fluid", disc)
    fluid = TISSUES["fluid"]
    signal = rare_signal(fluid.proton_density, fluid.t1_ms, fluid.t2_ms)
    assert slab.signal.max() == pytest.approx(signal, rel=1e-6)
    area = slab.signal.sum() / signal / 3 * slab.edge_mm**2
    assert area == pytest.approx(np.pi * 2.013**2, rel=2e-3)
    assert set(np.unique(slab.codes)) == {0, fluid.code}


def test_a_slanting_face_is_as_soft_as_the_slice_is_thick():
    # Half space x < 1.5 z over a slice of 0.6 mm: a ramp of 0.9 mm in the mean over depth.
    slab = make_slab(points=401, depths=3)
    slab.tissues = {"plain": Tissue(1, 1.0, 1.0, 1e9, 0.0)}
    normal = np.float32(1 / np.hypot(1, 1.5))
    slab.paint("plain", (slab.x - np.float32(1.5) * slab.z) * normal)
    mean = slab.signal.mean(0)[:, 0]
    x = slab.grid.axes_mm[1]
    exact = np.clip(0.5 - x / 0.9, 0, 1)
    assert np.abs(mean - exact).max() < 0.12
    # No staircase: a copy of the edge at each depth would leave flat steps.
    steps = -np.diff(mean[(np.abs(x) < 0.35)])
    assert steps.min() > 0.3 * steps.max()


def test_texture_changes_the_signal_by_its_size():
    slab = make_slab(points=11)
    slab.fields["density"][...] = 1.0
    slab.tissues = {"textured": Tissue(1, 0.5, 1.0, 1e9, 0.1)}
    slab.paint("textured", np.full_like(slab.x, -9.0))
    np.testing.assert_allclose(slab.signal, 0.55, rtol=1e-5)
