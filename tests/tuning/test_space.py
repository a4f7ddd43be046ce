import optuna
import pytest

from custom.errors import InputError
from custom.tuning.space_file import load_space

HEAD = "metric: val_mse\ndirection: minimize\n"
SPACE = (
    HEAD
    + """
fixed: {patience: 6, 'network::features': ['${width}', 64]}
during_search: {max_epochs: 3}
parameters:
  width: {type: categorical, choices: [8, 16]}
  shape: {type: categorical, choices: [[1, 2], [3, 4]], id: [crop, 'network::crop']}
  batch: {type: int, low: 4, high: 16, step: 4, id: batch}
  rate: {type: float, low: 1.0e-6, high: 1.0e-2, log: true, id: 'optimizer::lr'}
  schedule:
    type: categorical
    choices: [none, step]
    set: {none: {}, step: {scheduler: {name: 'lr.${kind}LR', gamma: '${gamma}'}}}
  kind: {type: categorical, choices: [Step, MultiStep], when: {schedule: step}}
  gamma: {type: float, low: 0.0, high: 1.0, when: {schedule: [step]}}
  inner: {type: int, low: 1, high: 3, when: {kind: MultiStep}, id: 'scheduler::gamma'}
"""
)
CONFIG = {
    "patience": 1,
    "max_epochs": 9,
    "batch": 2,
    "crop": [0, 0],
    "network": {"features": [1, 2], "crop": 0},
    "optimizer": {"lr": 1},
    "scheduler": None,
    "validate": {"key_metric": {"val_mse": {}}, "additional_metrics": {"val_psnr": {}}},
}


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "space.yaml"
        file.write_text(text)
        return file

    return write


def fixed(space, **values):
    """Draw a trial whose values are given."""
    return space.draw(optuna.trial.FixedTrial(values, number=0))


ALWAYS = {"width": 8, "shape": "[3, 4]", "batch": 8, "rate": 1e-3}


def test_what_a_trial_sets_is_split_by_where_it_comes_from(write):
    space = load_space(write(SPACE))
    drawn = fixed(space, **ALWAYS, schedule="none")
    assert drawn == {**ALWAYS, "shape": [3, 4], "schedule": "none"}
    sets = space.overrides(drawn)
    assert sets.fixed == {"patience": 6, "network::features": [8, 64]}
    assert sets.during_search == {"max_epochs": 3}
    expected = {"crop": [3, 4], "network::crop": [3, 4], "batch": 8, "optimizer::lr": 1e-3}
    assert sets.drawn == expected
    assert sets.result == {**sets.fixed, **expected}


def test_a_condition_opens_a_branch_and_what_depends_on_it(write):
    space = load_space(write(SPACE))
    plain = fixed(space, **ALWAYS, schedule="step", kind="Step", gamma=0.5)
    assert space.overrides(plain).drawn["scheduler"] == {"name": "lr.StepLR", "gamma": 0.5}
    assert "inner" not in plain
    nested = fixed(space, **ALWAYS, schedule="step", kind="MultiStep", gamma=0.5, inner=2)
    assert list(space.overrides(nested).drawn)[-2:] == ["scheduler", "scheduler::gamma"]


def test_draws_keep_to_the_ranges_and_come_back_from_the_storage(write):
    space = load_space(write(SPACE))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    draws = []
    for _ in range(200):
        trial = study.ask()
        draws.append(space.draw(trial))
        assert space.values(trial.params) == draws[-1]
        assert ("gamma" in draws[-1]) == (draws[-1]["schedule"] == "step")
    assert {draw["batch"] for draw in draws} == {4, 8, 12, 16}
    rates = [draw["rate"] for draw in draws]
    assert 1e-6 <= min(rates) < max(rates) <= 1e-2
    # Uniform in the logarithm: half lies below the geometric mean. sd = sqrt(200 / 4).
    below = sum(rate < 1e-4 for rate in rates)
    assert abs(below - 100) < 5 * 50**0.5


def test_all_branches_are_checked_against_the_configs(write):
    space = load_space(write(SPACE))
    space.check_ids(CONFIG)
    for missing in ("patience", "max_epochs", "batch", "crop", "network", "scheduler"):
        less = {key: value for key, value in CONFIG.items() if key != missing}
        with pytest.raises(InputError, match=f"unknown config id '{missing}"):
            space.check_ids(less)
    with pytest.raises(InputError, match="config id 'optimizer::lr': optimizer has momentum"):
        space.check_ids(CONFIG | {"optimizer": {"momentum": 0}})


def test_an_id_inside_a_block_that_the_space_puts_in_is_known(write):
    file = write(SPACE.replace("scheduler::gamma", "scheduler::delta"))
    with pytest.raises(InputError, match="'inner' sets the unknown config id 'scheduler::delta'"):
        load_space(file).check_ids(CONFIG)


