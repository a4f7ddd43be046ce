import numpy as np
import pytest
import torch
from dipy.core.gradients import gradient_table
from dipy.reconst import dti
from dipy.sims.voxel import single_tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from custom.physics.diffusion.tensor import (
    b_matrix,
    fractional_anisotropy,
    mean_diffusivity,
    tensor_matrices,
    tensor_signal,
)

DIPY_ORDER = [0, 3, 1, 4, 5, 2]  # xx, xy, yy, xz, yz, zz


def scheme(count=20, seed=0):
    """Directions of mixed b-values, the first of b = 0."""
    rng = np.random.default_rng(seed)
    bvecs = rng.normal(size=(count, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    bvals = rng.choice([200.0, 1000, 2500], count)
    bvals[0], bvecs[0] = 0, 0
    return bvals, bvecs


def positive_tensors(count, seed=0):
    """Eigenvalues 0.1 to 3 µm²/ms, random rotations: values, vectors, and our six numbers."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.1, 3, (count, 3))
    vectors = Rotation.random(count, rng=rng).as_matrix()
    matrices = np.einsum("nij,nj,nkj->nik", vectors, values, vectors)
    return values, vectors, six(matrices)


def six(matrices):
    rows, columns = [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]
    return torch.from_numpy(np.ascontiguousarray(matrices[..., rows, columns]))


def test_rows_are_those_of_dipy_s_design():
    bvals, bvecs = scheme()
    table = gradient_table(bvals, bvecs=bvecs, b0_threshold=10)
    ours = b_matrix(torch.from_numpy(bvals), torch.from_numpy(bvecs))
    # DIPY: minus b in s/mm², its own order, and a column of -1 for log S0.
    expected = -dti.design_matrix(table)[:, :6] / 1000
    np.testing.assert_allclose(ours[:, DIPY_ORDER], expected, atol=1e-12)


def test_signal_is_dipy_s():
    bvals, bvecs = scheme()
    table = gradient_table(bvals, bvecs=bvecs, b0_threshold=10)
    values, vectors, tensors = positive_tensors(30)
    rows = b_matrix(torch.from_numpy(bvals), torch.from_numpy(bvecs))
    ours = tensor_signal(tensors, rows)
    for signal, evals, evecs in zip(ours, values, vectors, strict=True):
        expected = single_tensor(table, 1.0, evals=evals * 1e-3, evecs=evecs)
        np.testing.assert_allclose(signal, expected, rtol=1e-10)


def test_maps_are_dipy_s():
    values, _, tensors = positive_tensors(200)
    np.testing.assert_allclose(
        fractional_anisotropy(tensors), dti.fractional_anisotropy(values), rtol=1e-9
    )
    np.testing.assert_allclose(mean_diffusivity(tensors), dti.mean_diffusivity(values), rtol=1e-12)
    batch = tensors.reshape(4, 50, 6)
    np.testing.assert_array_equal(
        fractional_anisotropy(batch).reshape(-1), fractional_anisotropy(tensors)
    )


def test_matrices_are_dipy_s():
    _, _, tensors = positive_tensors(10)
    expected = dti.from_lower_triangular(tensors.numpy()[:, DIPY_ORDER])
    np.testing.assert_array_equal(tensor_matrices(tensors), expected)
    assert tensor_matrices(tensors.reshape(2, 5, 6)).shape == (2, 5, 3, 3)


def test_anisotropy_at_its_ends():
    sphere = torch.tensor([0.7, 0.7, 0.7, 0.0, 0.0, 0.0])
    nothing = torch.zeros(6)
    negative = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.0, 0.0])  # sqrt(3/2) by the formula
    ends = fractional_anisotropy(torch.stack([sphere, nothing, negative]))
    np.testing.assert_allclose(ends, [0, 0, 1], atol=1e-6)
    direction = np.array([1.0, 2.0, -2.0]) / 3
    stick = six(1.7 * np.outer(direction, direction))
    assert fractional_anisotropy(stick).item() == pytest.approx(1)
    # Prolate 3 : 1 : 1, by hand: sqrt(1/2 (4 + 4 + 0) / 11).
    assert fractional_anisotropy(torch.tensor([3.0, 1, 1, 0, 0, 0])).item() == pytest.approx(
        np.sqrt(4 / 11)
    )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), size=st.floats(0.01, 10))
def test_rotating_the_world_changes_no_signal_and_no_map(seed, size):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(3, 3))
    matrix = size * (matrix + matrix.T)
    turn = Rotation.random(rng=rng).as_matrix()
    bvals, bvecs = scheme(8, seed)
    before, after = six(matrix), six(turn @ matrix @ turn.T)
    torch.testing.assert_close(mean_diffusivity(before), mean_diffusivity(after))
    torch.testing.assert_close(fractional_anisotropy(before), fractional_anisotropy(after))
    b = torch.from_numpy(bvals)
    rows = b_matrix(b, torch.from_numpy(bvecs)), b_matrix(b, torch.from_numpy(bvecs @ turn.T))
    torch.testing.assert_close(rows[0] @ before, rows[1] @ after)
    torch.testing.assert_close(rows[0][:, :3].sum(1), (b > 0) * b / 1000)


@pytest.mark.parametrize("shapes", [((4, 1), (4, 3)), ((4,), (3, 4)), ((4,), (5, 3))])
def test_shapes_that_do_not_fit_are_named(shapes):
    with pytest.raises(ValueError, match="bvals must be"):
        b_matrix(torch.ones(shapes[0]), torch.ones(shapes[1]))
