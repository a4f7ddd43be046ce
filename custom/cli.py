"""The command line: ``mri-bundles <verb>``, the same verbs for every study."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from custom.bundle.arguments import (
    absolute,
    as_list,
    gather,
    given,
    usable_device,
)
from custom.errors import InputError

if TYPE_CHECKING:
    from custom.bundle.verification.outcome import CheckResult

__all__ = ["main"]

DEFAULT_STUDY = "micro_mri_denoise"


class UsageError(Exception):
    """The command was typed wrongly."""


def _no_more(words: Sequence[Any]) -> None:
    """Refuse words that mean nothing, before any work is done."""
    if words:
        raise UsageError(f"unexpected {' '.join(map(str, words))!r}: see --help")


def _run(study: str, verb: str, config: Any, overrides: dict[str, Any]) -> None:
    """Run one config of a bundle, with overlays."""
    from custom.bundle.launch import run_bundle
    from custom.bundle.locate import find_bundle

    run_bundle(find_bundle(str(study)), [verb, *as_list(config)], overrides)


def demo(study: str = DEFAULT_STUDY, *more: str) -> None:
    """Show a study from data to report on its demonstration set.

    Makes the data, trains with the plain MONAI command, evaluates, restores an unseen scan and
    prints the table, the figure, the report and how to open MLflow.

    Args:
        study: Name of a bundle, or path to one.
        more: Nothing more is taken.
    """
    _no_more(more)
    from custom.bundle.locate import find_bundle
    from custom.demo.story import tell

    tell(find_bundle(str(study)))


def prepare(
    study: str, *more: str, source: Any, output: str, config: Any = None, **overrides: Any
) -> None:
    """Turn a scanner's or a user's files into a dataset that the study trains on.

    Args:
        study: Name of a bundle, or path to one.
        more: Nothing more is taken.
        source: Folder with the scans; several as "['A','B']".
        output: Folder of the dataset, new or empty.
        config: Overlay after configs/prepare.yaml; may be repeated.
        overrides: Any id of the config, as --split_file FILE.
    """
    _no_more(more)
    sources = source if isinstance(source, (list, tuple)) else [source]
    overrides |= {"source": [absolute(item) for item in sources], "output_dir": absolute(output)}
    _run(study, "prepare", config, overrides)


def qc(study: str, *more: str, dataset: str, config: Any = None, **overrides: Any) -> None:
    """Measure every slice of a dataset and write contact sheets and a list of exclusions.

    Args:
        study: Name of a bundle, or path to one.
        more: Nothing more is taken.
        dataset: Folder of the dataset.
        config: Overlay after configs/qc.yaml; may be repeated.
        overrides: Any id of the config.
    """
    _no_more(more)
    _run(study, "qc", config, overrides | {"dataset_dir": absolute(dataset)})


def train(
    study: str,
    *more: str,
    config: Any = None,
    dataset: str | None = None,
    output: str | None = None,
    resume: bool = False,
    **overrides: Any,
) -> None:
    """Train a study: configs/train.yaml through MONAI's bundle run.

    Args:
        study: Name of a bundle, or path to one.
        more: Nothing more is taken.
        config: Overlay after train.yaml, such as tuned; may be repeated.
        dataset: Folder of the dataset; the demonstration set if left out.
        output: Folder for checkpoints and tracking.
        resume: Go on where the last training in the output folder was stopped.
        overrides: Any id of the config, as --max_epochs 20 or --train::trainer::amp True.
    """
    _no_more(more)
    overrides |= given(
        dataset_dir=dataset and absolute(dataset), output_dir=output and absolute(output)
    )
    _run(study, "train", config, overrides | ({"resume": True} if resume else {}))


def evaluate(
    study: str,
    *more: str,
    config: Any = None,
    dataset: str | None = None,
    output: str | None = None,
    checkpoint: str | None = None,
    **overrides: Any,
) -> None:
    """Measure a study's model and the classical methods on a labelled split.

    Args:
        study: Name of a bundle, or path to one.
        more: Nothing more is taken.
        config: Overlay after evaluate.yaml; give the one the model was trained with.
        dataset: Folder of the dataset; the demonstration set if left out.
        output: Folder for tables, figures and the report.
        checkpoint: Weights to evaluate; the bundle's own if left out.
        overrides: Any id of the config, as --split validation.
    """
    _no_more(more)
    overrides |= given(
        dataset_dir=dataset and absolute(dataset),
        output_dir=output and absolute(output),
        ckpt_path=checkpoint and absolute(checkpoint),
    )
    _run(study, "evaluate", config, overrides)


def restore(
    study: str,
    *more: str,
    input: Any = None,  # noqa: A002 -- the command line's word
    output: str | None = None,
    config: Any = None,
    checkpoint: str | None = None,
    device: str | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    **overrides: Any,
) -> None:
    """Restore images: one file, a list, or a folder.

    Writes <stem>_restored.nii.gz and a JSON sidecar for each input. Exit code 0 if all inputs
    were restored, 1 with one line for each that was not.

    Args:
        study: Name of a bundle, or path to one.
        more: Nothing more is taken.
        input: File or folder; several as "['A','B']".
        output: Folder for the restored images.
        config: Overlay after inference.yaml; give the one the model was trained with.
        checkpoint: Weights to use; the bundle's own if left out.
        device: Such as cpu or cuda:0; a GPU if there is one.
        seed: Seed of random parts.
        overwrite: Write over existing results.
        skip_existing: Leave inputs alone that were restored before.
        overrides: Any id of the config.
    """
    _no_more(more)
    if input is None or output is None:
        raise UsageError("restore needs --input FILE_OR_DIR and --output DIR")
    if overwrite and skip_existing:
        raise UsageError("give --overwrite or --skip-existing, not both")
    inputs = [absolute(item) for item in (input if isinstance(input, (list, tuple)) else [input])]
    overrides |= {
        "input": inputs if len(inputs) > 1 else inputs[0],
        "output_dir": absolute(output),
        "overwrite": overwrite,
        "skip_existing": skip_existing,
    }
    overrides |= given(ckpt_path=checkpoint and absolute(checkpoint), seed=seed)
    if device is not None:
        overrides["device"] = f"$torch.device({usable_device(device)!r})"
    _run(study, "inference", config, overrides)


def verify(study: str, *more: str, only: Any = None, quick: bool = False) -> None:
    """Check bundles: layout, metadata, configs, network, weights and short runs.

    Args:
        study: Name of a bundle, path to one, or all.
        more: Nothing more is taken.
        only: Checks to run: an id, as config.parse, or a group, as run; several as "[run,meta]".
        quick: Leave out the checks that train or restore.
    """
    _no_more(more)
    from custom.bundle.locate import all_bundles, find_bundle
    from custom.bundle.verification.verify import verify_bundle

    bundles = all_bundles() if study == "all" else [find_bundle(str(study))]
    if not bundles:
        raise InputError("no bundle found: run this where there is a folder bundles/, or name one")
    failed = 0
    for bundle in bundles:
        print(bundle.name)  # noqa: T201
        results = verify_bundle(bundle, as_list(only) or None, quick, report=_print_result)
        failed += sum(not result.passed for result in results)
    if failed:
        raise InputError(f"{failed} checks failed")


def _print_result(result: CheckResult) -> None:
    """Print one line on a check as soon as it is done."""
    mark = "ok    " if result.passed else "FAILED"
    line = f"{mark} {result.check_id} ({result.seconds:.1f} s)"
    print(f"{line}: {result.message}" if result.message else line, flush=True)  # noqa: T201


def report(run_or_dir: str, *more: str) -> None:
    """Write the HTML report of an evaluation folder, a training folder, or an MLflow run.

    Args:
        run_or_dir: Output folder of evaluate or train, or the id of an MLflow run.
        more: Nothing more is taken.
    """
    _no_more(more)
    from custom.report.html_report import write_report

    print(write_report(str(run_or_dir)))  # noqa: T201


VERBS = {
    verb.__name__: verb for verb in (demo, prepare, qc, train, evaluate, restore, verify, report)
}


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        words: Arguments; those of the process if left out.

    Raises:
        SystemExit: With 0 for success, 1 for an input or a run that failed, 2 for wrong usage.
    """
    import fire

    arguments = gather(list(sys.argv[1:] if words is None else words))
    traceback = "--traceback" in arguments
    arguments = [word for word in arguments if word != "--traceback"]
    if not arguments or {"--help", "-h"} & set(arguments):
        # Fire hands --help on to verbs that take any flag; after -- it is Fire's own.
        arguments = [*[word for word in arguments[:1] if word in VERBS], "--", "--help"]
    try:
        fire.Fire(VERBS, command=arguments, name="mri-bundles")
    except UsageError as error:
        _stop(str(error), 2)
    except InputError as error:
        _stop(str(error), 1)
    except KeyboardInterrupt:
        _stop("stopped", 130)
    except Exception as error:
        if traceback:
            raise
        reason = str(error).strip().splitlines() or [""]
        _stop(f"{type(error).__name__}: {reason[0]} (--traceback shows where)", 1)


def _stop(message: str, code: int) -> None:
    """Print one line an error, and end."""
    for line in message.splitlines():
        print(f"mri-bundles: {line}", file=sys.stderr)  # noqa: T201
    raise SystemExit(code)
