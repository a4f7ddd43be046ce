import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from benchmarks import (
    apddm_page,
    gan_step,
    motion_restoration,
    motion_simulation,
    publish_apddm,
    publishing,
    training_step,
)
from benchmarks.__main__ import BENCHMARKS, PAGE
from benchmarks.measure import Timing
from benchmarks.plain_generator import PlainGenerator
from benchmarks.real_data import in_plane_noise, thick_slices
from custom.networks.nets.residual_dense_generator import ResidualDenseGenerator


def test_benchmarks_count_the_time_of_the_process():
    # Waiting is what data_wait measures, and a whole command what publish_tuning tells the user.
    waits = {"data_wait.py", "publish_tuning.py"}
    wall = ("perf_counter", "monotonic(", "time.time(")
    folder = Path(publishing.__file__).parent
    found = {
        path.name
        for path in folder.glob("*.py")
        if any(clock in path.read_text(encoding="utf-8") for clock in wall)
    }
    assert found <= waits


def test_noise_is_measured_inside_the_brain_only():
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(-1, 1, 96), np.linspace(-1, 1, 80), indexing="ij")
    brain = (x**2 + y**2 < 0.5)[..., None] * np.ones(12)
    ramp = 200 + 40 * x[..., None]
    noise = rng.normal(0, 5, brain.shape)
    count = brain.sum()
    # The median of |x| of n normal values has a standard error of 1.17 sigma / sqrt(n); the second
    # difference correlates neighbours, hence the factor of 3.
    error = 5 * 3 * 1.17 * 5 / np.sqrt(count)
    assert abs(in_plane_noise(brain * (ramp + noise)) - 5) < error
    assert in_plane_noise(brain * ramp) < 1e-9


def test_thick_slices_average_four_and_lie_where_they_lay():
    import nibabel as nib

    values = np.random.default_rng(1).random((8, 12, 16)).astype(np.float32) + 1
    affine = np.array([[0.1, 0, 0, 3], [0, 0, 0.1, -2], [0, -0.1, 0, 7], [0, 0, 0, 1]])
    stacks = {plane: (s, a) for plane, s, a in thick_slices(nib.Nifti1Image(values, affine))}
    assert set(stacks) == {"axial", "coronal", "sagittal"}
    stack, frame = stacks["axial"]
    np.testing.assert_allclose(stack[5, 3, 1], values[5, 4:8, 3].mean(), rtol=1e-6)
    np.testing.assert_allclose(frame @ [5, 3, 1, 1], affine @ [5, 5.5, 3, 1], atol=1e-6)


def test_both_training_steps_are_timed_on_equal_batches(monkeypatch):
    saved = {}
    monkeypatch.setattr(training_step, "WARM_UP", 0)
    monkeypatch.setattr(training_step, "save", lambda name, figures: saved.update({name: figures}))
    figures = training_step.run(steps=1)
    assert saved == {"training_step": figures}
    assert isinstance(figures["plain"], Timing)
    ratio = figures["anchored_path"].median / figures["plain"].median
    assert figures["anchored_path_over_plain"] == pytest.approx(ratio)
    assert figures["batch"] == [16, 1, 96, 96]


def test_a_training_step_changes_every_weight():
    config = training_step.settings("apddm.yaml")
    network, update = training_step.prepared(config.get_parsed_content("network_def"))
    before = [weight.detach().clone() for weight in network.parameters()]
    update(sum((weight - 1).square().sum() for weight in network.parameters()))
    assert all(
        bool((old != new).any()) for old, new in zip(before, network.parameters(), strict=True)
    )


