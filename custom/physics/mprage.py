"""The signal of an MPRAGE scan, and relaxation times of the brain at 3 T and 7 T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MPRAGE_3T", "MPRAGE_7T", "PROTON_DENSITY", "T1_SECONDS", "Mprage"]

Values = float | NDArray[Any]

T1_SECONDS: dict[str, tuple[float, float]] = {
    "white": (0.838, 1.126),
    "grey": (1.607, 1.939),
    "putamen": (1.332, 1.644),
    "caudate": (1.395, 1.684),
    "thalamus": (1.15, 1.50),
    "hippocampus": (1.55, 1.90),
    "csf": (4.3, 4.4),
}
"""T1 at 3 T and at 7 T.

White and grey matter, putamen and caudate: P. J. Wright et al., "Water proton T1 measurements in
brain tissue at 7, 3, and 1.5 T", MAGMA 21 (2008), 121. CSF: W. D. Rooney et al., Magnetic
Resonance in Medicine 57 (2007), 308. Thalamus and hippocampus lie between these: our choice.
"""

PROTON_DENSITY = {
    "white": 0.70,
    "grey": 0.82,
    "putamen": 0.80,
    "caudate": 0.82,
    "thalamus": 0.77,
    "hippocampus": 0.82,
    "csf": 1.0,
}
"""Relative to CSF; rounded from the literature."""


@dataclass(frozen=True)
class Mprage:
    r"""An inversion, a wait, and a train of small pulses that reads one plane of k-space.

    The longitudinal magnetisation goes round: inversion, recovery until the train starts, pulses
    of angle ``a`` that are ``tau`` apart, each followed by recovery, and recovery until the next
    inversion. All are affine maps :math:`m \to A m + B`, whose fixed point is the steady state.

    Attributes:
        inversion_time: From the inversion to the middle of the train, in seconds.
        repetition_time: From inversion to inversion, in seconds.
        flip_deg: Angle of a pulse in degrees.
        echo_spacing: ``tau``, in seconds.
        pulses: In a train; the middle one reads the centre of k-space.
        efficiency: Of the inversion: 1 turns all of the magnetisation over.

    Raises:
        ValueError: If the train does not fit between the inversions.

    Source:
        R. Deichmann et al., "Optimization of 3-D MP-RAGE sequences for structural brain imaging",
        NeuroImage 12 (2000), 112; J. P. Marques et al., NeuroImage 49 (2010), 1271.
    """

    inversion_time: float
    repetition_time: float
    flip_deg: float
    echo_spacing: float
    pulses: int
    efficiency: float = 0.96

    def __post_init__(self) -> None:
        """Check that the train fits."""
        half = self.pulses / 2 * self.echo_spacing
        if self.inversion_time < half or self.repetition_time < self.inversion_time + half:
            raise ValueError(
                f"a train of {2 * half:g} s about {self.inversion_time:g} s does not fit into "
                f"{self.repetition_time:g} s"
            )

    def signal(self, t1: Values, density: Values = 1.0, b1: Values = 1.0) -> Any:
        """Return the magnitude of the signal at the middle of the train, before T2* decay.

        Args:
            t1: In seconds; arrays of all arguments are broadcast.
            density: Proton density.
            b1: Factor of the angle of the pulses.
        """
        angle = np.deg2rad(self.flip_deg) * np.asarray(b1)
        half = self.pulses / 2
        before = np.exp(-(self.inversion_time - half * self.echo_spacing) / t1)
        after = np.exp(
            -(self.repetition_time - self.inversion_time - half * self.echo_spacing) / t1
        )
        each = np.exp(-self.echo_spacing / t1)
        kept = np.cos(angle) * each  # of the magnetisation, by a pulse and the recovery after it
        limit = (1 - each) / (1 - kept)  # where a long train ends

        def train(count: float, gain: Values, offset: Values) -> tuple[Any, Any]:
            power = kept**count
            return power * gain, power * offset + limit * (1 - power)

        gain, offset = -self.efficiency * before, 1 - before
        middle = train(half, gain, offset)
        end_gain, end_offset = train(self.pulses, gain, offset)
        steady = (after * end_offset + 1 - after) / (1 - after * end_gain)
        return density * np.sin(angle) * np.abs(middle[0] * steady + middle[1])


MPRAGE_3T = Mprage(0.9, 1.9, 9, 0.0075, 176)
"""As in ADNI, 1 mm."""

MPRAGE_7T = Mprage(1.25, 2.6, 5, 0.0068, 224)
"""0.65 mm."""
