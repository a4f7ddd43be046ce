import os
import shutil
import signal
import time

import optuna
import pytest
import yaml
from monai.bundle import ConfigParser

from custom.bundle.locate import all_bundles, find_config
from custom.bundle.typed_values import TypedWords
from custom.errors import InputError
from custom.tuning import search as search_module
from custom.tuning.search import SearchRequest, find_space, search
from custom.tuning.worker import Worker

TRAIN = """
imports: ['$from custom.errors import InputError', '$import pathlib']
bundle_root: .
output_dir: $@bundle_root + '/output'
dataset_dir: $@bundle_root + '/data'
datalist: $pathlib.Path(@dataset_dir, 'list.txt').read_text()
batch_size: 4
max_epochs: 90
learning_rate: 0.1
network_def: {_target_: torch.nn.Conv2d, in_channels: 1, out_channels: 1, kernel_size: 1}
validate: {key_metric: {val_mse: {_target_: MeanSquaredError}}}
run: ['$None']
"""
SPACE = """
metric: val_mse
direction: minimize
fixed: {max_epochs: 30}
during_search: {batch_size: 2}
parameters:
  rate: {type: float, low: 0.001, high: 1.0, id: learning_rate}
  kernel: {type: categorical, choices: [1, 3], id: 'network_def::kernel_size'}
"""


@pytest.fixture
def bundle(tmp_path):
    configs = tmp_path / "study" / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").write_text("{}")
    (configs / "train.yaml").write_text(TRAIN)
    (configs / "wide.yaml").write_text("network_def::out_channels: 2\n")
    (configs / "tune.yaml").write_text(SPACE)
    (configs.parent / "data").mkdir()
    (configs.parent / "data" / "list.txt").write_text("ten mice")
    return configs.parent


def distance(trial, files, overrides, metric):
    return abs(overrides["learning_rate"] - 0.3) + overrides["network_def::kernel_size"]


def request(bundle, trials=4, **options):
    options = {"space": find_space(bundle, "tune"), "output": bundle / "out"} | options
    return SearchRequest(bundle=bundle, trials=trials, **options)