def test_a_picture_is_made_to_fit(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    publishing.save_small(tmp_path / "a.png", tmp_path / "a.jpg", most=60_000)
    assert (tmp_path / "a.jpg").stat().st_size <= 60_000
    with Image.open(tmp_path / "a.jpg") as small:
        assert small.width / small.height == pytest.approx(1.5, abs=0.01)
    with pytest.raises(SystemExit, match="does not fit"):
        publishing.save_small(tmp_path / "a.png", tmp_path / "b.jpg", most=100)


def test_the_side_by_side_overlay_replaces_known_ids_only(tmp_path):
    weights = {name: tmp_path / f"{name}.pt" for name in ("uniform", "noise_schedule", "unet")}
    overlay = publish_apddm.side_by_side(weights)
    configs = publish_apddm.BUNDLE / "configs"
    evaluate = yaml.safe_load((configs / "evaluate.yaml").read_text(encoding="utf-8"))
    assert set(overlay) <= set(evaluate) | {f"{name}_def" for name in weights}
    uniform, published, plain, _ = overlay["peers"]
    assert uniform["inferer"]["scheduler"]["parameterisation"] == "@parameterisation"
    assert published["inferer"]["scheduler"]["parameterisation"] == "noise_schedule"
    assert published["inferer"]["num_inference_steps"] == 10
    assert "@unet_def" in plain["network"]
    assert overlay["unet_def"]["_target_"].endswith("FastScanUNet")
    assert {peer["output_key"] for peer in (uniform, published, plain)} < set(overlay["methods"])


def test_published_weights_are_those_that_were_evaluated(tmp_path):
    models, bundle = tmp_path / "path" / "models", tmp_path / "bundle"
    models.mkdir(parents=True)
    (models / "model.pt").write_bytes(b"weights")
    (models / "residuals.zarr.zip").write_bytes(b"bank")
    (bundle / "configs").mkdir(parents=True)
    weights = {
        "file": "models/apddm.pt",
        "sha256": None,
        "beside": {"models/residuals.zarr.zip": None},
    }
    metadata = {"variants": {"apddm": {"weights": weights, "eval_metrics": {}}}}
    file = bundle / "configs" / "metadata.json"
    file.write_text(json.dumps(metadata))
    digest = publishing.sha256_of(models / "model.pt")
    (models / "model.json").write_text("its record")
    summary = {
        "checkpoint": {"sha256": digest},
        "overall": {"model": {"psnr": {"mean": 31.23456}}},
    }
    publishing.check_evaluated(models / "model.pt", summary)
    files = {"apddm.pt": "model.pt", "residuals.zarr.zip": "residuals.zarr.zip"}
    publishing.copy_weights(bundle, {f"models/{a}": models / b for a, b in files.items()})
    publishing.record_measures(bundle, publishing.measures_of(summary), "apddm")
    variant = json.loads(file.read_text())["variants"]["apddm"]
    assert (bundle / "models" / "apddm.pt").read_bytes() == b"weights"
    assert (bundle / "models" / "apddm.json").read_text() == "its record"
    assert variant["weights"]["sha256"] == digest
    bank = publishing.sha256_of(bundle / "models" / "residuals.zarr.zip")
    assert variant["weights"]["beside"] == {"models/residuals.zarr.zip": bank}
    assert variant["eval_metrics"] == {"psnr": 31.23}
    with pytest.raises(SystemExit, match="was not made with"):
        publishing.check_evaluated(models / "model.pt", {"checkpoint": {"sha256": "0"}})


def test_the_tables_of_the_anchored_path_page(tmp_path):
    row = {"steps": 2, "stochastic": False, "mse": 0.5, "psnr": 31.0, "ssim": 0.9, "seconds": 0.25}
    found = {"input": {"mse": 1.0, "psnr": 25.0, "ssim": 0.5}, "rows": [row]}
    lines = apddm_page.steps_table(found, {**found, "rows": [row | {"stochastic": True}]})
    assert lines.splitlines()[2:] == [
        "| input (nearest) |  |  | 1 | 25.00 | 0.5000 |  |",
        "| path | 2 | deterministic | 0.5 | 31.00 | 0.9000 | 0.25 |",
        "| noise_schedule | 2 | with noise | 0.5 | 31.00 | 0.9000 | 0.25 |",
    ]
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "metrics.csv").write_text(
        "epoch,val_mse,seconds\n1,0.3,30\n2,0.2,30\n3,0.25,30\n"
    )
    assert apddm_page.training_table(tmp_path).splitlines()[2:] == [
        "| APDDM, path | 3 | 2 | 0.2 | 1.5 |"
    ]
    summary = {"tables": [{"rows": [["DL", 2.0, 0.5, 3], ["unet", None, None, 0]]}]}
    assert apddm_page.cnr_table(summary).splitlines()[2:] == [
        "| APDDM, path | 2.00 ± 0.50 |",
        "| plain U-Net | - |",
    ]


