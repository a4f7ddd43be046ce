from itertools import chain
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from dipy.core.gradients import gradient_table
from dipy.io import read_bvals_bvecs
from dipy.reconst.dti import TensorModel, fractional_anisotropy
from dipy.sims.voxel import single_tensor

from custom.data.datasets.datalist import load_datalist
from custom.data.datasets.dataset_kinds import DIFFUSION_SERIES
from custom.demo.diffusion import dwi_phantom
from custom.demo.diffusion.dwi_anatomy import make_phantom
from custom.demo.diffusion.dwi_phantom import DwiDemo
from custom.physics.diffusion.gradient_table import read_gradient_table, tables_beside
from custom.physics.diffusion.priors import BoxPrior

PATHS = tuple(DIFFUSION_SERIES.images)
PROTOCOL = Path(__file__).parents[3] / "bundles" / "dwi_vae" / "configs" / "protocols" / "paper"


def array(path):
    return np.asarray(nib.load(path).dataobj)


def dipy_table(image):
    bvals, bvecs = read_bvals_bvecs(*map(str, tables_beside(image)))
    return gradient_table(bvals, bvecs=bvecs, b0_threshold=10)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    made = DwiDemo(tmp_path_factory.mktemp("demo") / "set", "tiny", seed=3)
    made.ensure()
    return made


@pytest.fixture(scope="module")
def items(demo):
    return list(chain(*load_datalist(demo.folder, demo, paths=PATHS).values()))


def test_every_scan_is_of_another_head(items, demo):
    splits = load_datalist(demo.folder, paths=PATHS)
    assert {split: len(part) for split, part in splits.items()} == {
        "training": 1,
        "validation": 1,
        "test": 2,
    }
    assert len({item["subject"] for item in items}) == 4
    tensors = [array(item["tensor"]) for item in items]
    assert all(np.abs(tensors[0] - other).max() > 0.5 for other in tensors[1:])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_tensor_leaves_the_prior(seed):
    b_rows = dwi_phantom._scheme().b_rows
    phantom = make_phantom((18, 21, 12), 9.0, 30, b_rows, np.random.SeedSequence(seed))
    head = phantom.mask > 0
    assert BoxPrior.contains(torch.from_numpy(phantom.tensor[head]), b_rows).all()
    assert 0.2 < head.mean() < 0.4
    assert phantom.s0[head].min() > 300
    assert phantom.s0[head].max() < 1500
    assert not phantom.s0[~head].any()
    assert not phantom.tensor[~head].any()


def test_tensors_change_smoothly_and_are_not_all_alike():
    b_rows = dwi_phantom._scheme().b_rows
    phantom = make_phantom((36, 42, 24), 4.5, 30, b_rows, np.random.SeedSequence(0))
    head = phantom.mask > 0
    step = np.linalg.norm(np.diff(phantom.tensor, axis=0), axis=-1)[head[1:] & head[:-1]]
    spread = np.linalg.norm(phantom.tensor[head].std(0))
    assert np.median(step) < 0.3 * spread
    xx, yy, zz, xy, xz, yz = phantom.tensor[head].T
    matrices = np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], -1).reshape(-1, 3, 3)
    anisotropy = fractional_anisotropy(np.linalg.eigvalsh(matrices))
    assert np.quantile(anisotropy, 0.1) < 0.25
    assert np.quantile(anisotropy, 0.9) > 0.45


def test_the_protocol_is_the_bundle_s(items):
    bundle = read_gradient_table(PROTOCOL.with_suffix(".bval"), PROTOCOL.with_suffix(".bvec"))
    for item in items:
        for key in ("image", "label"):
            table = read_gradient_table(*tables_beside(item[key]))
            np.testing.assert_allclose(table.b_rows, bundle.b_rows, atol=1e-5)


def test_the_noiseless_signal_is_dipy_s(items):
    item = items[0]
    table = dipy_table(item["image"])
    label, s0 = array(item["label"]), array(item["s0"])
    tensor, mask = array(item["tensor"]).astype(float), array(item["mask"]) > 0
    for voxel in np.argwhere(mask)[::40]:
        xx, yy, zz, xy, xz, yz = tensor[tuple(voxel)] * 1e-3
        values, vectors = np.linalg.eigh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        expected = single_tensor(table, s0[tuple(voxel)], evals=values, evecs=vectors)
        np.testing.assert_allclose(label[tuple(voxel)], expected, rtol=1e-4)
    assert not label[~mask].any()


def test_dipy_finds_the_tensors_again(items):
    item = items[1]
    mask = array(item["mask"]) > 0
    table = dipy_table(item["label"])
    fitted = TensorModel(table, fit_method="OLS", min_signal=1e-3, return_S0_hat=True).fit(
        array(item["label"])[mask].astype(float)
    )
    xx, xy, yy, xz, yz, zz = fitted.lower_triangular().T * 1e3
    found = np.stack([xx, yy, zz, xy, xz, yz], -1)
    # DIPY makes eigenvalues below 0 positive: compared are tensors without such.
    usable = np.linalg.eigvalsh(fitted.quadratic_form).min(-1) > 1e-5
    assert usable.mean() > 0.8
    np.testing.assert_allclose(found[usable], array(item["tensor"])[mask][usable], atol=2e-3)
    np.testing.assert_allclose(fitted.S0_hat, array(item["s0"])[mask], rtol=1e-3)


def test_noise_has_the_stated_deviation(items):
    for item in items:
        noisy, clean = array(item["image"]), array(item["label"])
        sigma = item["sigma"]
        head = array(item["mask"]) > 0
        assert sigma == pytest.approx(item["noise_level"] * np.median(array(item["s0"])[head]))
        high = clean > 5 * sigma  # never cut there
        residual = ((noisy - clean)[high] / sigma).astype(float)
        assert abs(residual.mean()) < 5 / np.sqrt(residual.size)
        assert abs(residual.std() - 1) < 5 / np.sqrt(2 * residual.size)
        # Outside the head: half of the volume is cut to 0, and the rest is half a Gaussian.
        air = noisy[~head].astype(float) / sigma
        assert air.min() == 0
        assert abs((air == 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(air.size)
        assert abs((air**2).mean() - 0.5) < 5 * np.sqrt(1.25 / air.size)


def test_noise_of_neighbours_and_of_volumes_is_independent(items):
    noisy, clean = array(items[0]["image"]), array(items[0]["label"])
    noise = np.where(clean > 5 * items[0]["sigma"], noisy - clean, np.nan) / items[0]["sigma"]
    for axis in range(4):
        one, two = (np.take(noise, np.arange(s, noise.shape[axis] - 1 + s), axis) for s in (0, 1))
        product = (one * two)[np.isfinite(one * two)]
        assert abs(product.mean()) < 5 / np.sqrt(product.size)


def test_the_unseen_scan_is_of_no_split(demo, items, tmp_path):
    path = demo.unseen_scan(tmp_path / "unseen")
    assert [found.name for found in path.parent.glob("*.nii.gz")] == ["unseen_dwi.nii.gz"]
    reference = path.parent / "reference" / "unseen_dwi_reference.nii.gz"
    noisy, clean = array(path), array(reference)
    head = clean > 0
    deviation = (noisy - clean)[head].std() / np.median(clean[..., 0][head[..., 0]])
    assert 0.08 < deviation < 0.12
    assert tables_beside(path)[1].read_text() == tables_beside(reference)[1].read_text()
    for item in items:
        assert not np.allclose(array(item["label"]), clean, rtol=0.1)
