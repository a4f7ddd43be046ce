"""Search for the settings of a bundle with Optuna: from the space to the written result."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import logging.config
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from custom.bundle.config_ids import check_ids
from custom.bundle.launch import user_error
from custom.bundle.locate import find_config
from custom.errors import InputError
from custom.tuning.results import write_results
from custom.tuning.space import SearchSpace, load_space
from custom.tuning.storage import SearchStorage
from custom.tuning.study import open_study
from custom.tuning.tracking import Tracker
from custom.tuning.trial_queue import TrialQueue, repeat_lost
from custom.tuning.trial_records import failure_reason
from custom.tuning.trial_run import train_trial
from custom.tuning.worker import TrialRunner, Worker

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["SearchRequest", "find_space", "search"]

# Where something lies or runs may differ between the workers of one search.
_LOCAL = {"dataset_dir", "demo_dir", "device", "exclusions", "tracking_uri", "cache_slices"}


@dataclass(frozen=True)
class SearchRequest:
    """What is to be searched, and where.

    Attributes:
        bundle: Folder of the bundle.
        space: File of the search space.
        trials: Trials that the study is to have in the end, of all workers together.
        output: Folder of this worker's trials and of the results.
        storage: URL of an Optuna storage; ``None`` for a file in ``output``.
        overlays: Names of configs that go over train.yaml in every trial.
        overrides: Config ids and their values, for every trial.
        name: Name of the study in the storage; ``None`` makes one of bundle and space.
        seed: Seed of what is drawn, 0 or more.

    Raises:
        ValueError: If ``trials`` is less than 1.
    """

    bundle: Path
    space: Path
    trials: int
    output: Path
    storage: str | None = None
    overlays: Sequence[str] = ()
    overrides: Mapping[str, Any] | None = None
    name: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the number of trials."""
        if self.trials < 1:
            raise ValueError(f"trials must be at least 1, got {self.trials}")

    @property
    def study_name(self) -> str:
        """Name of the study."""
        return self.name or f"{self.bundle.name}-{self.space.stem}"

    @property
    def storage_url(self) -> str:
        """URL of the storage."""
        return self.storage or f"sqlite:///{self.output / 'study.db'}"


def search(request: SearchRequest, run: TrialRunner = train_trial) -> list[Path]:
    """Run a search, or this worker's part of it, and write the result.

    Everything that can be known to be wrong is refused before the first trial. A search that was
    stopped or killed goes on when it is asked for again.

    Args:
        request: What to search.
        run: What runs a trial.

    Returns:
        The files of the result.

    Raises:
        InputError: If something that the user gave cannot be used, or no trial had a value.
        KeyboardInterrupt: If the user stops.
    """
    space = load_space(request.space)
    files = find_config(request.bundle, ["train", *request.overlays])
    content = _content(files)
    given = dict(request.overrides or {})
    _check(content, space, given)
    _log_as(request.bundle)
    request.output.mkdir(parents=True, exist_ok=True)
    tracker = _prepare(content, given, request, space)
    storage = SearchStorage(request.storage_url, on_lost=repeat_lost)
    identity = _identity(content, request)
    study = open_study(storage, request.study_name, space, identity, request.seed)
    tracker.start(study)
    worker = Worker(
        queue=TrialQueue(study, storage, request.trials),
        space=space,
        files=files,
        output=request.output,
        run=run,
        overrides={"bundle_root": str(request.bundle), **given},
        extra=lambda number: _known(tracker.overrides(number), content),
        finished=tracker.finish_trial,
    )
    try:
        worker.work()
    except KeyboardInterrupt:
        tracker.stop()
        raise
    config = _merged(content, given)
    written = write_results(study, space, config, request.output, _command(request))
    tracker.finish(study, written)
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


def _content(files: Sequence[str]) -> dict[str, Any]:
    """Return the merged content of config files."""
    from monai.bundle import ConfigParser

    return dict(ConfigParser.load_config_files(list(files)))


def _check(content: Mapping[str, Any], space: SearchSpace, overrides: Mapping[str, Any]) -> None:
    """Refuse ids that the configs do not have, and those that the space and the user set."""
    check_ids(content, [*overrides, "output_dir"])
    space.check_ids(content)
    for name, owner in space.owners().items():
        if name in overrides and owner != "during_search":
            raise InputError(f"--{name} is set by {owner} of {space.path}: change it there")


def _merged(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with overrides, nothing resolved."""
    from monai.bundle import ConfigParser

    parser = ConfigParser(copy.deepcopy(dict(content)))
    parser.update(dict(overrides))
    merged: dict[str, Any] = parser.get()
    return merged


def _prepare(
    content: Mapping[str, Any],
    overrides: Mapping[str, Any],
    request: SearchRequest,
    space: SearchSpace,
) -> Tracker:
    """See that the data are there, which every trial needs, and return what tracks the search."""
    from monai.bundle import ConfigParser

    own = {"output_dir": str(request.output), "bundle_root": str(request.bundle)}
    parser = ConfigParser(_merged(content, {**overrides, **own}))
    try:
        if "datalist" in content:
            parser.get_parsed_content("datalist")
        known = [key for key in ("tracking_uri", "experiment_name", "use_mlflow") if key in content]
        tracking = {key: parser.get_parsed_content(key) for key in known}
    except Exception as error:
        cause = user_error(error)
        if cause is None:
            raise
        raise cause from error
    return Tracker(
        tracking_uri=str(tracking.get("tracking_uri", "")),
        experiment_name=str(tracking.get("experiment_name", request.bundle.name)),
        folder=request.output,
        settings={"study": request.study_name, "space": space.path.name, "trials": request.trials},
        metric=space.metric,
        enabled=len(known) == 3 and bool(tracking["use_mlflow"]),
    )


def _known(overrides: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return those overrides whose ids the configs have."""
    return {name: value for name, value in overrides.items() if name in content}


def _identity(content: Mapping[str, Any], request: SearchRequest) -> dict[str, Any]:
    """Return what must be the same for all workers of a search."""
    text = json.dumps(dict(content), default=str)
    given = request.overrides or {}
    return {
        "bundle": request.bundle.name,
        "configs": hashlib.sha256(text.encode()).hexdigest(),
        "overrides": {name: value for name, value in given.items() if name not in _LOCAL},
    }


def _log_as(bundle: Path) -> None:
    """Log as the bundle's trainings do, from before the first of them."""
    file = bundle / "configs" / "logging.conf"
    if file.is_file():
        logging.config.fileConfig(file, disable_existing_loggers=False)


def _command(request: SearchRequest) -> str:
    """Return the command that trains with the result."""
    overlays = [*request.overlays, str(request.output / "best.yaml")]
    return f"mri-bundles train {request.bundle.name} --config {' '.join(overlays)}"


def _refuse_empty(study: Study, request: SearchRequest) -> None:
    """Say so if no trial had a value."""
    trials = study.get_trials(deepcopy=False)
    if any(trial.state == TrialState.COMPLETE for trial in trials):
        return
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    first = f"; trial {failed[0].number}: {failure_reason(failed[0])}" if failed else ""
    raise InputError(
        f"none of {len(trials)} trials was completed{first}: see {request.output / 'trials.csv'}"
    )
