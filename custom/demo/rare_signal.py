"""Signal of a spin-echo train (RARE), and the tissues of a mouse at 7 T."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["ECHO_TIME_MS", "REPETITION_TIME_MS", "TISSUES", "Tissue", "rare_signal", "vary_tissues"]

# docs/methods/micro_mri_denoise.md, "Acquisition": T2-weighted RARE on a 7 T Bruker PharmaScan.
REPETITION_TIME_MS = 4000.0
ECHO_TIME_MS = 37.1

Relaxation = TypeVar("Relaxation", float, NDArray[np.float32])


@dataclass(frozen=True)
class Tissue:
    """Density, relaxation times and texture of a tissue."""

    code: int  # in label maps
    proton_density: float  # relative to water, 0 to 1
    t1_ms: float
    t2_ms: float
    texture: float = 0.05  # relative standard deviation of its small-scale variation


def rare_signal(
    proton_density: Relaxation,
    t1_ms: float,
    t2_ms: Relaxation,
    repetition_time_ms: float = REPETITION_TIME_MS,
    echo_time_ms: float = ECHO_TIME_MS,
) -> Relaxation:
    r"""Return the signal of a RARE sequence at its effective echo time.

    .. math:: S = \rho\,(1 - e^{-TR/T_1})\,e^{-TE/T_2}

    The echo train after the read-out is neglected against ``TR``.

    Args:
        proton_density: Density, of any shape.
        t1_ms: Longitudinal relaxation time.
        t2_ms: Transverse relaxation time, of the shape of the density.
        repetition_time_ms: ``TR``.
        echo_time_ms: Effective ``TE``.

    Source:
        docs/methods/micro_mri_denoise.md, "Acquisition".
    """
    # A Python float, which does not promote float32 arrays.
    saturation = float(1 - np.exp(-repetition_time_ms / t1_ms))
    signal: Relaxation = proton_density * (saturation * np.exp(-echo_time_ms / t2_ms))
    return signal


# Meant to lie in the literature range at 7 T, but taken from general knowledge and not checked
# against single publications; kidney, fat and gut content were then set by eye, for contrast like
# that of T2-weighted mouse scans. Not for quantitative use. Fat keeps a long apparent T2 in an
# echo train, since refocusing pulses suppress its J-modulation.
TISSUES: dict[str, Tissue] = {
    name: Tissue(code, *values)
    for code, (name, values) in enumerate(
        {
            "air": (0.0, 1000.0, 10.0, 0.0),
            "skin": (0.70, 1100.0, 24.0, 0.10),
            "fat": (0.90, 550.0, 50.0, 0.05),
            "brown fat": (0.80, 650.0, 33.0, 0.08),
            "muscle": (0.80, 1500.0, 25.0, 0.07),
            "cortical bone": (0.06, 800.0, 12.0, 0.10),
            "marrow": (0.70, 850.0, 42.0, 0.12),
            "disc": (0.65, 1200.0, 30.0, 0.05),
            "nucleus pulposus": (0.90, 1900.0, 75.0, 0.05),
            "cartilage": (0.70, 1300.0, 28.0, 0.06),
            "cerebrospinal fluid": (1.00, 3200.0, 160.0, 0.03),
            "grey matter": (0.82, 1800.0, 49.0, 0.035),
            "deep grey matter": (0.80, 1700.0, 45.0, 0.035),
            "hippocampus": (0.83, 1850.0, 53.0, 0.03),
            "white matter": (0.70, 1550.0, 39.0, 0.03),
            "vitreous": (1.00, 3600.0, 220.0, 0.01),
            "lens": (0.65, 1200.0, 19.0, 0.03),
            "gland": (0.85, 1600.0, 50.0, 0.07),
            "lung": (0.22, 1400.0, 22.0, 0.35),
            "myocardium": (0.80, 1450.0, 30.0, 0.05),
            "slow blood": (0.80, 2000.0, 38.0, 0.12),
            "flowing blood": (0.05, 2000.0, 30.0, 0.20),
            "liver": (0.78, 1250.0, 24.5, 0.05),
            "spleen": (0.85, 1600.0, 40.0, 0.04),
            "kidney cortex": (0.85, 1500.0, 47.0, 0.06),
            "outer medulla": (0.85, 1650.0, 35.0, 0.05),
            "inner medulla": (0.92, 1950.0, 75.0, 0.05),
            "gut wall": (0.82, 1550.0, 38.0, 0.06),
            "chyme": (0.90, 1900.0, 62.0, 0.12),
            "faeces": (0.70, 1100.0, 28.0, 0.18),
            "food": (0.80, 1200.0, 34.0, 0.22),
            "fluid": (1.00, 3000.0, 150.0, 0.03),
            "gas": (0.02, 1000.0, 20.0, 0.0),
        }.items()
    )
}


def vary_tissues(rng: np.random.Generator, relative_std: float = 0.04) -> dict[str, Tissue]:
    """Return the tissues of one animal, with its own densities and relaxation times.

    ``relative_std`` is that of ``T1`` and ``T2``; density has half of it.
    """
    factors = 1 + relative_std * np.clip(rng.standard_normal((len(TISSUES), 3)), -2, 2)
    return {
        name: replace(
            tissue,
            proton_density=float(tissue.proton_density * (1 + factors[row, 0]) / 2),
            t1_ms=float(tissue.t1_ms * factors[row, 1]),
            t2_ms=float(tissue.t2_ms * factors[row, 2]),
        )
        for row, (name, tissue) in enumerate(TISSUES.items())
    }
