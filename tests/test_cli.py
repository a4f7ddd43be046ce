import json
import signal

import pytest
from command_line import run

from custom import cli
from custom.bundle.error_line import user_error
from custom.bundle.launch import plain_command
from custom.errors import InputError, causes
from custom.tuning import search
from custom.verbs import tools

TRAIN = """
imports:
  - $import json
  - $import pathlib
bundle_root: .
output_dir: $@bundle_root + '/output'
dataset_dir: $@bundle_root + '/data'
resume: false
max_epochs: 5
settings:
  rate: 0.5
  steps: [1, 2]
run:
  - "$pathlib.Path(@bundle_root, 'ran.json').write_text(json.dumps([@output_dir, @dataset_dir,
    @resume, @max_epochs, @settings]))"
"""
INFERENCE = """
bundle_root: .
imports: ['$from custom.errors import InputError']
input: null
output_dir: out
overwrite: false
skip_existing: false
device: cpu
fail:
  _target_: tests_cli_fail
run: ['$@nothing']
"""

RESTORE = ["--input=x", "--output=y", f"--checkpoint={__file__}"]


@pytest.fixture
def bundle(tmp_path):
    configs = tmp_path / "bundles" / "study" / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").write_text("{}")
    (configs / "train.yaml").write_text(TRAIN)
    (configs / "inference.yaml").write_text(INFERENCE)
    (configs / "longer.yaml").write_text("max_epochs: 50\n")
    (configs / "steps.yaml").write_text("settings::steps: [3]\n")
    return tmp_path / "bundles" / "study"


def what_ran(bundle):
    return json.loads((bundle / "ran.json").read_text())


def test_flags_become_config_ids_with_absolute_paths(bundle, monkeypatch):
    monkeypatch.chdir(bundle.parents[1])
    words = ["train", "stu", "--dataset", "1984", "--output=o", "--resume", "--max_epochs", "7"]
    assert run(*words, "--settings::rate", "1e-3") == 0
    root = bundle.parents[1]
    expected = [str(root / "o"), str(root / "1984"), True, 7, {"rate": 1e-3, "steps": [1, 2]}]
    assert what_ran(bundle) == expected


@pytest.mark.parametrize("word", ["-0.5", "-1e-3", "-5.", "-.5E+2", "-2"])
def test_a_number_below_zero_is_no_flag(bundle, word):
    assert run("train", str(bundle), "--settings::rate", word) == 0
    assert what_ran(bundle)[4]["rate"] == float(word)


