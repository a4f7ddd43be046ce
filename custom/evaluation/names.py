"""How methods and measures are called where people read them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "MEASURE_NAMES",
    "METHOD_NAMES",
    "format_measure",
    "higher_is_better",
    "measure_name",
    "method_name",
]

METHOD_NAMES = {
    "input": "input (nearest)",
    "bicubic": "bicubic",
    "trilinear": "trilinear",
    "cubic": "cubic B-spline",
    "nlm": "non-local means",
    "unet": "plain U-Net",
    "wls": "WLS tensor fit",
    "nlls": "NLLS tensor fit",
    "patch2self": "Patch2Self",
    "mppca": "MP-PCA",
    "localpca": "local PCA",
    "vae": "VAE",
    "dae": "DAE",
    "three_player": "three-player GAN",
    "disgan": "DISGAN",
    "model": "our model",
    "model_consistent": "our model, data-consistent",
}
MEASURE_NAMES = {
    "mse": "MSE",
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "psnr_foreground": "PSNR of tissue [dB]",
    "ssim_foreground": "SSIM of tissue",
    "kspace_error": "k-space error",
    "lpips": "LPIPS",
    "nrmse": "NRMSE",
    "d_mse": "D MSE [µm⁴/ms²]",
    "d_mae": "D MAE [µm²/ms]",
    "md_mae": "MD MAE [µm²/ms]",
    "fa_mae": "FA MAE",
    "coverage_1sd": "truth within 1 sd",
    "coverage_2sd": "truth within 2 sd",
}


def method_name(method: str, names: Mapping[str, str] | None = None) -> str:
    """Return the name of a method for people, or the method itself.

    Args:
        method: As in the tables, for example ``model``.
        names: Names that go before :data:`METHOD_NAMES`, for example ``{"model": "APDDM"}``.
    """
    return {**METHOD_NAMES, **(names or {})}.get(method, method)


def measure_name(measure: str) -> str:
    """Return the name of a measure with its unit, or the measure itself."""
    return MEASURE_NAMES.get(measure, measure)


def format_measure(measure: str, value: float) -> str:
    """Return a value with the digits that mean something: hundredths of a decibel, 1e-3 of SSIM."""
    digits = {"psnr": 2, "ssim": 3, "lpips": 3, "psnr_foreground": 2, "ssim_foreground": 3}
    return f"{value:.{digits[measure]}f}" if measure in digits else f"{value:.3g}"


def higher_is_better(measure: str) -> bool:
    """Say in which direction a measure improves."""
    return measure.startswith(("psnr", "ssim"))
