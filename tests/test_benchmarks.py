import numpy as np

from benchmarks.real_data import in_plane_noise, thick_slices


def test_noise_is_measured_inside_the_brain_only():
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(-1, 1, 96), np.linspace(-1, 1, 80), indexing="ij")
    brain = (x**2 + y**2 < 0.5)[..., None] * np.ones(12)
    ramp = 200 + 40 * x[..., None]
    noise = rng.normal(0, 5, brain.shape)
    count = brain.sum()
    # The median of |x| of n normal values has a standard error of 1.17 sigma / sqrt(n); the second
    # difference correlates neighbours, hence the factor of 3.
    error = 5 * 3 * 1.17 * 5 / np.sqrt(count)
    assert abs(in_plane_noise(brain * (ramp + noise)) - 5) < error
    assert in_plane_noise(brain * ramp) < 1e-9


def test_thick_slices_average_four_and_lie_where_they_lay():
    import nibabel as nib

    values = np.random.default_rng(1).random((8, 12, 16)).astype(np.float32) + 1
    affine = np.array([[0.1, 0, 0, 3], [0, 0, 0.1, -2], [0, -0.1, 0, 7], [0, 0, 0, 1]])
    stacks = {plane: (s, a) for plane, s, a in thick_slices(nib.Nifti1Image(values, affine))}
    assert set(stacks) == {"axial", "coronal", "sagittal"}
    stack, frame = stacks["axial"]
    np.testing.assert_allclose(stack[5, 3, 1], values[5, 4:8, 3].mean(), rtol=1e-6)
    np.testing.assert_allclose(frame @ [5, 3, 1, 1], affine @ [5, 5.5, 3, 1], atol=1e-6)
