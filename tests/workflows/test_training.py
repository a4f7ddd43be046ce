"""The training config of the micro-MRI bundle, run as MONAI runs it, on the tiny demonstration."""

import csv
import json
import shutil
from pathlib import Path

import mlflow
import monai.bundle
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow

from custom.bundle.error_line import user_error
from custom.demo.mouse.micro_mri import MicroMriDemo
from custom.errors import InputError
from custom.files.process_lock import process_lock
from custom.networks.checkpoint_file import write_checkpoint

BUNDLE = Path(__file__).parents[2] / "bundles" / "micro_mri_denoise"
SMALL = {
    "network_def::features": [4, 8],
    "crop_size": [32, 32],
    "batch_size": 4,
    "crops_per_slice": 2,
    "val_slice_step": 1,
    "use_mlflow": False,
}


def configs(*names):
    return [str(BUNDLE / "configs" / f"{name}.yaml") for name in names]


def train(dataset, output, *overlays, **overrides):
    """Run the training; a user's error comes out as such."""
    settings = {**SMALL, "dataset_dir": str(dataset), "output_dir": str(output), **overrides}
    try:
        monai.bundle.run(
            config_file=configs("train", *overlays),
            bundle_root=str(BUNDLE),
            logging_file=False,
            **settings,
        )
    except RuntimeError as error:
        raise user_error(error) or error from error


def last(output):
    return torch.load(output / "models" / "last.pt", weights_only=True)


def table(output):
    """The metrics of each epoch, without the time it took."""
    with (output / "metrics.csv").open(newline="") as text:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(text)]


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return MicroMriDemo(tmp_path_factory.mktemp("demo"), size="tiny").ensure()


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """Four epochs in one go."""
    output = tmp_path_factory.mktemp("whole")
    train(dataset, output, max_epochs=4)
    return output


def test_writes_what_it_promises(whole):
    weights = torch.load(whole / "models" / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    rows = table(whole)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert list(rows[0]) == [
        "epoch",
        "train_loss",
        "val_mse",
        "val_psnr",
        "val_ssim",
        "learning_rate",
    ]
    errors = [float(row["val_mse"]) for row in rows]
    best = last(whole)["best_metric"]
    assert best["metric"] == pytest.approx(min(errors), rel=1e-6)
    assert errors[best["epoch"] - 1] == min(errors)
    assert (whole / "previews" / "epoch_0001.png").stat().st_size > 10_000


def test_interrupted_and_resumed_equals_uninterrupted(whole, dataset, tmp_path):
    train(dataset, tmp_path, max_epochs=2)
    train(dataset, tmp_path, max_epochs=4, resume=True)
    assert table(tmp_path) == table(whole)
    parts, once = last(tmp_path), last(whole)
    assert same(parts["model"], once["model"])
    for key in ("early_stopping", "best_metric", "lr_scheduler", "epoch_seed", "trainer"):
        assert parts[key] == once[key], key
    states = [state["optimizer"]["state"] for state in (parts, once)]
    assert all(same(states[0][index], states[1][index]) for index in states[0])
    best = [torch.load(out / "models" / "model.pt", weights_only=True) for out in (tmp_path, whole)]
    assert same(*best)
    assert not (tmp_path / "previews.1").exists()


CHANGES = {
    "seed": 5,
    "loss::_target_": "torch.nn.L1Loss",
    "learning_rate": 0.1,
    "intensity_statistic": "foreground_mean",
}


def test_a_training_is_not_resumed_with_other_settings_unawares(whole, dataset, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="was trained with other settings, now ") as refused:
        train(dataset, tmp_path / "run", max_epochs=5, resume=True, **CHANGES)
    for name, value in CHANGES.items():
        assert f"{name} {value} (before: " in str(refused.value)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before

    accepted = {**CHANGES, "resume_changes": "accept"}
    train(dataset, tmp_path / "run", max_epochs=5, resume=True, **accepted)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["seed"], config["learning_rate"]) == (5, 0.1)
    assert last(tmp_path / "run")["epoch_seed"] == {"seed": 5}
    assert float(table(tmp_path / "run")[-1]["learning_rate"]) == pytest.approx(0.1 * 0.9**5)
    assert (tmp_path / "run" / "config.1.yaml").is_file()


def test_a_folder_in_which_another_training_runs_is_refused(dataset, tmp_path):
    with process_lock(tmp_path / "models" / ".running.lock"):
        with pytest.raises(InputError, match="models: another process is writing there"):
            train(dataset, tmp_path, max_epochs=1)
        assert [path.name for path in (tmp_path / "models").iterdir()] == [".running.lock"]
    train(dataset, tmp_path, max_epochs=1)
    assert not list(tmp_path.rglob(".running.lock"))


def test_seed_decides(whole, dataset, tmp_path):
    train(dataset, tmp_path, max_epochs=1, seed=1)
    assert table(tmp_path)[0]["train_loss"] != table(whole)[0]["train_loss"]


def test_new_training_in_the_same_folder_keeps_the_earlier_one(dataset, tmp_path):
    train(dataset, tmp_path, max_epochs=2, preview_interval=2)
    earlier = (tmp_path / "models" / "last.pt").read_bytes()
    (tmp_path / "report.html").write_text("of the earlier one")
    train(dataset, tmp_path, max_epochs=1, seed=1)
    assert (tmp_path / "models" / "last.1.pt").read_bytes() == earlier
    assert [path.name for path in tmp_path.glob("report*")] == ["report.1.html"]
    assert (tmp_path / "metrics.1.csv").exists()
    pictures = {path.name: len(list(path.iterdir())) for path in tmp_path.glob("previews*")}
    assert pictures == {"previews": 1, "previews.1": 2}