@pytest.mark.parametrize(
    "words", [["--config", "longer", "steps.yaml"], ["--config=longer", "--config", "steps"]]
)
def test_overlays_go_over_the_config_in_order(bundle, words):
    assert run("train", str(bundle), *words) == 0
    assert what_ran(bundle)[3:] == [50, {"rate": 0.5, "steps": [3]}]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "nosuch"], 1, "is no bundle"),
        (["train", "micro_mri_denoize"], 1, "is no bundle (did you mean 'micro_mri_denoise'?)"),
        (["train", "BUNDLE", "--config", "nosuch"], 1, "there are inference, longer"),
        (["train", "BUNDLE", "--config", "lnger"], 1, "(did you mean 'longer'?): there are"),
        (["train", "BUNDLE", "--max_epoch", "3"], 1, "unknown config id 'max_epoch'"),
        (["train", "BUNDLE", "--settings::rat", "3"], 1, "unknown config id 'settings::rat'"),
        (["train", "BUNDLE", "surplus"], 2, "unexpected 'surplus'"),
        (["train"], 2, ""),
        (["nosuch"], 2, ""),
        (["restore", "BUNDLE", "--input", "x"], 2, "--output"),
        (["restore", "BUNDLE", "--input=x", "--output=y", "--overwrite", "--skip-existing"], 2, ""),
        (["restore", "BUNDLE", "--input=x", "--output=y", "--device", "gpu9"], 1, "device 'gpu9'"),
        (["restore", "BUNDLE", "--input=x", "--output=y", "--sha256=0"], 2, "--checkpoint FILE"),
        (["restore", "BUNDLE", *RESTORE, "--sha256=0"], 1, "64 hexadecimal digits, got '0'"),
        (["restore", "BUNDLE", *RESTORE, f"--sha256={'0' * 64}"], 1, "its SHA-256 is"),
        (["tune", "BUNDLE"], 2, "the following arguments are required: --trials"),
        (["tune", "BUNDLE", "--trials"], 2, "--trials needs a value"),
        (["tune", "BUNDLE", "--trials", "0"], 2, "--trials N"),
        (["tune", "BUNDLE", "--trials", "2.5"], 2, "--trials takes a whole number, got '2.5'"),
        (["tune", "BUNDLE", "--trials", "3", "--seed", "-1"], 2, "--seed N"),
        (["train", "BUNDLE", "--output"], 2, "--output needs a value"),
        (["evaluate", "BUNDLE", "--checkpoint", "--output=o"], 2, "--checkpoint needs a value"),
        (["restore", "BUNDLE", "--input", "x", "--output"], 2, "--output needs a value"),
        (["tune", "BUNDLE", "--trials", "3", "--space"], 2, "--space needs a value"),
        (["tune", "BUNDLE", "--trials", "3"], 1, "no config 'tune'"),
        (["tune", "BUNDLE", "--trials", "3", "surplus"], 2, "unexpected 'surplus'"),
    ],
)
def test_wrong_usage_is_one_line_and_an_exit_code(bundle, capsys, words, code, message):
    assert run(*[str(bundle) if word == "BUNDLE" else word for word in words]) == code
    assert message in capsys.readouterr().err
    assert not (bundle / "ran.json").exists()


def test_tune_asks_for_a_search(bundle, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(search, "search", lambda request: asked.append(request) or ["best.yaml"])
    (bundle / "configs" / "small.yaml").write_text("parameters: {}\n")
    monkeypatch.chdir(bundle.parents[1])
    words = ["tune", "study", "--space", "configs/small.yaml", "--trials", "7", "--seed=3"]
    assert run(*words, "--config", "longer", "steps", "--dataset", "1984", "--max_epochs", "2") == 0
    assert capsys.readouterr().out == "best.yaml\n"
    assert asked == [
        search.SearchRequest(
            bundle=bundle,
            space=bundle / "configs" / "small.yaml",
            trials=7,
            output=bundle / "output" / "small",
            overlays=["longer", "steps"],
            overrides={"max_epochs": ("2",), "dataset_dir": str(bundle.parents[1] / "1984")},
            seed=3,
        )
    ]
    assert asked[0].study_name == "study-small"
    assert asked[0].storage_url == f"sqlite:///{bundle / 'output' / 'small' / 'study.db'}"
    assert run(*words[:-1], "--output", "o", "--storage=mysql://h/d", "--name", "1984") == 0
    assert asked[1].output == bundle.parents[1] / "o"
    assert (asked[1].storage_url, asked[1].study_name) == ("mysql://h/d", "1984")


@pytest.mark.parametrize(("given", "code"), [((), 130), ((signal.SIGTERM,), 143)])
def test_a_stopped_run_ends_with_the_code_of_its_signal(bundle, monkeypatch, capsys, given, code):
    def stop(_):
        raise KeyboardInterrupt(*given)

    monkeypatch.setattr(search, "search", stop)
    assert run("tune", str(bundle), "--space", "longer", "--trials", "1") == code
    assert capsys.readouterr().err == "mri-bundles: stopped\n"


@pytest.mark.parametrize("verb", ["train", "restore"])
def test_sigterm_stops_any_verb_as_ctrl_c_does(bundle, capsys, verb):
    """What is being written is cleared away, which the system's own end leaves."""
    kill = ["$__import__('os').kill(__import__('os').getpid(), 15)", "$__import__('time').sleep(9)"]
    (bundle / "configs" / "killed.yaml").write_text(json.dumps({"run": kill}))
    text = INFERENCE.replace("fail:\n  _target_: tests_cli_fail\n", "")
    (bundle / "configs" / "inference.yaml").write_text(text)
    words = ["--config", "killed", "--input", "x", "--output", "o"]
    before = signal.getsignal(signal.SIGTERM)
    assert run(verb, str(bundle), *(words if verb == "restore" else words[:2])) == 143
    assert capsys.readouterr().err == "mri-bundles: stopped\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "words",
    [
        ["tune", "BUNDLE", "--space", "longer", "--trials", "1", "--storage", "URL"],
        ["train", "BUNDLE", "--no_such_id", "URL"],
        ["train", "BUNDLE", "--config", "URL"],
        ["train", "BUNDLE", "URL"],
        ["report", "URL"],
    ],
)
def test_no_password_is_printed(bundle, capfd, words):
    url = "postgresql://me:secret@127.0.0.1:9/x"
    words = [{"BUNDLE": str(bundle), "URL": url}.get(word, word) for word in words]
    assert run(*words) in (1, 2)
    assert "secret" not in "".join(capfd.readouterr())


