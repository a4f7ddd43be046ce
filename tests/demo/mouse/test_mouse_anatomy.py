import numpy as np
import pytest

from custom.demo.mouse.mouse_anatomy import Mouse
from custom.demo.rare_signal import TISSUES

POINTS = ((np.arange(100) + 0.5) / 100 - 0.5).astype(np.float32) * 30


def count(codes, name):
    return int((codes == TISSUES[name].code).sum())


@pytest.fixture(scope="module")
def mouse():
    return Mouse(3)


def test_each_level_holds_its_organs(mouse):
    found = {
        level: mouse.slice("axial", POINTS, POINTS, level, 0.6).codes for level in (32, 7, -3, -11)
    }
    assert count(found[32], "grey matter") > 50
    assert count(found[7], "lung") > 300
    assert count(found[7], "myocardium") > 50
    assert count(found[-3], "liver") > 300
    assert count(found[-11], "kidney cortex") > 50
    for codes in (found[7], found[-3], found[-11]):
        assert count(codes, "muscle") > 100
    assert count(found[32], "liver") == count(found[-11], "hippocampus") == 0
    # Only the lungs' recesses reach below the dome of the diaphragm.
    assert count(found[-3], "lung") < 0.1 * count(found[7], "lung")
    assert count(found[-11], "lung") == 0


def test_air_surrounds_the_animal(mouse):
    thick = mouse.slice("axial", POINTS, POINTS, -10.0, 0.6)
    border = np.ones(thick.codes.shape, bool)
    border[3:-3, 3:-3] = False
    assert np.abs(thick.signal[border]).max() == 0
    assert (thick.codes[border] == 0).all()


def test_planes_show_the_same_animal(mouse):
    """The line where two planes meet is the same in both."""
    thin = {"thickness_mm": 1e-3, "depths": 1}
    axial = mouse.slice("axial", POINTS, POINTS, float(POINTS[20]), **thin)
    coronal = mouse.slice("coronal", POINTS, POINTS, float(POINTS[60]), **thin)
    sagittal = mouse.slice("sagittal", POINTS, POINTS, float(POINTS[45]), **thin)
    np.testing.assert_allclose(axial.signal[:, 60], coronal.signal[:, 20], atol=2e-5)
    np.testing.assert_allclose(axial.signal[45, :], sagittal.signal[:, 20], atol=2e-5)
    np.testing.assert_allclose(coronal.signal[45, :], sagittal.signal[60, :], atol=2e-5)


def test_animals_differ_and_a_seed_repeats(mouse):
    def image(animal):
        return np.abs(animal.slice("coronal", POINTS, POINTS, 0.0, 0.6).signal)

    reference = image(mouse)
    assert np.array_equal(reference, image(Mouse(3)))
    others = [image(Mouse(seed)) for seed in (4, 5)]
    body = reference > 0.02
    for other in others:
        assert np.abs(other - reference)[body].mean() > 0.15 * reference[body].mean()


def test_brightness_stays_in_range_and_phase_is_smooth(mouse):
    thick = mouse.slice("sagittal", POINTS, POINTS - 8, 0.0, 0.6)
    magnitude = np.abs(thick.signal)
    assert np.isfinite(magnitude).all()
    assert magnitude.max() < 1.5
    body = magnitude > 0.05
    turn = np.angle(thick.signal[1:] * thick.signal[:-1].conj())
    assert np.abs(turn[body[1:] & body[:-1]]).max() < 0.2


def test_depths_are_checked(mouse):
    with pytest.raises(ValueError, match="depths must be at least 1"):
        mouse.slice("axial", POINTS, POINTS, 0.0, 0.6, depths=0)
