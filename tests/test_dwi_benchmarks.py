import json

import numpy as np
import pytest

from benchmarks import dwi_measures, dwi_restoration, publish_dwi, restoration
from benchmarks.dwi_phantom_series import CORRELATION, S0, Condition, make_clean, measure
from benchmarks.dwi_phantoms import calibration, figures
from benchmarks.dwi_trainings import trainings
from benchmarks.publishing import aim
from benchmarks.real_dwi_measures import against_the_other, neighbour_correlation
from benchmarks.restoring_process import measure_restoring, plain_figures
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser
from custom.physics.diffusion.gradient_table import GradientTable

SHAPE, SIGMA = (40, 40, 10, 8), 0.3


def repeats():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 2, SHAPE)
    noisy = tuple((truth + SIGMA * rng.standard_normal(SHAPE)).astype(np.float32) for _ in (0, 1))
    return truth.astype(np.float32), noisy, np.ones(SHAPE[:3], dtype=bool)


def test_error_by_a_repeat_is_one_of_the_noisy_series_and_none_of_the_truth():
    truth, noisy, inside = repeats()
    # Relative standard errors over n values: 2 / sqrt(n) of the truth's, 0 of the noisy one's.
    five = 5 * 2 / np.sqrt(truth.size)
    assert against_the_other(noisy, noisy, inside)["error"] == pytest.approx(1, abs=1e-6)
    assert abs(against_the_other(noisy, (truth, truth), inside)["error"]) < five
    half = tuple((truth + values) / 2 for values in noisy)
    assert abs(against_the_other(noisy, half, inside)["error"] - 0.25) < five


def test_neighbours_of_white_noise_are_not_alike_those_of_smoothed_noise_are():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((60, 60, 6)).astype(np.float32)
    inside = np.ones((60, 60), dtype=bool)
    mean = (noise[1:, 1:] + noise[:-1, 1:] + noise[1:, :-1] + noise[:-1, :-1]) / 4
    five = 5 / np.sqrt(noise.size)
    assert abs(neighbour_correlation(noise, inside)) < five
    # Means over squares of two by two share half of their values.
    assert abs(neighbour_correlation(mean, inside[1:, 1:]) - 0.5) < five


def test_every_training_has_the_network_of_its_config():
    found = trainings()
    assert set(publish_dwi.SHIPPED.values()) <= set(found)
    for name, training in found.items():
        ours = name in ("ours", "tensor", "blind", "rician", "scaled")
        kind = TensorInformedDenoiser if ours else SignalAutoencoder
        assert isinstance(training.build(), kind), name
    assert found["vae_latent10"].build().latent == 10


def test_seeds_are_averaged():
    rows = [
        {"signal_mse": 1.0, "tensor_mse": 2.0, "tensor_mae": 3.0, "epochs": 4},
        {"signal_mse": 3.0, "tensor_mse": 2.0, "tensor_mae": 3.0, "epochs": 2},
    ]
    found = dwi_measures._over_seeds(rows)
    assert (found["seeds"], found["epochs"]) == (2, 2)
    assert (found["signal_mse"], found["signal_mse_std"]) == (2, pytest.approx(2**0.5))
    assert dwi_measures._over_seeds(rows[:1])["signal_mse_std"] is None


def test_measures_go_to_the_network_that_has_them(tmp_path):
    (tmp_path / "configs").mkdir()
    file = tmp_path / "configs" / "metadata.json"
    file.write_text(json.dumps({"variants": {"vae": {}, "dae": {}}}))
    lines = [f"{name},{0.1 * i},{1e-7 * i}" for i, name in enumerate(("DAE", "ours", "VAE"), 1)]
    (tmp_path / "mixture.csv").write_text("\n".join(["estimator,signal_mse,tensor_mse", *lines]))
    publish_dwi.publish_measures(tmp_path, tmp_path)
    metadata = json.loads(file.read_text())
    assert metadata["eval_metrics"] == {"signal_mse": 0.2, "tensor_mse": 2e-7}
    assert metadata["variants"]["vae"]["eval_metrics"]["signal_mse"] == 0.3
    assert metadata["variants"]["dae"]["eval_metrics"]["tensor_mse"] == 1e-7