def test_the_metric_must_be_one_of_the_validation_s(write):
    load_space(write(SPACE.replace("val_mse", "val_psnr"))).check_ids(CONFIG)
    elsewhere = CONFIG | {"key": {"val_error": {}}, "validate": {"key_metric": "@key"}}
    load_space(write(SPACE.replace("val_mse", "val_error"))).check_ids(elsewhere)
    with pytest.raises(InputError, match="'val_ssim' is none of the validation's: val_mse"):
        load_space(write(SPACE.replace("val_mse", "val_ssim"))).check_ids(CONFIG)


def one(entry):
    return f"{HEAD}parameters:\n  a: {{type: categorical, choices: [1, 2], id: x}}\n  b: {entry}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "None is not of type 'object'"),
        ("metric: [", "not valid YAML"),
        ("direction: minimize\nparameters: {}\n", "'metric' is a required"),
        (HEAD, "'parameters' is a required"),
        (HEAD + "parameters: {a: {}}\nmetrc: 1\n", "'metrc' was unexpected"),
        (HEAD.replace("metric", "metrc") + "parameters: {a: {}}\n", "did you mean 'metric'"),
        (one("{type: float, lwo: 0, low: 0, high: 1, id: x}"), "did you mean 'low'"),
        (one("{type: categorical, choice: [1, 2], id: x}"), "did you mean 'choices'"),
        (HEAD + "metric: x\n", "Duplicate key: `metric`"),
        (HEAD + "parameters: {a: {}}\nlocal: cache\n", "local: 'cache' is not of type"),
        (SPACE.replace("minimize", "down"), "direction: 'down' is not one of"),
        (HEAD + "sampler: {seed: 1}\nparameters: {a: {}}\n", "sampler: 'name' is a required"),
        (HEAD + "fixed: 3\nparameters: {a: {}}\n", "fixed: 3 is not of type"),
        (one("3"), "parameters: b: 3 is not of type"),
        (one("{type: real, id: x}"), "b: type: 'real' is not one of"),
        (one("{type: float, low: 0, high: 1, choices: [1], id: x}"), "'choices' was unexpected"),
        (one("{type: float, low: 1e-4, high: 1, id: x}"), "write 1.0e-4"),
        (one("{type: float, high: 1, id: x}"), "b: 'low' is a required"),
        (one("{type: int, low: 0.5, high: 1, id: x}"), "low: 0.5 is not of type 'integer'"),
        (one("{type: int, low: true, high: 3, id: x}"), "low: True is not of type 'integer'"),
        (one("{type: float, low: 1, high: 1, id: x}"), "low must be below high, got 1 and 1"),
        (one("{type: float, low: .nan, high: 1, id: x}"), "low must be below high, got nan"),
        (one("{type: float, low: 0, high: 1, log: true, id: x}"), "low must be above 0"),
        (one("{type: float, low: 0, high: 1, step: 2, id: x}"), "step must be above 0 and at most"),
        (one("{type: float, low: 1, high: 2, step: 1, log: true, id: x}"), "with log true"),
        (one("{type: categorical, choices: [], id: x}"), r"choices: \[\] should be"),
        (one("{type: categorical, choices: [1, true], id: x}"), "choices must differ"),
        (one("{type: categorical, choices: [1, 2], set: {3: {}}}"), "set names 3"),
        (one("{type: categorical, choices: [1, 2], set: {1: {}}}"), "nothing for choice 2"),
        (one("{type: int, low: 1, high: 3, when: {c: 1}, id: x}"), "when names 'c'"),
        (one("{type: int, low: 1, high: 3, when: {b: 1}, id: x}"), "when names 'b'"),
        (one("{type: int, low: 1, high: 3, when: {a: 5}, id: x}"), "5 is none of its choices"),
        (one("{type: int, low: 1, high: 3}"), "parameter 'b' sets nothing"),
        (one("{type: int, low: 1, high: 3, id: z}") + "fixed: {z: 1}", "both set 'z'"),
        (one("{type: int, low: 1, high: 3, id: z}") + "fixed: {'z::y': 1}", "both set 'z::y'"),
        (one("{type: categorical, choices: ['${c}'], id: z}"), "'b' has .*which is no parameter"),
        (one("{type: float, low: 0, high: 1, id: z}").replace("b:", "epochs:"), "a column of"),
        (one("{type: categorical, choices: [1], set: {1: {y: '${c}'}}}"), "which is no parameter"),
        (SPACE.replace("patience: 6", "patience: '${gamma}'"), "not always drawn then"),
        (SPACE.replace("none: {}", "none: {batch: '${gamma}'}"), r"needs schedule in \['step'\]"),
        (SPACE.replace("'${gamma}'", "'${inner}'"), r"needs kind in \['MultiStep'\]"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_it(write, text, message):
    file = write(text)
    with pytest.raises(InputError, match=message) as caught:
        load_space(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.yaml: no search space can be read there"):
        load_space(tmp_path / "gone.yaml")
