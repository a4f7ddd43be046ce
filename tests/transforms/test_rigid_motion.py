"""The random motion of items: what is drawn, that it is replayed, and what it writes."""

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from custom.physics.motion.moved_volume import MotionDraw, with_motion
from custom.physics.motion.rigid_motion import rotate
from custom.transforms.motion.rigid_motion import RandRigidMotiond

ACQUISITIONS = ["2d", "3d", "full_3d"]
NAMES = {"severity", "rms_displacement", "severity_class", "motion_kind", "phase_axis"}


def head(shape=(30, 36, 8), spacing=(2.0, 1.5, 3.0)):
    """An ellipsoid with smooth stripes inside."""
    grid = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    inside = sum(axis**2 for axis in grid) < 0.8
    values = inside * (0.6 + 0.4 * np.cos(9 * grid[0]) * np.cos(7 * grid[1]))
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    return MetaTensor(torch.tensor(values)[None].float(), affine=affine)


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
@pytest.mark.parametrize("slice_dim", [0, 2])
def test_the_same_seed_draws_the_same_and_a_kept_draw_is_replayed(acquisition, slice_dim):
    image = head((10, 36, 24) if slice_dim == 0 else (30, 36, 8))
    settings = {"prob_still": 0.0, "noise": (0.0, 0.02), "partial_fourier": (0.7, 1.0)}
    found = []
    for _ in range(2):
        transform = RandRigidMotiond("image", acquisition, slice_dim=slice_dim, **settings)
        Compose([transform]).set_random_state(4)
        found.append([transform({"image": image}) for _ in range(2)])
    first, second = found[0]
    assert torch.equal(first["image"], found[1][0]["image"])
    assert not torch.allclose(first["image"], second["image"])
    assert set(first) >= NAMES
    assert first["image"].shape == image.shape
    assert torch.equal(first["image"].affine, image.affine)
    spacing = image.affine.diagonal()[:3].tolist()
    again, severity, displacement, _ = with_motion(image, transform.draw, spacing, slice_dim)
    assert torch.equal(again, second["image"])
    assert (severity, displacement) == (second["severity"], second["rms_displacement"])
    # A draw is in time and millimetres: it is of no size.
    larger = head((14, 40, 30)).as_tensor()
    assert with_motion(larger, transform.draw, spacing, slice_dim)[0].shape == larger.shape


def test_a_fixed_draw_follows_from_the_name_and_the_seed():
    items = [{"image": head(), "scan": name} for name in ("a", "b", "a")]
    transform = RandRigidMotiond("image", fixed_by=["scan"], prob_still=0.0)
    first, other, again = (transform(item) for item in items)
    assert torch.equal(first["image"], again["image"])
    assert first["severity"] != other["severity"]
    seeded = RandRigidMotiond("image", fixed_by=["scan"], prob_still=0.0, seed=1)(items[0])
    assert seeded["severity"] != first["severity"]
    with pytest.raises(KeyError, match="scan"):
        transform({"image": head()})


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_a_still_head_stays_as_it_is(acquisition):
    image = head()
    result = RandRigidMotiond("image", acquisition, prob_still=1.0)({"image": image})
    assert torch.equal(result["image"], image)
    assert (result["severity"], result["severity_class"]) == (0.0, "still")
    assert result["motion_kind"] == "still"
    noisy = RandRigidMotiond("image", acquisition, prob_still=1.0, noise=(0.1, 0.1))
    difference = (noisy({"image": image})["image"] - image)[image > 0.5]
    assert difference.std() == pytest.approx(0.1, rel=0.1)


def test_shares_of_still_heads_and_of_kinds():
    transform = RandRigidMotiond("image", kinds=["drift", "spikes"], weights=[3, 1])
    transform.set_random_state(0)
    kinds = [transform.randomize({}).kind for _ in range(600)]
    for kind, share in (("still", 0.15), ("drift", 0.85 * 0.75), ("spikes", 0.85 * 0.25)):
        error = math.sqrt(share * (1 - share) / 600)
        assert kinds.count(kind) / 600 == pytest.approx(share, abs=5 * error)


