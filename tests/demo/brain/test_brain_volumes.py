from itertools import chain

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from custom.data.datasets.datalist import load_datalist
from custom.demo.brain.brain_anatomy import BrainGrid, make_head
from custom.demo.brain.brain_template import brain_template
from custom.demo.brain.brain_volumes import BrainVolumesDemo
from custom.physics.downsampling import downsample, upsample


def array(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    made = BrainVolumesDemo(tmp_path_factory.mktemp("demo") / "set", "tiny", seed=3)
    made.ensure()
    return made


@pytest.fixture(scope="module")
def items(demo):
    return list(chain(*load_datalist(demo.folder, demo).values()))


def test_template_maps_are_probabilities_of_a_brain_of_a_human_s_size():
    template = brain_template()
    litres = {
        name: getattr(template, name).sum()
        * 1e-6
        * abs(np.linalg.det(np.linalg.inv(template.to_index)))
        for name in ("grey", "white", "brain")
    }
    assert 0.6 < litres["grey"] < 1.1
    assert 0.4 < litres["white"] < 0.8
    assert 1.5 < litres["brain"] < 2.1
    assert (template.grey + template.white).max() < 1.05
    # Between two voxels a linear map is their mean.
    index = np.array([[90, 90.5, 91], [100, 100, 100], [80, 80, 80]])
    to_mm = np.linalg.inv(template.to_index)
    values = template.sample((to_mm[:3, :3] @ index + to_mm[:3, 3:]).astype(np.float32))[1]
    assert values[1] == pytest.approx((values[0] + values[2]) / 2, abs=1e-4)
    assert values[0] == template.white[90, 100, 80]


def test_every_scan_is_of_another_head_and_people_are_not_in_two_splits(items, demo):
    splits = load_datalist(demo.folder)
    assert {name: len(part) for name, part in splits.items()} == {
        "training": 2,
        "validation": 1,
        "test": 1,
    }
    assert len({item["subject"] for item in items}) == 4
    heads = [array(item["label"]).astype(float) for item in items]
    for number, one in enumerate(heads):
        for other in heads[number + 1 :]:
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.9


def test_the_partner_is_the_downsampled_head_in_the_same_place(items):
    oblique = 0
    for item in items:
        label, image = nib.load(item["label"]), nib.load(item["image"])
        assert label.get_data_dtype() == image.get_data_dtype() == np.int16
        expected = downsample(torch.from_numpy(array(item["label"])).float()[None, None], "linear")
        assert np.abs(expected[0, 0].numpy() - array(item["image"])).max() <= 0.5
        # Antialiased: the middle of eight voxels is the middle of the one that they become.
        middle = label.affine @ [8.5, 4.5, 6.5, 1]
        np.testing.assert_allclose(image.affine @ [4, 2, 3, 1], middle, atol=1e-4)
        np.testing.assert_allclose(image.header.get_zooms(), [9.2] * 3, rtol=1e-5)
        oblique += bool(np.count_nonzero(np.abs(label.affine[:3, :3]) > 0.01) > 3)
    assert oblique == 2


def test_the_noise_in_air_is_rician_and_small(items):
    for item in items:
        head = array(item["label"]).astype(float)
        air = np.concatenate([head[:3, :3].ravel(), head[-3:, :3].ravel(), head[:3, -3:].ravel()])
        tissue = np.median(head[14:22, 16:24, 14:22])
        # Rayleigh: mean / deviation = sqrt(pi / (4 - pi)) = 1.913.
        assert 1.6 < air.mean() / air.std() < 2.2
        assert air.mean() < 0.06 * tissue


def test_a_head_has_detail_that_the_low_resolution_lacks():
    head = make_head(BrainGrid((64, 64, 64), 1.4), np.random.SeedSequence(5))
    volume = torch.from_numpy(head)[None, None]
    lost = (upsample(downsample(volume, "linear"), "linear") - volume)[0, 0].numpy()
    brain = ndimage.binary_erosion(head > 0.3 * head.max(), iterations=2)
    # Noise is at most 2 % of white matter, and half of the greatest signal more than white matter.
    assert lost[brain].std() > 0.04 * np.median(head[brain])


def test_a_tilt_turns_the_scan_and_not_the_head():
    straight = BrainGrid((36, 40, 36), 4.6)
    tilted = BrainGrid((36, 40, 36), 4.6, (6.0, -4.0, 8.0))
    one, two = (make_head(grid, np.random.SeedSequence(7)) for grid in (straight, tilted))
    to_straight = np.linalg.inv(straight.affine) @ tilted.affine
    moved = ndimage.affine_transform(one, to_straight, output_shape=two.shape, order=1)
    turned = np.corrcoef(moved.ravel(), two.ravel())[0, 1]
    left = np.corrcoef(one.ravel(), two.ravel())[0, 1]
    assert turned > left + 0.02
    np.testing.assert_allclose(
        tilted.affine[:3, :3] @ tilted.affine[:3, :3].T, 4.6**2 * np.eye(3), atol=1e-9
    )


def test_the_unseen_scan_is_of_no_split_and_has_its_reference(demo, items, tmp_path):
    path = demo.unseen_scan(tmp_path / "unseen")
    assert [found.name for found in path.parent.glob("*.nii.gz")] == ["unseen_brain.nii.gz"]
    reference = array(path.parent / "reference" / "unseen_brain_reference.nii.gz")
    expected = downsample(torch.from_numpy(reference).float()[None, None], "linear")[0, 0]
    assert np.abs(expected.numpy() - array(path)).max() <= 0.5
    for item in items:
        assert np.corrcoef(array(item["label"]).ravel(), reference.ravel())[0, 1] < 0.9