@pytest.mark.parametrize("backward", [gan_step.plain_backward, gan_step.own_backward])
def test_separate_steps_of_three_networks_end_where_the_trainer_does(monkeypatch, backward):
    monkeypatch.setattr(gan_step, "WARM_UP", 0)
    monkeypatch.setattr(gan_step, "NOISE", 0.0)
    rng = torch.Generator().manual_seed(0)
    image, label = (torch.rand(1, 1, n, n, n, generator=rng) for n in (10, 20))
    one, other, start = (gan_step.Players.make(1 / 16) for _ in range(3))
    assert gan_step.by_trainer(one, image, label, 1) > 0
    assert gan_step.by_separate(other, image, label, 1, backward) > 0
    for player in ("network", "critic", "extractor"):
        states = [getattr(players, player).state_dict() for players in (one, other, start)]
        moved = [abs(states[0][name] - states[2][name]).max() for name in states[0]]
        assert max(moved) > 5e-5
        # Adam's first step is the sign of the gradient: only where that is 0 could they differ.
        apart = torch.cat([(states[0][n] - states[1][n]).abs().flatten() for n in states[0]])
        assert (apart < 1e-6).float().mean() > 0.97


def test_the_plain_generator_computes_what_ours_does():
    ours = ResidualDenseGenerator(5, 3, num_blocks=2, dense_blocks=2, convs=4).eval()
    rng = torch.Generator().manual_seed(0)
    for parameter in ours.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)
    volume = torch.rand((2, 1, 5, 6, 7), generator=rng)
    with torch.no_grad():
        torch.testing.assert_close(PlainGenerator(ours)(volume), ours(volume), atol=1e-5, rtol=1e-5)


def test_the_simulation_of_motion_is_timed_against_torchio(monkeypatch):
    pytest.importorskip("torchio")
    saved = {}
    for name, shape in (("SLICE", (1, 9, 8)), ("CROP", (2, 9, 8)), ("VOLUME", (8, 9, 8))):
        monkeypatch.setattr(motion_simulation, name, shape)
    monkeypatch.setattr(
        motion_simulation, "save", lambda name, figures: saved.update({name: figures})
    )
    figures = motion_simulation.run()
    assert saved == {"motion_simulation": figures}
    rows = motion_simulation.table(figures).splitlines()
    assert len(rows) == 2 + len(figures)
    assert rows[-1].endswith("| 8 x 9 x 8 | " + rows[-1].split("| ")[3] + "| 1.00 |")
    kinds = [row.split("|")[1].strip() for row in rows[2:]]
    assert kinds[0] == "ours, rotations: 1"
    assert kinds[-3:] == [
        "ours, rotations: in space 3",
        "ours, rotations: in space 8",
        "TorchIO, poses: 3",
    ]


def test_further_steps_cost_what_many_take_beyond_one(monkeypatch):
    one, many = Timing(2.0, 1.0, 3.0), Timing(5.0, 4.0, 7.0)
    assert motion_restoration.further(one, many, 2) == Timing(1.5, 1.5, 2.0)
    found = {"a": vars(one), "b": vars(many)}
    assert motion_restoration.rows(found, {"b": "the other"}, "a") == [
        "| the other | 5.000 (4.000 to 7.000) | 2.50 |"
    ]
    monkeypatch.setattr(motion_restoration, "PLANE", (16, 20))
    assert motion_restoration.of_config(steps=2).median > 0


def test_each_benchmark_is_run_once_and_has_its_place_on_the_page():
    assert len(set(BENCHMARKS)) == len(BENCHMARKS)
    page = PAGE.read_text(encoding="utf-8")
    for benchmark in BENCHMARKS:
        assert f"benchmarks/{benchmark.__name__.rpartition('.')[2]}.py" in page