def test_slices_of_a_2d_scan_move_by_package_those_of_a_3d_scan_alike():
    path = torch.zeros(2, 3, 100)
    path[1, 0, 20:40] = 8.0
    image = head().as_tensor()
    image = image[..., 3:4].expand(-1, -1, -1, 5)
    moved, *_ = with_motion(image, MotionDraw("spikes", path, 0), (2.0, 1.5, 3.0))
    for number in range(5):
        still = torch.allclose(moved[..., number], image[..., number], atol=1e-5)
        assert still == (number % 2 == 0)
    alike, *_ = with_motion(image, MotionDraw("spikes", path[1:], 0), (2.0, 1.5, 3.0))
    assert torch.allclose(alike[..., 0], moved[..., 1], atol=1e-5)
    assert torch.allclose(alike[..., 0], alike[..., 4], atol=1e-5)


def test_the_slices_of_a_package_that_does_not_move_are_the_still_ones():
    """Bit for bit: else they count as restorations of 147 dB in a mean of PSNR."""
    volume = head().as_subclass(torch.Tensor)
    paths = torch.zeros(2, 3, 64)
    paths[1, 2, 10:] = 4.0
    moved, severity, _, severities = with_motion(
        volume, MotionDraw("sudden", paths, 0), (2.0, 1.5, 3.0)
    )
    assert torch.equal(moved[..., ::2], volume[..., ::2])
    assert (moved[..., 1::2] - volume[..., 1::2]).abs().max() > 0.01
    assert not severities[::2].any()
    assert severities[1] > 0
    # The whole's is that of the slices, weighted by their energy.
    energy = volume[0].square().sum((0, 1))
    expected = ((energy * severities.square()).sum() / energy.sum()).sqrt()
    assert severity == pytest.approx(float(expected), rel=1e-5)


def test_millimetres_and_the_axes_of_the_plane_and_of_space():
    """All lines but the centre's are read in another pose: nearly the moved image, less a mean."""
    image, spacing = head((24, 30, 28)).as_tensor(), (2.0, 1.5, 1.0)
    path = torch.zeros(1, 6, 24)
    path[0, :, torch.arange(24) != 12] = torch.tensor([0.0, 5.0, 0.0, 0.0, 0.0, 3.0])[:, None]
    draw = MotionDraw("spikes", path, 0)
    # slice_dim 2: axes of the path are (slice, 0, 1), so the shift is along axis 1 of the volume.
    moved, severity, displacement, slices = with_motion(image, draw, spacing, slice_dim=2)
    turned = rotate(image[0].permute(2, 0, 1), [0.0, 5.0, 0.0], (1.0, 2.0, 1.5))
    expected = turned.roll(2, 2).abs().permute(1, 2, 0)[None]
    inner = torch.corrcoef(torch.stack([moved.flatten(), expected.flatten()]))[0, 1]
    outer = torch.corrcoef(torch.stack([moved.flatten(), image.flatten()]))[0, 1]
    assert inner > outer
    ball = 80**2 / 5 * 4 * (1 - math.cos(math.radians(5)))
    assert displacement == pytest.approx(math.sqrt(23 / 24 * (ball + 9)), rel=1e-4)
    assert severity > 0.1
    energy = image[0].square().sum((0, 1))
    assert severity == pytest.approx(
        float(((energy * slices.square()).sum() / energy.sum()).sqrt()),
        rel=0.01,  # what moves into slices without any signal counts in the whole alone
    )


def test_what_is_wrong_is_refused():
    cases = {
        "acquisition": "4d",
        "kinds": ["jump"],
        "orders": ["spiral"],
        "weights": [1.0],
        "prob_still": 1.5,
        "noise": (0.2, 0.1),
        "translation_mm": (-1.0, 2.0),
        "partial_fourier": (0.4, 1.0),
        "shots": (0, 4),
        "packages": 0,
        "states": 0,
        "phase_axis": 2,
        "slice_dim": 3,
        "fill": "mean",
    }
    for name, value in cases.items():
        with pytest.raises(ValueError, match="fraction" if name == "partial_fourier" else name):
            RandRigidMotiond("image", **{name: value})
    with pytest.raises(ValueError, match="magnitude"):
        RandRigidMotiond("image")({"image": head() - 1})
