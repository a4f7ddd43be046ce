"""Typing errors and texts of a wrong kind are refused by every config, run by MONAI itself too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import monai.bundle
import pytest
import yaml
from monai.bundle import ConfigWorkflow, create_workflow

from custom.bundle.config_check import read_configs
from custom.bundle.error_line import user_error
from custom.bundle.launch import run_bundle
from custom.bundle.typed_values import TypedWords, read_words
from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.checks_network import open_configs
from custom.errors import InputError

BUNDLES = sorted(path for path in (Path(__file__).parents[2] / "bundles").iterdir())
CONFIGS = [
    (bundle, name)
    for bundle in BUNDLES
    for name in ("train", "evaluate", "inference", "prepare", "qc")
    if (bundle / "configs" / f"{name}.yaml").is_file()
]
RUNS = pytest.mark.parametrize(
    ("bundle", "name"), CONFIGS, ids=[f"{bundle.name}-{name}" for bundle, name in CONFIGS]
)


def refused(run):
    """Return the line of the user's error that a run ends with, before it computes anything."""
    with pytest.raises(Exception) as raised:  # noqa: PT011  (the user's error is its cause)
        run()
    error = user_error(raised.value)
    assert isinstance(error, InputError), raised.value
    return str(error)


def plain(bundle, *names, **overrides):
    files = [str(bundle / "configs" / f"{n}.yaml") if Path(n).name == n else n for n in names]
    return lambda: monai.bundle.run(config_file=files, logging_file=False, **overrides)


def test_every_config_that_runs_is_checked():
    for file in (file for bundle in BUNDLES for file in (bundle / "configs").glob("*.yaml")):
        content = yaml.safe_load(file.read_text())
        if "run" in content or "initialize" in content:
            assert content["initialize"][0] == "$check_config(@bundle_root)", file


@RUNS
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"bundel_root": "X"}, "unknown config id 'bundel_root': did you mean 'bundle_root'?"),
        ({"zzz": 1}, "unknown config id 'zzz'"),
        ({"bundle_root": "run#2"}, "bundle_root: 'run::2' has a # or ::"),
    ],
)
def test_monai_s_own_command_refuses(bundle, name, overrides, line):
    assert line in refused(plain(bundle, name, **overrides))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({}, "no input: give --input"),
        ({"inptu": "X"}, "unknown config id 'inptu': did you mean 'input'?"),
        ({"overwrite": "false", "input": "X"}, "overwrite must be true or false, got 'false'"),
        ({"seed": "one", "input": "X"}, "seed must be a number"),
        ({"seed": float("nan"), "input": "X"}, "seed must be finite"),
        ({"input": "null"}, "input is the text 'null': write '$None'"),
    ],
)
def test_a_typing_error_restores_nothing(bundle, overrides, line, tmp_path):
    assert line in refused(plain(bundle, "inference", output_dir=str(tmp_path / "o"), **overrides))
    assert not (tmp_path / "o").exists()