def test_a_restoration_is_measured_in_a_process_of_its_own(tmp_path):
    code = (
        "begin = time.perf_counter()\n"
        "held = np.ones(2**26, dtype=np.uint8)\n"  # 64 MiB
        "Path(target, 'a_restored.nii.gz').write_bytes(Path(source).read_bytes())\n"
    )
    (tmp_path / "scan.nii.gz").write_bytes(b"scan")
    found, file = measure_restoring(code, tmp_path / "scan.nii.gz", tmp_path / "made", runs=1)
    assert file.read_bytes() == b"scan"
    assert 64 < found["peak_mib"] < 2000
    plain = plain_figures({"model": found | {"error": 0.5, "ssim": 0.75}, "ratio": 2.0})
    assert plain["ratio"] == 2.0
    assert plain["model"]["seconds"]["lowest"] == found["seconds"].lowest
    every = dict.fromkeys((*restoration.NAMES, *dwi_restoration.NAMES), plain["model"])
    assert restoration.table(every).splitlines()[0].endswith("| SSIM |")
    assert restoration.table(every).splitlines()[2].endswith("MiB | 0.750 |")
    assert len(dwi_restoration.table(every).splitlines()) == 2 + 3
    assert dwi_restoration.table(every).splitlines()[2].endswith("MiB | 0.500 |")


def test_fibres_of_the_phantom_have_one_direction_and_crossings_two_at_right_angles():
    turns = np.deg2rad(np.arange(0, 360, 30))
    directions = np.stack([np.cos(turns), np.sin(turns), np.zeros(12)], 1)
    table = GradientTable(np.array([0.0, *[1000.0] * 12]), np.vstack([np.zeros(3), directions]))
    clean, regions = make_clean(table)
    assert min(int(inside.sum()) for inside in regions.values()) > 400
    # Over all directions in the plane log S of one tensor has the second harmonic alone, and a
    # mixture of two at right angles has none: what one gains in a direction the other loses.
    harmonics = {
        name: np.abs(np.fft.fft(np.log(clean[inside][:, 1:] / S0), axis=1))
        for name, inside in regions.items()
    }
    np.testing.assert_allclose(harmonics["fibres"][:, 2], 12 * (1.7 - 0.3) / 4, rtol=1e-4)
    assert harmonics["crossing"][:, 2].max() < 1e-4
    assert harmonics["crossing"][:, 4].min() > 0.1
    assert harmonics["fibres"][:, 4].max() < 1e-4


def test_phantom_noise_is_of_its_level_and_correlation_and_its_figures_are_ratios():
    table = GradientTable(np.array([0.0, 1000.0]), np.array([[0.0, 0, 0], [1, 0, 0]]))
    clean, regions = make_clean(table)
    series = measure(
        clean + 50 * S0, regions, Condition(0.1, correlated=True)
    )  # far from the floor
    noise = (series.noisy - series.clean)[4:, 4:, 4:] / (0.1 * S0)
    five = 5 * 3 / np.sqrt(noise.size)  # three: neighbours are alike
    assert abs(noise.std() - 1) < five
    for axis, rho in enumerate(CORRELATION):
        first, second = (np.moveaxis(noise, axis, 0)[part] for part in (np.s_[1:], np.s_[:-1]))
        assert abs((first * second).mean() - rho) < five
    moved = measure(clean, regions, Condition(0.0, moved=True))
    np.testing.assert_allclose(moved.noisy, moved.clean, rtol=1e-5)  # the truth moves as well
    assert np.abs(moved.clean - clean).max() > 0.05 * S0
    series = measure(clean, regions, Condition(0.1))
    half = (series.noisy + series.clean) / 2
    assert figures(series, half, table)["head"] == pytest.approx(0.25, rel=1e-4)


def test_an_aim_says_where_it_is_not_met():
    assert aim("error", {"a": 0.5, "b": 0.25}, 0.6).endswith(
        "0.25 to 0.5, aim at most 0.6: **met** under all."
    )
    missed = aim("error", {"a": 0.5, "b": 0.7}, 0.6)
    assert missed.endswith("**not met** under 1 of 2: b (0.7).")
    missed = aim("gain", {"a": 0.5, "b": 0.7}, 0.6, least=True)
    assert missed.endswith("aim at least 0.6: **not met** under 1 of 2: a (0.5).")


def test_right_deviations_are_calibrated():
    error = np.random.default_rng(0).standard_normal((40, 40, 10, 8)).astype(np.float32)
    inside = np.ones(error.shape[:3], dtype=bool)
    found = calibration(2 * error, 0 * error, np.full_like(error, 2.0), inside)
    assert found["spread_over_error"] == pytest.approx(1, abs=0.01)
    assert found["within_one"] == pytest.approx(0.683, abs=0.01)
