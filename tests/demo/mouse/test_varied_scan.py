import numpy as np
import pytest

from custom.demo.mouse.varied_scan import NOISE_SHARE, varied_scan


@pytest.fixture(scope="module")
def scans():
    return [varied_scan(np.random.SeedSequence((0, number)), 32, 3) for number in range(10)]


def test_both_scans_show_one_object_and_the_fast_one_has_the_noise_that_it_states(scans):
    for scan in scans:
        assert scan.image.shape == (32, 32, 3)
        coarse = scan.label.reshape(32, 2, 32, 2, 3).mean((1, 3))
        assert np.corrcoef(coarse.ravel(), scan.image.ravel())[0, 1] > 0.97
        assert scan.noise_std == pytest.approx(NOISE_SHARE * scan.nominal_noise_std)
    again = varied_scan(np.random.SeedSequence((0, 0)), 32, 3)
    assert np.array_equal(again.image, scans[0].image)


def test_contrasts_voxels_planes_and_parts_differ(scans):
    assert len({scan.plane for scan in scans}) == 3
    assert {scan.region for scan in scans} == {"brain", "body"}
    assert max(scan.voxel_mm for scan in scans) > 1.3 * min(scan.voxel_mm for scan in scans)
    snr = [np.median(s.label[s.label > 0.3 * s.label.max()]) / s.nominal_noise_std for s in scans]
    assert max(snr) > 2 * min(snr)


def test_most_brains_are_cut_out(scans):
    cut = [bool((scan.label == 0).any()) for scan in scans if scan.region == "brain"]
    assert any(cut)
    for scan in scans:
        outside = (scan.label.reshape(32, 2, 32, 2, 3) == 0).all((1, 3))
        assert not scan.image[outside].any()
