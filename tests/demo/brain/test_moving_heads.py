from itertools import chain

import nibabel as nib
import numpy as np
import pytest

from custom.data.datasets.datalist import load_datalist
from custom.demo.brain.brain_volumes import BrainVolumesDemo
from custom.demo.brain.moving_heads import MovingHeadsDemo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    made = MovingHeadsDemo(tmp_path_factory.mktemp("demo") / "set", "tiny", seed=3)
    made.ensure()
    return made


def test_each_head_moves_on_the_grid_of_the_still_one(demo):
    items = list(chain(*load_datalist(demo.folder, demo).values()))
    assert len(items) == 4
    for item in items:
        moved, still = (nib.load(item[key]) for key in ("image", "label"))
        assert np.array_equal(moved.affine, still.affine)
        first, second = (np.asarray(file.dataobj, float) for file in (moved, still))
        error = np.linalg.norm(first - second) / np.linalg.norm(second)
        assert 0.005 < error < 0.7
        # A slice that is shifted or smeared keeps its energy, up to what magnitudes cost.
        assert np.linalg.norm(first) == pytest.approx(np.linalg.norm(second), rel=0.02)


def test_the_still_heads_are_those_of_the_other_set(demo, tmp_path):
    job = BrainVolumesDemo(tmp_path, "tiny", seed=3)._scan((0, "training"))
    item = load_datalist(demo.folder, demo)["training"][0]
    assert np.array_equal(job["images"]["label"][0], np.asarray(nib.load(item["label"]).dataobj))


def test_the_unseen_scan_moves_and_its_reference_is_still(demo, tmp_path):
    path = demo.unseen_scan(tmp_path)
    assert path.name == "unseen_head.nii.gz"
    reference = nib.load(tmp_path / "reference" / "unseen_head_reference.nii.gz")
    scan = nib.load(path)
    assert scan.shape == reference.shape
    assert not np.array_equal(np.asarray(scan.dataobj), np.asarray(reference.dataobj))
