"""The page on acquired scans: classical opponents by their closed forms, measures, verdicts."""

import json

import numpy as np
import pytest
import torch

from benchmarks import (
    acquired_aims,
    acquired_cases,
    acquired_measures,
    acquired_methods,
    acquired_micro,
    acquired_operator,
    acquired_others,
    acquired_page,
    dwi_phantoms,
    real_dwi,
)
from benchmarks.acquired_cases import HELD, SAME_GRID, VARYING, Case, Truth, head_of
from benchmarks.measure import RESULTS
from custom.physics.acquisition import OPERATORS, TRAINING_OPERATORS, acquire

AFFINE = np.diag([0.7, 0.7, 0.7, 1.0])


def blob(size=32):
    """A smooth head with fine texture."""
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    head = 1 / (1 + np.exp(12 * (np.linalg.norm(place, axis=0) - 0.7)))
    texture = np.random.default_rng(0).normal(size=head.shape)
    return (head * (100 + 10 * texture)).astype(np.float32)


def truth(scan="a", subject="a", values=None):
    values = blob() if values is None else values
    return Truth(scan, subject, HELD, values, head_of(values, 100.0), 100.0, AFFINE)


def low(values, operator):
    return acquire(torch.from_numpy(values)[None, None], operator, 2)[0, 0].numpy()


@pytest.mark.parametrize("operator", ["hamming", "fermi", "partial"])
def test_deconvolution_inverts_an_operator_of_one_gain_a_frequency(operator):
    # Gain of Hamming's window in the corner of the band: 1 / 0.08 ** 3.
    found = acquired_methods.deconvolved(low(blob(), operator), operator, most_gain=2000)
    zero_filled = acquired_methods.deconvolved(low(blob(), "kspace"), "kspace")
    np.testing.assert_allclose(found, zero_filled, atol=2e-2)
    np.testing.assert_allclose(low(zero_filled, "kspace"), low(blob(), "kspace"), atol=1e-4)


@pytest.mark.parametrize("operator", TRAINING_OPERATORS)
def test_back_projection_comes_closer_to_what_was_acquired(operator):
    given = low(blob(), operator)
    before, after = acquired_methods.cubic(given), acquired_methods.back_projected(given, operator)
    errors = [np.linalg.norm(low(fine, operator) - given) for fine in (before, after)]
    assert errors[1] < 0.8 * errors[0]


def test_wiener_takes_noise_away():
    noise = np.random.default_rng(1).normal(0, 20, (16, 16, 16)).astype(np.float32)
    given = low(blob(), "kspace") + noise
    truth = acquired_methods.deconvolved(low(blob(), "kspace"), "kspace")
    errors = [
        acquired_methods.deconvolved(given, "kspace", sigma=sigma) - truth for sigma in (0, 20)
    ]
    assert np.linalg.norm(errors[1]) < 0.6 * np.linalg.norm(errors[0])


def test_lanczos_keeps_a_constant_and_the_place_of_a_ramp():
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None], (16, 16, 16))
    fine = acquired_methods.lanczos(np.ascontiguousarray(ramp))
    expected = (np.arange(32) - 0.5) / 2
    # Lanczos' weights do not reproduce a ramp between voxels: to 1 % of a voxel.
    assert np.abs(fine[8:-8, 5, 5] - expected[8:-8]).max() < 0.02
    np.testing.assert_allclose(acquired_methods.lanczos(np.ones((8, 8, 8))), 1, rtol=1e-6)


