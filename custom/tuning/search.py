"""Search for the settings of a bundle with Optuna: from the space to the written result."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import logging.config
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai.bundle import ConfigParser
from optuna.trial import TrialState

from custom.bundle.config_check import read_configs
from custom.bundle.config_ids import check_ids, holds
from custom.bundle.launch import stop_on_terminate, users_errors
from custom.bundle.locate import find_config
from custom.bundle.typed_values import as_data, read_words
from custom.errors import InputError
from custom.files.database_url import sqlite_url
from custom.report.html_report import SEARCH_SUMMARY
from custom.tuning.results import write_results
from custom.tuning.space import SearchSpace
from custom.tuning.space_file import load_space
from custom.tuning.storage import SearchStorage, failure_reason
from custom.tuning.study import open_study
from custom.tuning.tracking import Tracker
from custom.tuning.trial_run import train_trial
from custom.tuning.worker import TrialRunner, Worker

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["SearchRequest", "find_space", "search"]

# Config ids of paths and devices, which may differ between the workers of one search.
_LOCAL = {"dataset_dir", "demo_dir", "device", "tracking_uri"}
# Ids that a user of `train` may override, but that have no effect here.
_NOT_FOR_SEARCHES = {
    "output_dir": "give --output",
    "resume": "the same command goes on with a search",
    "run_name": "each trial has its own",
    "parent_run": "it is the search's",
    "run_tags": "each trial has its own",
}


@dataclass(frozen=True)
class SearchRequest:
    """A request for a search.

    Attributes:
        bundle: Folder of the bundle.
        space: File of the search space.
        trials: Number of trials of the whole search, of all workers together.
        output: Folder of this worker's trials and of the results.
        storage: URL of an Optuna storage; ``None`` for a file in ``output``.
        overlays: Names of overlays after train.yaml in every trial.
        overrides: Config ids and their values, for every trial.
        name: Name of the Optuna study in the storage; ``None``: bundle and space.
        seed: Seed of the sampler, 0 or more.

    Raises:
        ValueError: If ``trials`` is less than 1.
    """

    bundle: Path
    space: Path
    trials: int
    output: Path
    storage: str | None = None
    overlays: Sequence[str] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the number of trials."""
        if self.trials < 1:
            raise ValueError(f"trials must be at least 1, got {self.trials}")

    @property
    def study_name(self) -> str:
        """Name of the Optuna study."""
        return self.name or f"{self.bundle.name}-{self.space.stem}"

    @property
    def storage_url(self) -> str:
        """URL of the storage."""
        return self.storage or sqlite_url(self.output / "study.db")


def search(request: SearchRequest, run: TrialRunner = train_trial) -> list[Path]:
    """Run a search, or this worker's part of it, and write the result.

    Every detectable fault is refused before the first trial. A search that was stopped or killed
    continues when it is requested again.

    Args:
        request: The request.
        run: Runs a trial.

    Returns:
        The files of the result.

    Raises:
        InputError: If the user's input cannot be used, or no trial had a value.
        KeyboardInterrupt: If the user stops; with the signal's number if that was SIGTERM.
    """
    space = load_space(request.space)
    _refuse_other_search(request)
    files = find_config(request.bundle, ["train", *request.overlays])
    content = read_configs(files)
    _check(content, space, request.overrides)
    request = replace(request, overrides=read_words(content, request.overrides))
    given = {"bundle_root": as_data(str(request.bundle)), **request.overrides}
    _set_up(request)
    known = _resolved(content, {**given, "output_dir": as_data(str(request.output))})
    tracker = _tracker(known, request, space)
    storage = SearchStorage(request.storage_url)
    identity = _identity(content, known, request, space)
    study = open_study(storage, request.study_name, space, identity, request.seed)
    tracker.start(study)
    worker = Worker(
        *(study, storage, request.trials, space, files, request.output, run, given),
        # MONAI adds an unknown id silently, so only those that the configs have are given.
        extra=lambda number: {k: v for k, v in tracker.overrides(number).items() if k in content},
        finished=tracker.finish_trial,
    )
    overlays = shlex.join([*request.overlays, str(request.output / "best.yaml")])
    command = f"mri-bundles train {request.bundle.name} --config {overlays}"
    try:
        with stop_on_terminate():
            worker.work()
            config = _merged(content, request.overrides)
            written = write_results(study, space, config, request.output, command)
    except BaseException as error:
        tracker.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    tracker.end("FINISHED", written)
    # After the results, since trials.csv has the reasons.
    _refuse_empty(study, request)
    return written