def test_tune_says_how_to_get_optuna(bundle, monkeypatch, capsys):
    monkeypatch.setattr(tools, "find_spec", lambda _: None)
    assert run("tune", str(bundle), "--trials", "1") == 1
    assert "optuna is not installed: pip install" in capsys.readouterr().err


def test_nothing_is_a_value_too(bundle):
    assert run("train", str(bundle), "--settings::rate", "None") == 0
    assert what_ran(bundle)[-1] == {"rate": None, "steps": [1, 2]}


def test_an_error_inside_a_run_is_one_line(bundle, capsys):
    assert run("restore", str(bundle), "--input", "a.nii.gz", "--output", "b") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "mri-bundles:" in line]
    assert len(lines) == 1
    assert "--traceback" in lines[0]


def test_the_user_s_error_is_found_behind_those_it_caused():
    inner = InputError("no such scan")
    outer = RuntimeError("Failed to instantiate component")
    outer.__cause__ = inner
    assert user_error(outer) is inner
    assert user_error(KeyError("x")) is None


def test_what_an_error_was_raised_without_is_no_cause_of_it():
    def look_up():
        try:
            {}["x"]
        except KeyError:
            raise ValueError("no such scan") from None

    with pytest.raises(ValueError, match="no such scan") as caught:
        look_up()
    assert list(causes(caught.value)) == [caught.value]


def test_a_file_in_the_working_folder_is_not_taken_for_the_verb_s_config(bundle, monkeypatch):
    monkeypatch.chdir(bundle.parents[1])
    (bundle.parents[1] / "train").write_text("not a config")
    assert run("train", "study") == 0
    (bundle.parents[1] / "steps.yaml").write_text("max_epochs: 9\n")
    assert run("train", "study", "--config", "./steps.yaml") == 0
    assert what_ran(bundle)[3] == 9


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(verb, capfd):
    assert run(verb, "--help") == 0
    text = "".join(capfd.readouterr())
    assert f"mri-bundles {verb}" in text
    assert "Args" not in text


def test_a_name_that_begins_two_bundles_is_refused(bundle, monkeypatch, capsys):
    second = bundle.parent / "study_two" / "configs"
    second.mkdir(parents=True)
    (second / "metadata.json").write_text("{}")
    monkeypatch.chdir(bundle.parents[1])
    assert run("train", "stud") == 1
    assert "study, study_two" in capsys.readouterr().err
    assert run("train", "study") == 0


def test_plain_command_is_what_a_user_types():
    assert plain_command(["train"]) == "python -m monai.bundle run --config_file configs/train.yaml"
    assert plain_command(["train", "tuned"]).endswith(
        "\"['configs/train.yaml','configs/tuned.yaml']\""
    )
