from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusion_series import study_table

from custom.data.inputs.protocol_matching import match_volumes
from custom.errors import InputError
from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.tensor import b_matrix


def turned(vectors: np.ndarray, degrees: float, seed: int = 0) -> np.ndarray:
    """Turn each vector by an angle about an axis at right angles to it."""
    aside = np.cross(vectors, np.random.default_rng(seed).normal(size=vectors.shape))
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-12)
    return np.cos(np.deg2rad(degrees)) * vectors + np.sin(np.deg2rad(degrees)) * aside


def test_order_and_signs_do_not_matter() -> None:
    table, rng = study_table(), np.random.default_rng(1)
    order = rng.permutation(len(table))
    signs = rng.choice([-1.0, 1.0], size=(len(table), 1))
    shuffled = GradientTable(table.bvals[order], table.bvecs[order] * signs)
    found = match_volumes(shuffled, table.b_rows)
    np.testing.assert_array_equal(order[found], np.arange(len(table)))


def test_equal_volumes_keep_their_order() -> None:
    bvals = np.array([0.0, 1000, 0, 1000, 0, 1000, 0])
    table = GradientTable(bvals, np.eye(3)[[0, 0, 0, 1, 0, 2, 0]] * (bvals > 0)[:, None])
    np.testing.assert_array_equal(match_volumes(table, table.b_rows), np.arange(7))


@pytest.mark.parametrize("degrees", [4.9, 5.1])
def test_directions_may_be_off_by_so_much(degrees: float) -> None:
    table = study_table()
    vectors = table.bvecs.copy()
    vectors[7:8] = turned(vectors[7:8], degrees)
    scan = GradientTable(table.bvals, vectors)
    if degrees < 5:
        np.testing.assert_array_equal(match_volumes(scan, table.b_rows), np.arange(32))
        return
    with pytest.raises(InputError, match=r"1 of 32 volumes .* volume 7: its direction is 5\.1 deg"):
        match_volumes(scan, table.b_rows)


@pytest.mark.parametrize("b", [50.0, 52.0])
def test_the_direction_of_b_50_does_not_count(b: float) -> None:
    table = study_table()
    bvals, vectors = table.bvals.copy(), table.bvecs.copy()
    bvals[[0, 31]] = b
    vectors[:1] = turned(vectors[:1], 60)
    scan = GradientTable(bvals, vectors)
    own = GradientTable(bvals, table.bvecs)  # a model may have been trained for b = 52 itself
    for model in (table, own):
        assert match_volumes(scan, model.b_rows)[0] == 0
    assert scan.unweighted.tolist() == table.unweighted.tolist()


@pytest.mark.parametrize(
    ("volume", "b", "passes"),
    [(3, 1049.0, True), (3, 1051.0, False), (3, 949.0, False), (0, 54.9, True), (0, 44.0, False)],
)
def test_b_values_may_be_off_by_so_much(volume: int, b: float, passes: bool) -> None:
    table = study_table()
    bvals = table.bvals.copy()
    bvals[volume] = b
    scan = GradientTable(bvals, table.bvecs)
    if passes:
        assert match_volumes(scan, table.b_rows)[volume] == volume
        return
    with pytest.raises(
        InputError,
        match=rf"volume {volume}: b = {b:.0f} .* model's {round(bvals[1] if volume else 50)}",
    ):
        match_volumes(scan, table.b_rows)


def test_each_measurement_needs_a_volume_of_its_own() -> None:
    table = study_table()
    twice = GradientTable(table.bvals, table.bvecs[[0, 1, 1, *range(3, 32)]])
    with pytest.raises(InputError, match="1 of 32 volumes"):
        match_volumes(twice, table.b_rows)
    with pytest.raises(InputError, match="31 volumes, but the model was trained for 32"):
        match_volumes(table.select(slice(1, None)), table.b_rows)


def test_a_turned_head_is_another_protocol() -> None:
    table = study_table()
    angle = np.deg2rad(20.0)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    with pytest.raises(InputError, match="volumes are like none"):
        match_volumes(GradientTable(table.bvals, table.bvecs @ turn), table.b_rows)


def test_the_assignment_is_the_best_of_all() -> None:
    """Against all orders of five volumes, by brute force."""
    from itertools import permutations

    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(5, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bvals = np.full(5, 1000.0)
    other = turned(vectors, 20.0)[rng.permutation(5)]
    rows = b_matrix(torch.from_numpy(bvals), torch.from_numpy(vectors))
    found = match_volumes(GradientTable(bvals, other), rows, direction_tolerance_deg=90.0)
    model, scan = (np.einsum("mi,mj->mij", v, v) for v in (vectors, other))

    def cost(order: tuple[int, ...]) -> float:
        return float(np.linalg.norm(model - scan[list(order)], axis=(1, 2)).sum())

    assert tuple(found) == min(permutations(range(5)), key=cost)
