"""The training as users start it: a process that can be killed, and several processes at once."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
import torch

from custom.demo.mouse.micro_mri import MicroMriDemo

BUNDLE = Path(__file__).parents[2] / "bundles" / "micro_mri_denoise"
OPTIONS = ["--network_def::features", "[4,8]", "--crop_size", "[32,32]", "--batch_size", "4"]
OPTIONS += ["--crops_per_slice", "2", "--val_slice_step", "1"]
# One thread: the sum of several depends on the machine's load.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": ""}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return MicroMriDemo(tmp_path_factory.mktemp("demo"), size="tiny").ensure()


def command(dataset, output, *more, config="configs/train.yaml", launcher=()):
    run = ["-m", "monai.bundle", "run", "--config_file", config]
    paths = ["--dataset_dir", str(dataset), "--output_dir", str(output)]
    return [sys.executable, *launcher, *run, *paths, *OPTIONS, *more]


def finish(words):
    result = subprocess.run(
        words, cwd=BUNDLE, env=ENVIRONMENT, capture_output=True, text=True, timeout=400, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def epochs(output):
    table = output / "metrics.csv"
    if not table.exists():
        return 0
    with table.open(newline="") as text:
        return len(list(csv.DictReader(text)))


def last(output):
    return torch.load(output / "models" / "last.pt", weights_only=True)


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(dataset, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    options = ("--use_mlflow", "False", "--min_epochs", "900")
    process = subprocess.Popen(
        command(dataset, killed, "--max_epochs", "900", *options),
        cwd=BUNDLE,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while epochs(killed) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = last(killed)["trainer"]["iteration"] // last(killed)["trainer"]["epoch_length"]
    assert reached >= 2
    end = ("--max_epochs", str(reached + 2))
    finish(command(dataset, killed, *end, "--resume", "True", *options))
    finish(command(dataset, whole, *end, *options))
    assert epochs(killed) == epochs(whole) == reached + 2
    parts, once = last(killed), last(whole)
    for name, value in once["model"].items():
        torch.testing.assert_close(parts["model"][name], value, rtol=0, atol=0)
    assert parts["best_metric"] == once["best_metric"]
    leftovers = [path.name for path in (killed / "models").iterdir()]
    assert {"model.pt", "last.pt"} <= set(leftovers)
    assert not [name for name in leftovers if name.endswith(".1.pt")]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_says_so_and_ends_with_the_code_of_its_signal(
    dataset, tmp_path, number, code
):
    process = subprocess.Popen(
        command(dataset, tmp_path, "--max_epochs", "900", "--min_epochs", "900"),
        cwd=BUNDLE,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell inherit that it ignores this signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 200
    while epochs(tmp_path) < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    experiment = client.get_experiment_by_name("micro_mri_denoise").experiment_id
    assert [run.info.status for run in client.search_runs(experiment)] != ["RUNNING"]


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path):
    """And share the demonstration set, which neither finds when it starts."""
    dataset = tmp_path / "demo"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    config = "['configs/train.yaml','configs/multi_gpu_train.yaml']"
    more = ("--max_epochs", "2", "--demo_dir", str(dataset), "--demo_size", "tiny")
    words = command(dataset, tmp_path, *more, config=config, launcher=launcher)
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "MLFLOW_TRACKING_URI"}
    result = subprocess.run(
        words, cwd=BUNDLE, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert epochs(tmp_path) == 2
    state = last(tmp_path)
    assert not [name for name in state["model"] if name.startswith("module.")]
    # 12 slices, 2 a step, shared by two processes.
    assert state["trainer"]["epoch_length"] == 3
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    experiment = client.get_experiment_by_name("micro_mri_denoise").experiment_id
    assert [run.info.status for run in client.search_runs(experiment)] == ["FINISHED"]
