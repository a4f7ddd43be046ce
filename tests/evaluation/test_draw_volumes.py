import numpy as np
import pytest
from matplotlib.colors import LogNorm

from custom.evaluation.draw_volumes import draw_noise_curves, draw_volume_comparison
from custom.evaluation.volume_panels import VolumeComparison


def comparison():
    random = np.random.default_rng(0)
    reference = random.random((24, 30))
    images = {
        "cubic": reference + 0.1 * random.standard_normal(reference.shape),
        "model": reference + 0.01,
    }
    return VolumeComparison(
        scan="v1",
        slice_index=7,
        noise_level=0.3,
        chosen="strongest noise",
        pixel_mm=(1.0, 2.0),
        window=(4, 6, 8, 10),
        images=images,
        reference=reference,
        spectra={name: random.random((12, 15)) for name in images},
        measures={name: {"psnr": 20.0, "ssim": 0.5} for name in images},
    )


def test_rows_columns_and_shared_scales():
    item = comparison()
    figure = draw_volume_comparison(item, {"cubic": "splines"})
    shown = [ax.images[0] for ax in figure.axes if ax.images]
    images = [image for image in shown if image.get_array().ndim == 2]
    slices = [image for image in images if image.get_array().shape == (30, 24)]
    assert len(slices) == 3
    np.testing.assert_array_equal(slices[-1].get_array(), item.reference.T)
    cut = [image for image in images if image.get_array().shape == (10, 8)]
    assert len(cut) == 5, "three enlarged parts and two residuals"
    residual = next(image for image in cut if image.get_cmap().name == "RdBu_r")
    wanted = (item.images["cubic"] - item.reference)[4:12, 6:16].T
    np.testing.assert_allclose(residual.get_array(), wanted)
    low, high = residual.get_clim()
    assert low == -high
    spectra = [image for image in images if isinstance(image.norm, LogNorm)]
    assert len(spectra) == 2
    assert spectra[0].get_clim() == spectra[1].get_clim()
    titles = {ax.get_title() for ax in figure.axes}
    assert "splines\n20.00 / 0.500" in titles
    assert "noise 0.3" in figure.get_suptitle()


def test_curves_are_means_over_volumes():
    rows = [
        {"method": method, "noise_level": level, "psnr": 30 - 10 * level + gain, "lpips": None}
        for gain in (0.0, 2.0)
        for level in (0.3, 0.0)
        for method in ("cubic", "model")
    ]
    figure = draw_noise_curves(rows, ("psnr", "lpips"))
    (panel,) = figure.axes
    for line in panel.lines:
        np.testing.assert_allclose(line.get_xdata(), [0, 0.3])
        np.testing.assert_allclose(line.get_ydata(), [31, 28])
    with pytest.raises(ValueError, match="measures"):
        draw_noise_curves(rows, ("lpips",))