def test_early_stopping_ends_a_training_that_does_not_improve(dataset, tmp_path):
    train(dataset, tmp_path, max_epochs=9, min_epochs=3, patience=1, learning_rate=0.0)
    assert len(table(tmp_path)) == 3
    assert last(tmp_path)["early_stopping"]["counter"] == 2


def test_resume_without_a_checkpoint_is_one_clear_line(dataset, tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        train(dataset, tmp_path, max_epochs=1, resume=True)


def test_diverging_training_stops_and_keeps_its_checkpoint(dataset, tmp_path):
    train(dataset, tmp_path, max_epochs=1)
    state = last(tmp_path)
    state["optimizer"]["param_groups"][0]["lr"] = 1e30
    file = tmp_path / "models" / "last.pt"
    write_checkpoint(state, file)
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"is (nan|inf) at epoch 2.*last\.pt"):
        train(dataset, tmp_path, max_epochs=3, resume=True)
    assert file.read_bytes() == before


def test_mistyped_dataset_never_trains_on_the_demonstration(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        train(tmp_path / "no_such", tmp_path / "out", max_epochs=1)
    assert not (tmp_path / "out" / "models").exists()


def test_excluded_slices_are_left_out(dataset, tmp_path):
    items = json.loads((dataset / "datalist.json").read_text())["training"]
    keep = items[0]["scan"]
    excluded = {item["scan"]: list(range(item["num_slices"])) for item in items[1:]}
    list_file = tmp_path / "bad.json"
    list_file.write_text(json.dumps(excluded))
    workflow = ConfigWorkflow(
        configs("train"),
        logging_file=False,
        bundle_root=str(BUNDLE),
        dataset_dir=str(dataset),
        exclusions=str(list_file),
    )
    workflow.initialize()
    data = workflow.parser.get_parsed_content("train::dataset::data")
    assert {item["scan"] for item in data} == {keep}


@pytest.mark.parametrize("overlay", ["tuned", "first_run"])
def test_published_settings_train_as_overlays(dataset, tmp_path, overlay):
    overrides = {"max_epochs": 1, "batch_size": 4, "min_epochs": 1}
    settings = {key: SMALL[key] for key in SMALL if key != "network_def::features"}
    monai.bundle.run(
        config_file=configs("train", overlay),
        bundle_root=str(BUNDLE),
        logging_file=False,
        dataset_dir=str(dataset),
        output_dir=str(tmp_path),
        **{**settings, **overrides},
    )
    expected = {"tuned": (3.139e-4, 3), "first_run": (1e-4, 3)}[overlay]
    state = last(tmp_path)
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(expected[0])
    width = {"tuned": 128, "first_run": 64}[overlay]
    assert state["model"]["stem.conv_0.conv.weight"].shape[0] == width


@pytest.mark.parametrize("overlay", ["tuned", "first_run"])
def test_published_overlays_replace_whole_top_level_ids_of_the_training(overlay):
    names = ("train", "evaluate", "inference", overlay)
    *bases, over = (yaml.safe_load(Path(path).read_text()) for path in configs(*names))
    assert set(over) <= set().union(*bases)
    assert not any("::" in name or "#" in name for name in over)


def test_a_model_that_tells_its_uncertainty_is_measured_by_its_mean(dataset, tmp_path):
    noisy = {"num_steps": 4, "num_inference_steps": 2, "noise_scale": 1.0, "num_samples": 2}
    train(dataset, tmp_path, "apddm", max_epochs=1, preview_interval=1, **noisy)
    assert float(table(tmp_path)[0]["val_mse"]) > 0


def test_properties_of_a_training_workflow_are_complete(dataset, tmp_path):
    workflow = ConfigWorkflow(
        configs("train"),
        logging_file=False,
        workflow_type="train",
        **{**SMALL, "bundle_root": str(BUNDLE), "dataset_dir": str(dataset)},
        output_dir=str(tmp_path),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_a_step_reads_single_slices_and_whole_slices_can_be_asked_for(dataset, tmp_path):
    train(dataset, tmp_path, max_epochs=1, crop_size=[-1, -1], crops_per_slice=1)
    assert last(tmp_path)["trainer"]["epoch_length"] == 3  # 12 slices, 4 a batch


def test_mlflow_run_spans_interruption_and_ends_failed_on_an_error(dataset, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracked = {"use_mlflow": True}
    train(dataset, tmp_path, max_epochs=1, **tracked)
    train(dataset, tmp_path, max_epochs=2, resume=True, **tracked)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    experiment = client.get_experiment_by_name("micro_mri_denoise").experiment_id
    (run,) = client.search_runs(experiment)
    assert run.info.status == "FINISHED"
    for name in ("train_loss", "val_mse", "val_psnr", "val_ssim"):
        steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
        assert steps == [1, 2], name
    assert run.data.params["network_def.features"] == "[4, 8]"
    assert run.data.params["optimizer.lr"] == "0.002"
    merged = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert merged["network_def"]["features"] == [4, 8]
    assert merged["dataset_dir"] == str(dataset)

    with pytest.raises(InputError, match="training loss"):
        train(dataset, tmp_path, max_epochs=1, learning_rate=1e30, **tracked)
    assert [r.info.status for r in client.search_runs(experiment)] == ["FAILED", "FINISHED"]
