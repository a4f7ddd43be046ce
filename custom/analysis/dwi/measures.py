"""The measures of restored diffusion series: signals, refitted tensors, calibration."""

from __future__ import annotations

from custom.analysis.dwi.true_voxels import ComparedSignals
from custom.evaluation.measure import Measure
from custom.metrics.dwi_quality import coverage

__all__ = ["dwi_measures"]

_REFIT = (
    "refitted by weighted log-linear least squares, floor 0.01, S0 = 1 known, for every method "
    "alike; against the item's tensor, else the truth's refit"
)
_WITHIN = "share of true values within {} of the deviations that the method gives; {} for a "
_WITHIN += "Gaussian error of that deviation"


def dwi_measures(*names: str) -> list[Measure]:
    """Return measures by name, in this order.

    Args:
        *names: ``mse``, ``nrmse``, ``d_mse``, ``d_mae``, ``md_mae``, ``fa_mae``, ``coverage_1sd``,
            ``coverage_2sd``; all of them without any.

    Raises:
        KeyError: If there is no measure of a name.
    """
    known = {measure.name: measure for measure in _measures()}
    return [known[name] for name in names or known]


def _measures() -> list[Measure]:
    """Return all measures."""
    return [
        _error("mse", "MSE", "", "of all voxels and volumes of a scan, in squared units of S0"),
        _error("nrmse", "NRMSE", "", "norm of the error over norm of the truth"),
        _error("d_mse", "D MSE", "µm⁴/ms²", f"over the six elements, {_REFIT}"),
        _error("d_mae", "D MAE", "µm²/ms", f"over the six elements, {_REFIT}"),
        _error("md_mae", "MD MAE", "µm²/ms", f"of the mean diffusivity, {_REFIT}"),
        _error("fa_mae", "FA MAE", "", f"of the fractional anisotropy, {_REFIT}"),
        *(_coverage(times, share) for times, share in ((1, "0.683"), (2, "0.954"))),
    ]


def _error(name: str, label: str, unit: str, convention: str) -> Measure:
    """Return a measure of an error."""

    def measure(compared: ComparedSignals) -> list[float]:
        return [compared.errors[name]]

    return Measure(name, label, unit, "lower", None, convention, measure)


def _coverage(times: int, share: str) -> Measure:
    """Return the measure of coverage: the share of true values within so many deviations."""

    def measure(compared: ComparedSignals) -> list[float] | None:
        if compared.deviation is None:
            return None
        truth = compared.voxels.signals
        return [coverage(compared.found, truth, compared.deviation, times)]

    return Measure(
        f"coverage_{times}sd",
        f"truth within {times} sd",
        "",
        "target",
        3,
        _WITHIN.format(times, share),
        measure,
    )
