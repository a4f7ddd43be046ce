import math

import numpy as np
import pytest

from custom.demo.rare_signal import TISSUES, rare_signal, vary_tissues


def test_signal_by_hand():
    # TR = T1 ln 4 recovers 3/4; TE = T2 ln 2 halves.
    signal = rare_signal(0.8, 1000.0, 50.0, 1000 * math.log(4), 50 * math.log(2))
    assert signal == pytest.approx(0.8 * 0.75 * 0.5)


def test_arrays_keep_single_precision():
    density = np.array([0.5, 1.0], np.float32)
    signal = rare_signal(density, 1500.0, np.full(2, 40.0, np.float32))
    assert signal.dtype == np.float32
    assert signal[1] == pytest.approx(2 * signal[0])


def test_t2_weighting_orders_the_tissues():
    def signal(name):
        tissue = TISSUES[name]
        return rare_signal(tissue.proton_density, tissue.t1_ms, tissue.t2_ms)

    order = [
        "air",
        "cortical bone",
        "lung",
        "liver",
        "white matter",
        "grey matter",
        "cerebrospinal fluid",
    ]
    values = [signal(name) for name in order]
    assert values == sorted(values)
    assert signal("muscle") < signal("kidney cortex") < signal("inner medulla")


def test_codes_are_unique_and_kept():
    assert [tissue.code for tissue in TISSUES.values()] == list(range(len(TISSUES)))
    varied = vary_tissues(np.random.default_rng(0))
    assert {name: tissue.code for name, tissue in varied.items()} == {
        name: tissue.code for name, tissue in TISSUES.items()
    }


def test_animals_vary_by_what_was_asked():
    draws = [vary_tissues(np.random.default_rng(seed), 0.04)["liver"].t2_ms for seed in range(400)]
    relative = np.array(draws) / TISSUES["liver"].t2_ms
    # Clipped at two standard deviations, which takes the standard deviation to 0.9594 of it.
    assert relative.std() == pytest.approx(0.04 * 0.9594, rel=5 / math.sqrt(800))
    assert np.abs(relative - 1).max() <= 0.08 + 1e-9