@RUNS
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sede: 1", "unknown config id 'sede': did you mean 'seed'?"),
        ("see_d: 1\nbundle_root: x\nbundle_root: y", "Duplicate key: `bundle_root`"),
        ("a: {b: 1, b: 2}", "Duplicate key: `b`"),
        ("zzz: 1", "unknown config id 'zzz': no config has it, and nothing refers to it"),
        ("bundle_root: [1", "while parsing"),
        ("- bundle_root", "no config: it must hold ids"),
    ],
)
def test_an_overlay_s_typing_error_is_refused(bundle, name, text, line, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(f"{text}\n")
    if "seed" not in (bundle / "configs" / f"{name}.yaml").read_text():
        line = line.replace(": did you mean 'seed'?", "")
    message = refused(lambda: run_bundle(bundle, [name, str(overlay)], {}))
    assert line in message
    assert str(overlay) in message


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_an_overlay_s_nested_typing_error_is_refused(bundle, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("train::trainer::max_epohcs: 1\n")
    train = str(bundle / "configs" / "train.yaml")
    with pytest.raises(InputError, match="max_epohcs': did you mean 'max_epochs'"):
        read_configs([train, overlay])


def test_an_overlay_may_add_what_it_refers_to_and_what_another_workflow_has(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("own: 3\nmax_epochs: '@own'\nsplit: test\n")
    content = read_configs([BUNDLES[0] / "configs" / "train.yaml", overlay])
    assert (content["own"], content["split"]) == (3, "test")


@RUNS
def test_the_bundle_is_found_from_any_folder(bundle, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = os.path.relpath(bundle / "configs" / f"{name}.yaml")
    workflow = ConfigWorkflow(file, logging_file=False)
    workflow.initialize()
    assert workflow.parser.get_parsed_content("bundle_root") == str(bundle)
    assert not list(tmp_path.iterdir())


def test_a_bundle_folder_may_have_any_name(tmp_path):
    moved = tmp_path / "mouse #3 $x @y"
    shutil.copytree(BUNDLES[2] / "configs", moved / "configs")
    workflow = create_workflow(
        config_file=str(moved / "configs" / "inference.yaml"),
        workflow_type="infer",
        logging_file=False,
    )
    assert workflow.parser.get_parsed_content("ckpt_path") == str(moved / "models" / "model.pt")


@pytest.mark.slow
def test_the_plain_command_ends_with_an_error(tmp_path):
    words = ["-m", "monai.bundle", "run", "--config_file", "configs/inference.yaml"]
    words = [sys.executable, *words, "--inptu", "X", "--output_dir", str(tmp_path / "o")]
    done = subprocess.run(words, cwd=BUNDLES[0], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last == "unknown config id 'inptu': did you mean 'input'?"
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


def numbers_of(bundle, name):
    """Return the ids of a config's own numbers."""
    content = yaml.safe_load((bundle / "configs" / f"{name}.yaml").read_text())
    return [key for key, value in content.items() if type(value) in (int, float) and value >= 0]


@RUNS
def test_no_number_is_below_zero(bundle, name):
    for key in numbers_of(bundle, name):
        assert f"{key} must be 0 or more, got -1" in refused(plain(bundle, name, **{key: -1}))


@RUNS
def test_counts_and_rates_are_above_zero(bundle, name):
    content = yaml.safe_load((bundle / "configs" / f"{name}.yaml").read_text())
    for key in content.get("above_zero", []):
        assert f"{key} must be positive, got 0" in refused(plain(bundle, name, **{key: 0}))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_a_batch_has_a_size(bundle, tmp_path):
    settings = {"output_dir": str(tmp_path / "o"), "batch_size": 0, "use_mlflow": False}
    assert "batch_size must be" in refused(lambda: run_bundle(bundle, ["train", "tiny"], settings))
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("resume: 'no'", "resume must be true or false"),
        ("learning_rate: 1e-3", "write 1.0e-4"),
        ("max_epochs: -1", "max_epochs must be 0 or more"),
        ("train::trainer::amp: x\nmax_epochs: many", "max_epochs must be a number"),
    ],
)
def test_an_overlay_s_value_of_another_kind_is_refused(text, line, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(f"{text}\n")
    for bundle in BUNDLES:
        with pytest.raises(InputError, match=line) as raised:
            read_configs([bundle / "configs" / "train.yaml", overlay])
        assert str(overlay) in str(raised.value)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_a_float_stays_one_where_an_overlay_writes_a_whole_number(bundle, tmp_path):
    train, overlay = bundle / "configs" / "train.yaml", tmp_path / "mine.yaml"
    own = yaml.safe_load(train.read_text())
    names = [name for name, value in own.items() if isinstance(value, float)]
    overlay.write_text("".join(f"{name}: 1\n" for name in names))
    content = read_configs([train, overlay])
    words = dict.fromkeys(names, TypedWords(["0.25"]))
    assert read_words(content, words) == dict.fromkeys(names, 0.25)
    assert names


def test_shipped_overlays_are_of_the_same_kinds():
    for bundle in BUNDLES:
        configs = {
            path.stem: yaml.safe_load(path.read_text())
            for path in sorted(bundle.glob("configs/*.yaml"))
        }
        for name, content in configs.items():
            if "bundle_root" not in content and "parameters" not in content:
                read_configs(
                    [bundle / "configs" / "train.yaml", bundle / "configs" / f"{name}.yaml"]
                )


def test_a_verification_s_folder_may_have_any_name(tmp_path):
    bundle = BundleFolder(BUNDLES[2], tmp_path / "tmp #1 $x")
    parser = open_configs(bundle, "train", "tiny")
    assert parser.get_parsed_content("dataset_dir") == str(bundle.demo_dir)
