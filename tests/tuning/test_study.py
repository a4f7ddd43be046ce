import re
import sys
import warnings

import optuna
import pytest
import sqlalchemy

from custom.errors import InputError
from custom.tuning import storage as storage_module
from custom.tuning.space_file import load_space
from custom.tuning.storage import SearchStorage
from custom.tuning.study import make_pruner, make_sampler, open_study

SPACE = """
metric: val_mse
direction: minimize
sampler: {name: tpe, n_startup_trials: 3}
parameters:
  x: {type: float, low: -5.0, high: 5.0, id: x}
  kind: {type: categorical, choices: [a, b], id: kind}
"""


@pytest.fixture
def space(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    return load_space(tmp_path / "space.yaml")


def run(study, space, count):
    for _ in range(count):
        trial = study.ask()
        drawn = space.draw(trial)
        study.tell(trial, (drawn["x"] - 1) ** 2 + (drawn["kind"] == "a"))
    return [trial.params for trial in study.get_trials()]


def new_study(options, seed=0):
    return optuna.create_study(sampler=make_sampler(options, seed))


@pytest.mark.parametrize(
    "options",
    [
        {"name": "random"},
        {"name": "tpe", "n_startup_trials": 3},
        {"name": "tpe", "n_startup_trials": 3, "multivariate": True, "group": True},
    ],
)
def test_a_search_taken_up_draws_what_it_would_have_drawn_in_one_go(options, space):
    whole = run(new_study(options), space, 12)
    assert len({tuple(params.items()) for params in whole}) == 12
    first = new_study(options)
    run(first, space, 5)
    second = new_study(options)
    second.add_trials(first.get_trials())
    assert run(second, space, 7) == whole
    assert run(new_study(options, seed=1), space, 1) != whole[:1]


def test_a_repeated_trial_moves_no_later_draw(space):
    whole = run(new_study({"name": "tpe", "n_startup_trials": 3}), space, 8)
    study = new_study({"name": "tpe", "n_startup_trials": 3})
    run(study, space, 4)
    lost = study.ask()
    space.draw(lost)
    study.tell(lost, state=optuna.trial.TrialState.FAIL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.get_trials()[-1])
    drawn = run(study, space, 4)
    assert drawn[:4] + drawn[5:] == whole


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (make_pruner, {"name": "best"}, "pruner 'best' is unknown: take one of halving, median"),
        (make_pruner, {"name": "median", "warmup": 3}, "pruner 'median': .*'warmup'"),
        (make_pruner, {"name": "median", "n_warmup_steps": -3}, "pruner 'median'"),
        (lambda o: make_sampler(o, 0), {"name": "grid"}, "sampler 'grid' is unknown"),
        (lambda o: make_sampler(o, 0), {"name": "tpe", "x": 1}, "sampler 'tpe': .*'x'"),
        (lambda o: make_sampler(o, 0), {"name": "tpe", "seed": 1}, "the seed is that of"),
    ],
)
def test_wrong_strategies_are_named(make, options, message):
    with pytest.raises(InputError, match=message):
        make(options)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        make_sampler({"name": "random"}, -1)


def test_a_study_is_taken_up_only_with_what_it_was_begun_with(tmp_path, space):
    url = f"sqlite:///{tmp_path / 'new' / 'study.db'}"
    begun = open_study(SearchStorage(url), "s", space, {"bundle": "one"})
    begun.add_trial(optuna.create_trial(value=1.0))
    again = open_study(SearchStorage(url), "s", space, {"bundle": "one"})
    assert len(again.trials) == 1
    with pytest.raises(InputError, match=r"'s' in sqlite:.*was begun with another bundle: go on"):
        open_study(SearchStorage(url), "s", space, {"bundle": "two"})
    with pytest.raises(InputError, match="another seed"):
        open_study(SearchStorage(url), "s", space, {"bundle": "one"}, seed=1)
    (tmp_path / "space.yaml").write_text(SPACE.replace("5.0", "6.0"))
    wider = load_space(tmp_path / "space.yaml")
    with pytest.raises(InputError, match="another space and bundle"):
        open_study(SearchStorage(url), "s", wider, {"bundle": "two"})
    assert not open_study(SearchStorage(url), "t", wider, {"bundle": "two"}).trials


def test_a_study_of_somebody_else_is_not_taken_over(tmp_path, space):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    foreign = optuna.create_study(storage=url, study_name="s")
    foreign.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(InputError, match="was begun with another space"):
        open_study(SearchStorage(url), "s", space, {})


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "redis://localhost",
        "nosql://x/y",
        "sqlite:////proc/none/study.db?password=secret",
        "postgresql://me:secret@127.0.0.1:9/x",
        "postgresql://me:secret@of/mine@127.0.0.1:9/x",
        "two words://me:secret@127.0.0.1/x",
    ],
)
def test_a_storage_that_cannot_be_reached_is_one_line_without_password(url):
    with pytest.raises(InputError, match="cannot be used") as caught:
        SearchStorage(url)
    assert "\n" not in str(caught.value)
    assert not {"secret", "mine"} & set(re.split(r"\W", str(caught.value)))


def test_a_missing_driver_is_named(monkeypatch):
    for name in ("psycopg", "psycopg2"):  # what SQLAlchemy takes depends on its version
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        InputError, match=r"driver is not installed: pip install 'psycopg\[binary\]'"
    ):
        SearchStorage("postgresql://127.0.0.1:9/x")


@pytest.mark.parametrize(
    "clash",
    [
        sqlalchemy.exc.IntegrityError("", {}, Exception("duplicate key value violates unique ...")),
        sqlalchemy.exc.ProgrammingError("", {}, Exception('relation "studies" already exists')),
        sqlalchemy.exc.OperationalError("", {}, Exception("(1050, Table 'x' already exists)")),
    ],
)
def test_workers_that_make_the_tables_at_once_try_again(tmp_path, monkeypatch, clash):
    """PostgreSQL, PostgreSQL and MySQL, where 15 of 24 workers were lost."""
    real, clashes = storage_module.RDBStorage, [clash, clash]

    def make(*arguments, **options):
        if clashes:
            raise clashes.pop()
        return real(*arguments, **options)

    monkeypatch.setattr(storage_module, "RDBStorage", make)
    monkeypatch.setattr(storage_module.time, "sleep", lambda _: None)
    SearchStorage(f"sqlite:///{tmp_path / 'study.db'}")
    monkeypatch.setattr(storage_module, "RDBStorage", lambda *_, **__: make.fail())
    with pytest.raises(InputError, match="no attribute"):  # anything else is no clash
        SearchStorage(f"sqlite:///{tmp_path / 'study.db'}")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "study.db").write_text("Not a database, but long enough to be read as one." * 50)
    with pytest.raises(InputError, match=r"study\.db cannot be used"):
        SearchStorage(f"sqlite:///{tmp_path / 'study.db'}")