def study_of(bundle, name="study-tune"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{bundle / 'out' / 'study.db'}")


def test_a_search_ends_with_a_config_that_trains_and_goes_on_when_asked_again(bundle):
    written = search(request(bundle), distance)
    study = study_of(bundle)
    assert len(study.trials) == 4
    best = yaml.safe_load((bundle / "out" / "best.yaml").read_text())
    assert best["learning_rate"] == study.best_params["rate"]
    assert best["network_def"]["kernel_size"] == study.best_params["kernel"]
    assert (best["max_epochs"], "batch_size" in best) == (30, False)
    assert all(path.is_file() for path in written)
    search(request(bundle, 6), distance)
    assert len(study_of(bundle).trials) == 6


@pytest.fixture
def no_results(monkeypatch):
    """Leave out tables and pictures."""
    monkeypatch.setattr(search_module, "write_results", lambda *_: [])


@pytest.mark.usefixtures("no_results")
def test_the_runner_gets_the_configs_and_the_user_s_overrides(bundle):
    seen = []

    def run(trial, files, overrides, *_):
        seen.append((files, overrides))
        return 1.0

    options = {"overlays": ["wide"], "overrides": {"batch_size": 8}}
    search(request(bundle, 1, **options), run)
    files, overrides = seen[0]
    assert files == find_config(bundle, ["train", "wide"])
    assert overrides["batch_size"] == 8  # goes over during_search
    assert overrides["max_epochs"] == 30
    assert overrides["bundle_root"] == str(bundle)
    assert overrides["output_dir"] == str(bundle / "out" / "trials" / "0000")


@pytest.mark.usefixtures("no_results")
def test_folders_and_words_reach_a_trial_as_they_were_typed(bundle):
    moved = shutil.move(bundle, bundle.parent / "study #3 $x")
    seen = []

    def run(trial, files, overrides, *_):
        parser = ConfigParser(ConfigParser.load_config_files(files))
        parser.update(overrides)
        seen.extend(map(parser.get_parsed_content, ("dataset_dir", "output_dir", "batch_size")))
        return 1.0

    output = moved / "out #2"
    search(request(moved, 1, output=output, overrides={"batch_size": TypedWords(["8"])}), run)
    assert seen == [str(moved / "data"), str(output / "trials" / "0000"), 8]


@pytest.mark.usefixtures("no_results")
@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        ({"overrides": {"batchsize": 3}}, SPACE, "unknown config id 'batchsize'"),
        ({"overrides": {"learning_rate": 3}}, SPACE, "--learning_rate is set by parameter 'rate'"),
        ({"overrides": {"max_epochs": 3}}, SPACE, "--max_epochs is set by fixed"),
        ({"overrides": {"network_def": {}}}, SPACE, "--network_def is set by parameter 'kernel'"),
        ({"overrides": {"learning_rate::x": 1}}, SPACE, "unknown config id 'learning_rate::x'"),
        ({"overrides": {"output_dir": "x"}}, SPACE, "--output_dir is not for a search: give --out"),
        ({"overrides": {"network_def#kernel_size": 1}}, SPACE, "is set by parameter 'kernel'"),
        ({"overlays": ["nosuch"]}, SPACE, "no config 'nosuch'"),
        ({}, SPACE.replace("kernel_size", "kernel"), "unknown config id 'network_def::kernel'"),
        ({}, SPACE.replace("val_mse", "val_mae"), "'val_mae' is none of the validation's"),
        ({}, SPACE + "sampler: {name: best}\n", "sampler 'best' is unknown"),
        ({"storage": "postgresql://127.0.0.1:9/x"}, SPACE, "storage .*postgresql://127.0.0.1:9/x"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_trial(bundle, options, text, message):
    (bundle / "configs" / "tune.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        search(request(bundle, **options), distance)
    assert "\n" not in str(caught.value)
    assert not (bundle / "out" / "trials").exists()


@pytest.mark.usefixtures("no_results")
def test_missing_data_end_the_search_before_the_first_trial(bundle):
    text = TRAIN.replace(
        "$pathlib.Path(@dataset_dir, 'list.txt').read_text()",
        "$load_datalist(@dataset_dir)",
    ).replace("'$import pathlib'", "'$from custom.data.datasets.datalist import load_datalist'")
    (bundle / "configs" / "train.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data holds no datalist\.json"):
        search(request(bundle), distance)


@pytest.mark.usefixtures("no_results")
def test_another_space_bundle_or_setting_needs_a_study_of_its_own(bundle):
    search(request(bundle, 1), distance)
    with pytest.raises(InputError, match="was begun with another overrides"):
        search(request(bundle, 2, overrides={"batch_size": 3}), distance)
    with pytest.raises(InputError, match="was begun with another configs"):
        search(request(bundle, 2, overlays=["wide"]), distance)
    # Where the data lie is a matter of each machine.
    elsewhere = shutil.copytree(bundle / "data", bundle / "copied")
    search(request(bundle, 2, overrides={"dataset_dir": str(elsewhere)}), distance)
    assert len(study_of(bundle).trials) == 2
    (elsewhere / "list.txt").write_text("eleven mice")
    with pytest.raises(InputError, match="was begun with another dataset"):
        search(request(bundle, 3, overrides={"dataset_dir": str(elsewhere)}), distance)
    search(request(bundle, 1, overlays=["wide"], name="wider"), distance)
    assert len(study_of(bundle, "wider").trials) == 1
    (bundle / "configs" / "tune.yaml").write_text(SPACE + "local: [batch_size]\n")
    for trials in (1, 2):
        search(request(bundle, trials, overrides={"batch_size": trials}, name="own"), distance)
    assert len(study_of(bundle, "own").trials) == 2


@pytest.mark.parametrize(
    ("content", "word"), [('{"study": "other"}', "results of the search 'other'"), ("{", "damaged")]
)
def test_the_results_of_another_search_are_not_replaced(bundle, content, word):
    (bundle / "out").mkdir()
    (bundle / "out" / "search.json").write_text(content)
    with pytest.raises(InputError, match=word):
        search(request(bundle, 1), distance)


@pytest.mark.usefixtures("no_results")
def test_a_search_without_any_value_says_why(bundle):
    def fail(*_):
        raise InputError("the slices are broken")

    with pytest.raises(InputError, match="none of 2 trials was completed; trial 0: the slices are"):
        search(request(bundle, 2), fail)


@pytest.mark.usefixtures("no_results")
def test_a_lost_storage_ends_the_search(bundle):
    def lose(*_):
        raise RuntimeError("wrapped") from optuna.exceptions.StorageInternalError("server gone")

    with pytest.raises(InputError, match=r"the storage was lost .*server gone"):
        search(request(bundle), lose)


@pytest.mark.usefixtures("no_results")
def test_a_storage_lost_between_two_trials_ends_the_search_too(bundle, monkeypatch):
    def lose(*_):
        raise optuna.exceptions.StorageInternalError("server gone")

    monkeypatch.setattr(Worker, "_run_next", lose)
    with pytest.raises(InputError, match=r"the storage was lost .*server gone"):
        search(request(bundle), distance)


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (OSError("disk full"), "FAILED")]
)
def test_a_search_that_ends_before_its_time_is_marked(bundle, monkeypatch, error, status):
    def fail(*_):
        raise error

    ended = []
    monkeypatch.setattr(search_module, "write_results", fail)
    monkeypatch.setattr(search_module.Tracker, "end", lambda _, status: ended.append(status))
    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        search(request(bundle, 1), distance)
    assert ended == [status]


@pytest.mark.usefixtures("no_results")
def test_sigterm_stops_a_search_as_ctrl_c_does(bundle):
    def terminate(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # cut short by the signal

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught:
        search(request(bundle), terminate)
    assert caught.value.args == (signal.SIGTERM,)
    assert signal.getsignal(signal.SIGTERM) is before
    assert [trial.state.name for trial in study_of(bundle).trials] == ["FAIL", "WAITING"]


def test_an_output_folder_that_cannot_be_made_is_named(bundle):
    with pytest.raises(InputError, match=r"--output .*/train.yaml/x cannot be made"):
        search(request(bundle, output=bundle / "configs" / "train.yaml" / "x"), distance)


def test_a_space_is_found_by_name_by_path_and_by_its_path_in_the_bundle(bundle):
    file = bundle / "configs" / "tune.yaml"
    for name in ("tune", "tune.yaml", "configs/tune.yaml", str(file)):
        assert find_space(bundle, name).samefile(file)
    with pytest.raises(InputError, match="no config 'nosuch'"):
        find_space(bundle, "nosuch")


def test_a_request_for_no_trial_is_refused(bundle):
    with pytest.raises(ValueError, match="trials must be at least 1, got 0"):
        request(bundle, 0)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_a_real_search_on_the_small_demonstration_set(bundle, tmp_path):
    small = (bundle / "configs" / "tune_demo.yaml").is_file()
    asked = SearchRequest(
        bundle=bundle,
        space=find_space(bundle, "tune_demo" if small else "tune"),
        trials=2,
        output=tmp_path / "out",
        overlays=["tiny"],
        overrides={"demo_dir": str(tmp_path / "demo"), "use_mlflow": True, "max_epochs": 2},
    )
    search(asked)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    for trial in study.trials:
        assert list(trial.intermediate_values) == [1, 2]
        best = min if study.direction.name == "MINIMIZE" else max
        assert trial.value == best(trial.intermediate_values.values())
        assert (
            tmp_path / "out" / "trials" / f"{trial.number:04d}" / "models" / "model.pt"
        ).exists()
    assert (tmp_path / "out" / "best.yaml").is_file()
