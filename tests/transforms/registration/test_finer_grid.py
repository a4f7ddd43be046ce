import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom.transforms.registration.finer_grid import FinerGridd


def test_the_grid_fills_the_box_of_an_oblique_image():
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 1.1, 2.0])
    affine[:3, 3] = [-30, 12, 5]
    image = MetaTensor(torch.zeros(1, 20, 24, 9), affine=torch.from_numpy(affine))
    grid = FinerGridd("image", [0.65, 0.65, 0.65])({"image": image})["grid"]
    assert grid.shape == (1, 31, 41, 28)
    made = grid.affine.numpy()
    for corner in np.ndindex(2, 2, 2):
        at = [np.array(corner) * shape - 0.5 for shape in (image.shape[1:], grid.shape[1:])]
        one, other = (
            matrix[:3, :3] @ place + matrix[:3, 3]
            for matrix, place in zip((affine, made), at, strict=True)
        )
        np.testing.assert_allclose(one, other, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(made[:3, :3], axis=0), 0.65, rtol=0.02)


def test_a_size_of_0_is_refused():
    with pytest.raises(ValueError, match="spacing must be positive"):
        FinerGridd("image", [0.65, 0.0, 0.65])
