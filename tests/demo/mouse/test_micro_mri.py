from itertools import chain

import nibabel as nib
import numpy as np
import pytest

from custom.data.datasets.datalist import load_datalist
from custom.demo.mouse.micro_mri import MicroMriDemo
from custom.demo.mouse.mouse_anatomy import Mouse
from custom.demo.mouse.mouse_scan import FIELD_OF_VIEW_MM, SLICE_MM, Protocol, scan_pair
from custom.physics.kspace_acquisition import Acquisition

TINY = Protocol(Acquisition((32, 32), 1), Acquisition((64, 64), 5), num_slices=3)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    made = MicroMriDemo(tmp_path_factory.mktemp("demo") / "set", "tiny", seed=3)
    made.ensure()
    return made


def test_the_set_is_complete_and_split_by_animal(demo):
    splits = load_datalist(demo.folder, demo)
    animals = {split: {item["animal"] for item in items} for split, items in splits.items()}
    assert {split: len(names) for split, names in animals.items()} == {
        "training": 4,
        "validation": 2,
        "test": 1,
    }
    assert len(set.union(*animals.values())) == 7
    for item in chain(*splits.values()):
        assert 0 < item["noise_std"] <= item["nominal_noise_std"]
        if item["animal"].startswith("varied"):
            assert item["noise_std"] == pytest.approx(0.3 * item["nominal_noise_std"])
            continue
        image, label, mask = (nib.load(item[key]) for key in ("image", "label", "mask"))
        assert image.shape == (32, 32, 2)
        assert label.shape == mask.shape == (64, 64, 2)
        assert set(np.unique(np.asarray(mask.dataobj))) == {0, 1, 2}
        values = np.asarray(label.dataobj)
        assert 5000 < values.max() < 45000
        assert item["scan"] == f"{item['animal']}_{item['plane']}_{item['region']}"


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_both_scans_lie_in_the_same_box(plane):
    pair = scan_pair(Mouse(1), plane, "thorax-abdomen", TINY, np.random.SeedSequence(0))
    to_fine = np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(pair.label_affine, pair.image_affine @ to_fine, atol=1e-9)
    spacing = nib.affines.voxel_sizes(pair.image_affine)
    np.testing.assert_allclose(spacing[:2], FIELD_OF_VIEW_MM / 32)
    codes = {"axial": ("R", "A", "S"), "coronal": ("R", "S", "A"), "sagittal": ("A", "S", "R")}
    assert nib.aff2axcodes(pair.image_affine) == codes[plane]
    # The fast scan is the default scan's object: means over 2 x 2 voxels agree with it.
    coarse = pair.label.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.corrcoef(coarse.ravel(), pair.image.ravel())[0, 1] > 0.97


def test_noise_of_both_scans_is_that_of_physics():
    pair = scan_pair(Mouse(1), "axial", "thorax-abdomen", TINY, np.random.SeedSequence(0))
    sigma = TINY.sample_std * TINY.gain
    assert TINY.fast_noise_std == pytest.approx(sigma * TINY.fast.noise_gain)
    # Air in the corner: Rayleigh, mean square 2 sigma^2. Ringing of the body adds a little.
    for stack, scan, size in ((pair.image, TINY.fast, 3), (pair.label, TINY.default, 6)):
        air = stack[:size, :size].astype(float) ** 2
        expected = 2 * (sigma * scan.noise_gain) ** 2
        assert air.mean() == pytest.approx(expected, rel=5 / np.sqrt(air.size) + 0.1)


def test_the_unseen_animal_is_in_no_split(demo, tmp_path):
    image = demo.unseen_scan(tmp_path)
    low, high = nib.load(image), nib.load(tmp_path / "unseen_mouse_reference.nii.gz")
    assert low.shape == (32, 32, 4)
    assert high.shape == (64, 64, 4)
    assert low.header.get_zooms()[2] == pytest.approx(SLICE_MM)  # side by side
    for item in chain(*load_datalist(demo.folder).values()):
        assert not np.array_equal(np.asarray(nib.load(item["image"]).dataobj), low.dataobj)


def test_a_default_scan_that_is_not_twice_as_fine_is_refused():
    with pytest.raises(ValueError, match="default must be twice as fine"):
        Protocol(Acquisition((32, 32)), Acquisition((65, 64)))