def find_space(bundle: Path, name: str) -> Path:
    """Return the file of a search space.

    Args:
        bundle: Folder of the bundle.
        name: Name of a file in ``configs/``, with or without ``.yaml``, or a path, also one
            inside the bundle.

    Raises:
        InputError: If there is no such file.
    """
    inside = bundle / name
    return inside if inside.is_file() else Path(find_config(bundle, [name])[0])


def _set_up(request: SearchRequest) -> None:
    """Make the output folder, and log as the bundle's trainings do."""
    file = request.bundle / "configs" / "logging.conf"
    if file.is_file():
        logging.config.fileConfig(file, disable_existing_loggers=False)
    try:
        request.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {request.output} cannot be made ({error.strerror})") from error


def _refuse_other_search(request: SearchRequest) -> None:
    """Refuse a folder with the results of another search, which this one would replace."""
    file = request.output / SEARCH_SUMMARY
    if not file.is_file():
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["study"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged: give another --output, or remove it") from error
    if found != request.study_name:
        raise InputError(
            f"{request.output} holds the results of the search {found!r}, which "
            f"{request.study_name!r} would replace: give another --output"
        )


def _check(content: Mapping[str, Any], space: SearchSpace, overrides: Mapping[str, Any]) -> None:
    """Refuse ids that the configs do not have, and those that the space and the user set."""
    for name, instead in _NOT_FOR_SEARCHES.items():
        if name in overrides:
            raise InputError(f"--{name} is not for a search: {instead}")
    check_ids(content, [*overrides, "output_dir"])
    space.check_ids(content)
    for name, owner in space.owners().items():
        for given in overrides:
            # Either id may lie within the other. What only saves time the user may change.
            if owner != "during_search" and (holds(name, given) or holds(given, name)):
                raise InputError(f"--{given} is set by {owner} of {space.path}: change it there")


def _merged(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with overrides, unresolved."""
    parser = ConfigParser(copy.deepcopy(dict(content)))
    parser.update(dict(overrides))
    merged: dict[str, Any] = parser.get()
    return merged


def _resolved(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return data and tracking settings of the configs, as far as they have them.

    Resolving them verifies that the data, which every trial needs, exist.
    """
    parser = ConfigParser(_merged(content, overrides))
    wanted = ("dataset_dir", "datalist", "tracking_uri", "experiment_name", "use_mlflow")
    with users_errors():
        return {key: parser.get_parsed_content(key) for key in wanted if key in content}


def _tracker(known: Mapping[str, Any], request: SearchRequest, space: SearchSpace) -> Tracker:
    """Return the tracker of the search; without tracking settings nothing is tracked."""
    return Tracker(
        tracking_uri=str(known.get("tracking_uri", "")),
        experiment_name=str(known.get("experiment_name", request.bundle.name)),
        folder=request.output,
        settings={"study": request.study_name, "space": space.path.name, "trials": request.trials},
        metric=space.metric,
        enabled={"tracking_uri", "experiment_name"} <= set(known) and bool(known.get("use_mlflow")),
    )


def _identity(
    content: Mapping[str, Any], known: Mapping[str, Any], request: SearchRequest, space: SearchSpace
) -> dict[str, Any]:
    """Return the properties that must be the same for all workers of a search."""
    local = _LOCAL.union(space.local)
    # Which may be another one on each machine.
    place = str(Path(str(known["dataset_dir"])).resolve()) if "dataset_dir" in known else ""
    return {
        "bundle": request.bundle.name,
        "configs": _hash(dict(content)),
        "dataset": _hash(known.get("datalist"), without=place),
        "overrides": {key: value for key, value in request.overrides.items() if key not in local},
    }


def _hash(content: Any, without: str = "") -> str:
    """Return the hash of a plain value, without a text that may occur in it."""
    text = json.dumps(content, default=str, ensure_ascii=False)
    return hashlib.sha256((text.replace(without, "") if without else text).encode()).hexdigest()


def _refuse_empty(study: Study, request: SearchRequest) -> None:
    """Raise if no trial had a value."""
    trials = study.get_trials(deepcopy=False)
    if any(trial.state == TrialState.COMPLETE for trial in trials):
        return
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    first = f"; trial {failed[0].number}: {failure_reason(failed[0])}" if failed else ""
    raise InputError(
        f"none of {len(trials)} trials was completed{first}: see {request.output / 'trials.csv'}"
    )
