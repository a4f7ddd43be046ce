import numpy as np
import pytest
import torch

from custom.metrics.kspace_error import central_spectrum, central_spectrum_error, spectrum_band
from custom.metrics.psnr import normalised_error


def pair(shape=(13, 16, 15)):
    random = np.random.default_rng(0)
    reference = random.random(shape)
    return reference + 0.1 * random.standard_normal(shape), reference


def test_a_wave_lies_where_its_frequency_says():
    length, frequency = 12, 3
    wave = np.cos(2 * np.pi * frequency * np.arange(length) / length)
    volume = np.broadcast_to(wave[:, None, None], (length, 8, 10)).copy()
    spectrum = central_spectrum(volume, (8, 4, 5))
    # Half of the wave at plus and minus 3, times the root of the number of voxels.
    expected = np.zeros((8, 4, 5))
    expected[4 - 3, 2, 2] = expected[4 + 3, 2, 2] = 0.5 * np.sqrt(volume.size)
    np.testing.assert_allclose(spectrum, expected, atol=1e-9)


def test_the_whole_spectrum_is_parsevals():
    predicted, reference = pair()
    found = central_spectrum_error(predicted, reference, reference.shape)
    images = [torch.from_numpy(volume)[None, None] for volume in (predicted, reference)]
    assert found == pytest.approx(float(normalised_error(*images)), rel=1e-9)


def test_what_is_beyond_the_centre_does_not_count():
    _, reference = pair((16, 16, 16))
    checkerboard = (-1.0) ** np.indices(reference.shape).sum(0)  # the highest frequency
    assert central_spectrum_error(reference + checkerboard, reference, (8, 8, 8)) < 1e-12
    assert central_spectrum_error(1.1 * reference, reference, (8, 8, 8)) == pytest.approx(0.1)


def test_the_band_is_within_the_coarse_grid():
    assert spectrum_band((256, 99, 40)) == (50, 49, 20)
    assert spectrum_band((256, 256, 256), most=30) == (30, 30, 30)


def test_wrong_arguments_are_refused():
    predicted, reference = pair()
    with pytest.raises(ValueError, match="same shape"):
        central_spectrum_error(predicted[1:], reference, (1, 1, 1))
    with pytest.raises(ValueError, match="band"):
        central_spectrum(reference, (14, 1, 1))
    with pytest.raises(ValueError, match="reference"):
        central_spectrum_error(predicted, 0 * reference, (1, 1, 1))
