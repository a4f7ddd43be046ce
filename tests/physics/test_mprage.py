import numpy as np
import pytest

from custom.physics.mprage import MPRAGE_3T, MPRAGE_7T, T1_SECONDS, Mprage


def simulated(scan: Mprage, t1: float, b1: float = 1.0) -> float:
    """Pulse by pulse, until nothing changes any more."""
    angle, m, read = np.deg2rad(scan.flip_deg) * b1, 1.0, 0.0
    half = scan.pulses / 2 * scan.echo_spacing

    def recover(magnetisation: float, seconds: float) -> float:
        return 1 - (1 - magnetisation) * np.exp(-seconds / t1)

    for _ in range(60):
        m = recover(-scan.efficiency * m, scan.inversion_time - half)
        for number in range(scan.pulses):
            if number == scan.pulses // 2:
                read = abs(np.sin(angle) * m)
            m = recover(np.cos(angle) * m, scan.echo_spacing)
        m = recover(m, scan.repetition_time - scan.inversion_time - half)
    return read


@pytest.mark.parametrize("scan", [MPRAGE_3T, MPRAGE_7T])
@pytest.mark.parametrize("t1", [0.4, 0.9, 1.9, 4.3])
@pytest.mark.parametrize("b1", [0.6, 1.1])
def test_as_pulse_by_pulse(scan: Mprage, t1: float, b1: float):
    assert scan.signal(t1, b1=b1) == pytest.approx(simulated(scan, t1, b1), rel=1e-9)


def test_without_pulses_that_matter_it_is_inversion_recovery():
    scan = Mprage(0.7, 5.0, 1e-3, 0.005, 100, efficiency=1.0)
    t1 = 0.9
    steady = (1 - np.exp(-5.0 / t1)) / (1 + np.exp(-5.0 / t1))
    expected = np.sin(np.deg2rad(1e-3)) * (1 - (1 + steady) * np.exp(-0.7 / t1))
    assert scan.signal(t1) == pytest.approx(expected, rel=1e-6)


def test_white_matter_is_brightest_and_csf_darkest_at_both_fields():
    for field, scan in enumerate((MPRAGE_3T, MPRAGE_7T)):
        white, grey, csf = (
            scan.signal(T1_SECONDS[name][field]) for name in ("white", "grey", "csf")
        )
        assert white > 1.3 * grey > 1.3 * csf


def test_arrays_are_broadcast():
    t1, b1 = np.array([0.8, 1.6])[:, None], np.array([0.7, 1.0, 1.2])
    made = MPRAGE_7T.signal(t1, 0.8, b1)
    assert made.shape == (2, 3)
    assert made[1, 2] == pytest.approx(0.8 * MPRAGE_7T.signal(1.6, b1=1.2))


def test_a_train_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        Mprage(0.5, 1.9, 9, 0.0075, 176)
