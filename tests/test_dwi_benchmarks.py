import json

import numpy as np
import pytest

from benchmarks import dwi_measures, dwi_restoration, publish_dwi, restoration
from benchmarks.dwi_trainings import trainings
from benchmarks.real_dwi_measures import against_the_other, neighbour_correlation
from benchmarks.restoring_process import measure_restoring, plain_figures
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser

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