def test_a_case_is_written_on_the_grid_that_fills_the_same_box(tmp_path):
    import nibabel as nib

    image = nib.load(Case(truth(), "box", 0.0).write(tmp_path))
    assert image.shape == (16, 16, 16)
    np.testing.assert_allclose(image.affine @ [0, 0, 0, 1], AFFINE @ [0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(image.affine[:3, :3], 2 * AFFINE[:3, :3])


def test_noise_has_its_level_and_its_slope():
    flat = truth(values=np.full((40, 40, 40), 100, np.float32))
    for noise, first, last in ((0.06, 6, 6), (VARYING, 3, 9)):
        error = Case(flat, SAME_GRID, noise).degraded() - 100
        five = 5 / np.sqrt(2 * 1600)  # relative; Rician noise is nearly Gaussian at 6 %
        assert error[0].std() == pytest.approx(first, rel=five)
        assert error[-1].std() == pytest.approx(last, rel=five)


def test_the_head_is_without_its_edge_and_with_its_dark_holes():
    values = np.zeros((40, 40, 40), np.float32)
    values[6:34, 6:34, 6:34] = 100
    values[18:21, 18:21, 18:21] = 5
    head = head_of(values, 100.0)
    assert head[19, 19, 19]
    assert not head[8, 20, 20]
    assert head[11, 20, 20]


def rows(ours):
    """Three people, two opponents, one condition; PSNR in the head as given for ours."""
    found = []
    for number, mine in enumerate(ours):
        of = {"cubic": 30.0, "Lanczos": 30.0 + number, "ours": 30.0 + number + mine}
        found += [
            {
                "scan": f"s{number}",
                "subject": f"p{number}",
                "operator": "box",
                "noise": 0.03,
                "method": name,
                "psnr_head": value,
            }
            for name, value in of.items()
        ]
    return found


def test_gain_is_paired_and_against_the_best_mean():
    found = acquired_measures.gain(rows([0.5, 0.1, -0.3]), "ours", ("cubic", "Lanczos"))
    assert (found["best"], found["scan"]) == ("Lanczos", "s2")
    assert (found["mean"], found["worst"]) == pytest.approx((0.1, -0.3))
    assert found["ci95"][0] < 0.1 < found["ci95"][1]


@pytest.mark.parametrize(
    ("ours", "word"),
    [([0.3, 0.2, 0.1], "yes"), ([0.9, 0.2, -0.2], "either"), ([-0.1, 0.0, -0.1], "no")],
)
def test_one_would_use_what_wins_and_never_loses(ours, word):
    gains = acquired_page.gains_of(rows(ours), {"ours": ("ours", ("cubic", "Lanczos"))})
    one = gains["ours"][0]
    assert acquired_measures.would_use(one["mean"], one["worst"]) == word
    text = acquired_page.gain_table(gains)
    assert "would I use it?" in text.splitlines()[-1]
    assert {"yes": "yes:", "either": "no harm", "no": "no:"}[word] in text.splitlines()[-1]


def test_every_method_gives_a_volume_on_the_fine_grid():
    methods = {**acquired_methods.BLIND, **acquired_methods.TOLD}
    for name, method in methods.items():
        for operator in OPERATORS[::3]:
            case = Case(truth(), operator, 0.0)
            assert method(case.degraded(), case).shape == (32, 32, 32), name


def test_white_noise_gain_of_zero_filling_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(acquired_cases, "_EDGE", 1)
    flat = truth(values=np.full((32, 32, 32), 100, np.float32))
    cases = [Case(flat, *acquired_cases.GAIN_FROM, draw=draw) for draw in (0, 1)]
    method = acquired_methods.BLIND["zero filling"]
    folder = acquired_methods.run_classical("zero filling", method, cases, tmp_path)
    (found,) = acquired_measures.noise_gains(cases, folder)
    # Each frequency of the band keeps its amplitude, an eighth of all: 2 ** 1.5 / 8 ** 0.5 = 1.
    assert found == pytest.approx(1, rel=5 / np.sqrt(2 * 16**3) * 1.5)


def power_law(seed, size=64):
    """A volume whose power falls with the third power of the frequency."""
    along = np.ix_(*[np.fft.fftfreq(size)] * 3)
    radius = np.sqrt(sum(axis**2 for axis in along))
    radius[0, 0, 0] = 1
    white = np.random.default_rng(seed).normal(size=(size,) * 3)
    return np.fft.ifftn(np.fft.fftn(white) * radius**-1.5).real.astype(np.float32)


def test_operators_are_told_apart_where_all_spectra_fall_alike():
    names = ("kspace", "hamming", "triangle")
    known = {
        (name, 0.0): np.stack([acquired_operator.falls(low(power_law(s), name)) for s in range(8)])
        for name in names
    }
    for name in names:
        found, how_likely = acquired_operator.likeliest(
            known, acquired_operator.falls(low(power_law(99), name))
        )
        assert found == name
        assert how_likely > 0.9


def test_aims_say_where_they_are_not_met():
    gains = {
        HELD: {
            "ours": [{"operator": "box", "noise": 0.03, "mean": -0.2, "scan": "s", "worst": 0.1}]
        }
    }
    own = {"s": {"psnr_head": 50.0}}
    repeats = {"ours": [0.9, 1.1]}
    text = acquired_aims.denoising(
        {"gains": gains, "own_noise": own, "repeat_errors": repeats}
    ).splitlines()
    assert [line.endswith("**met** under all.") for line in text] == [True, True, False]
    assert text[2].endswith("**not met** under 1 of 2: scan 2 (1.1).")


def kept(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def test_pages_are_what_the_code_makes_of_the_kept_numbers():
    mice = kept("acquired_micro")
    for name, text in {
        "dwi_real": real_dwi.page(kept("dwi_real")),
        "dwi_phantoms": dwi_phantoms.page(kept("dwi_phantoms")),
        "acquired_micro": acquired_micro.page(mice["levels"], mice["rows"]),
    }.items():
        assert (RESULTS / f"{name}.md").read_text(encoding="utf-8") == text
    found = kept("acquired")
    page = (RESULTS / "acquired.md").read_text(encoding="utf-8")
    parts = [
        acquired_page.gain_table(found["sr"]["gains"][HELD]),
        acquired_aims.restoring(found["sr"], found["thick"]),
        acquired_aims.denoising(found["denoise"]),
        acquired_aims.mice(RESULTS),
        *acquired_others.mice(RESULTS).values(),
        *acquired_others.diffusion(RESULTS).values(),
    ]
    assert all(part in page for part in parts)
