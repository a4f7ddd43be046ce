from pathlib import Path

import numpy as np
import pytest

from custom.physics.diffusion.gradient_table import (
    GradientTable,
    published_scheme,
    read_gradient_table,
    spread_directions,
)

PROTOCOLS = Path(__file__).parents[3] / "bundles" / "dwi_vae" / "configs" / "protocols"


def closest_angle(directions):
    """Smallest angle in degrees between lines along two directions."""
    cosines = np.abs(directions @ directions.T)[~np.eye(len(directions), dtype=bool)]
    return np.degrees(np.arccos(cosines.max()))


def energy(directions):
    """Potential of charges at the directions and opposite to them."""
    index = np.triu_indices(len(directions), 1)
    difference = directions[:, None] - directions
    total = directions[:, None] + directions
    return sum((1 / np.linalg.norm(part, axis=-1)[index]).sum() for part in (difference, total))


@pytest.mark.parametrize(("count", "least"), [(6, 60), (30, 20)])
def test_directions_are_spread(count, least):
    directions = spread_directions(count)
    assert directions.shape == (count, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-12)
    rng = np.random.default_rng(0)
    random = rng.normal(size=(50, count, 3))
    random /= np.linalg.norm(random, axis=2, keepdims=True)
    # Six lines: those of the icosahedron, 63.4 degrees apart, are the best possible.
    assert closest_angle(directions) > least
    assert closest_angle(directions) > max(map(closest_angle, random))
    assert energy(directions) < min(map(energy, random))
    # Spread evenly, b g g^T is nearly isotropic.
    np.testing.assert_allclose(directions.T @ directions / count, np.eye(3) / 3, atol=0.01)


def test_a_seed_gives_one_set_of_directions():
    np.testing.assert_array_equal(spread_directions(8, 1), spread_directions(8, 1))
    assert np.abs(spread_directions(8, 1) - spread_directions(8, 2)).max() > 0.1


def test_the_study_s_measurements():
    table = published_scheme()
    np.testing.assert_array_equal(table.bvals, [50, *[1000] * 30, 50])
    np.testing.assert_array_equal(table.unweighted, table.bvals == 50)
    np.testing.assert_array_equal(table.bvecs[[0, -1]], table.bvecs[[1, -2]])
    assert closest_angle(table.bvecs[1:-1]) > 20


@pytest.fixture(scope="module")
def two_shells():
    """128 measurements, as the paper asks for without a scheme; no direction twice."""
    inner, outer = spread_directions(60, 0), spread_directions(60, 1)
    bvals = np.repeat([50.0, 1000.0, 2000.0], [8, 60, 60])
    return GradientTable(bvals, np.concatenate([inner[:8], inner, outer]))


@pytest.mark.slow
def test_two_shells(two_shells):
    table = two_shells
    values, counts = np.unique(table.bvals, return_counts=True)
    np.testing.assert_array_equal(values, [50, 1000, 2000])
    np.testing.assert_array_equal(counts, [8, 60, 60])
    inner, outer = (table.bvecs[table.bvals == value] for value in (1000, 2000))
    assert min(closest_angle(inner), closest_angle(outer)) > 17
    assert not np.allclose(inner, outer, atol=0.1)


def compare_with_file(table, name):
    file = read_gradient_table(PROTOCOLS / f"{name}.bval", PROTOCOLS / f"{name}.bvec")
    np.testing.assert_array_equal(file.bvals, table.bvals)
    np.testing.assert_allclose(file.bvecs, table.bvecs, atol=1e-4)


def test_the_bundle_s_file_is_the_study_s_scheme():
    compare_with_file(published_scheme(), "paper")


@pytest.mark.slow
def test_the_bundle_s_file_of_two_shells_is_this_scheme(two_shells):
    compare_with_file(two_shells, "two_shell")
