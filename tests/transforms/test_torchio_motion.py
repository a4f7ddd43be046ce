"""TorchIO's motion as it is published, and why it is not our own simulation."""

import sys

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom.errors import InputError
from custom.physics.motion.rigid_motion import rotate
from custom.transforms.motion.torchio_motion import TorchIOMotiond, centred_affine

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def torchio():
    return pytest.importorskip("torchio")


def blob(size=40, width=5.0):
    grid = torch.meshgrid(*3 * [torch.arange(size) - (size - 1) / 2], indexing="ij")
    return torch.exp(-sum(axis**2 for axis in grid) / (2 * width**2))[None]


def moved_centre(torchio, origin, angle=10.0):
    """How far, in voxels, TorchIO's rotation about the third axis moves a centred blob."""
    from torchio.data.io import nib_to_sitk
    from torchio.transforms.augmentation.intensity.random_motion import Motion

    affine = np.eye(4)
    affine[:3, 3] = origin
    degrees, none = np.array([[0, 0, angle]]), np.zeros((1, 3))
    motion = Motion(degrees, none, np.array([0.5]), "linear")
    image = nib_to_sitk(blob().numpy(), affine, force_3d=True)
    transforms = motion.get_rigid_transforms(degrees, none, image)
    import SimpleITK as sitk  # noqa: N813

    array = sitk.GetArrayFromImage(motion.resample_images(image, transforms, "linear")[1])
    places = np.indices(array.shape) - (np.array(array.shape).reshape(3, 1, 1, 1) - 1) / 2
    return np.linalg.norm((places * array).sum(axis=(1, 2, 3)) / array.sum())


def test_torchio_rotates_about_the_origin_of_the_world_and_ours_about_the_centre(torchio):
    assert moved_centre(torchio, -60.0) > 8
    centred = centred_affine(torch.eye(4), (40, 40, 40))
    assert moved_centre(torchio, centred[:3, 3].numpy()) < 0.05
    small = blob(width=3.0)[0].double()
    turned = rotate(small, [0.0, 0.0, 10.0], (1.0, 1.0, 1.0))
    assert torch.allclose(turned.real, small, atol=1e-6)


def test_torchio_gives_negative_voxels_which_are_cut(torchio):
    image = (blob() > 0.2) * (1 - 0.5 * blob(width=2.0))  # edges, as a head has them
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        raw = torchio.RandomMotion(10, 10, 2)(torchio.ScalarImage(tensor=image)).data
    assert (raw < 0).float().mean() > 0.2
    moved = TorchIOMotiond("image")({"image": image / image.max()})["image"]
    assert moved.min() == 0
    assert (moved == 0).float().mean() > 0.2
    assert moved.max() == pytest.approx(1)


def test_the_affine_is_kept_and_makes_no_difference_but_by_its_axes(torchio):
    affine = torch.diag(torch.tensor([-1.0, 1.0, 1.2, 1.0], dtype=torch.float64))
    found = []
    for origin in (0.0, -90.0):
        affine[:3, 3] = origin
        image = MetaTensor(blob(24, 3.0), affine=affine.clone())
        transform = TorchIOMotiond("image", fixed_by=["scan"])
        found.append(transform({"image": image, "scan": "a"}))
        assert torch.equal(found[-1]["image"].affine, image.affine)
        assert found[-1]["image"].shape == image.shape
    assert torch.allclose(found[0]["image"].as_tensor(), found[1]["image"].as_tensor(), atol=1e-5)
    assert found[0]["motion_kind"] == "torchio"
    assert found[0]["severity"] > 0


def test_a_seed_draws_the_same_and_leaves_torch_alone(torchio):
    image, found = blob(24, 3.0), []
    state = torch.get_rng_state()
    for _ in range(2):
        transform = TorchIOMotiond("image")
        transform.set_random_state(3)
        found.append([transform({"image": image})["image"] for _ in range(2)])
    assert torch.equal(found[0][0], found[1][0])
    assert not torch.allclose(found[0][0], found[0][1])
    assert torch.equal(state, torch.get_rng_state())


def test_the_extra_is_named_when_torchio_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchio", None)
    with pytest.raises(InputError, match=r"\[motion\]"):
        TorchIOMotiond("image")
