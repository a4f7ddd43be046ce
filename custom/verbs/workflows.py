"""The verbs that run one config of a bundle."""

from __future__ import annotations

from typing import Any

from custom.bundle.arguments import (
    UsageError,
    absolute,
    as_list,
    given,
    need_values,
    no_more,
    usable_device,
)

__all__ = ["evaluate", "prepare", "qc", "restore", "train"]


def prepare(
    study: str, *more: str, source: Any, output: str, config: Any = None, **overrides: Any
) -> None:
    """Prepare a dataset for a bundle from a scanner's or a user's files.

    Args:
        study: Name of a bundle, or path to one.
        more: No further words are accepted.
        source: Folder with the scans; several as "['A','B']".
        output: Folder of the dataset, new or empty.
        config: Overlay after configs/prepare.yaml; may be repeated.
        overrides: Any id of the config, as --split_file FILE.
    """
    no_more(more)
    need_values(source=source, output=output)
    sources = source if isinstance(source, (list, tuple)) else [source]
    overrides |= {"source": [absolute(item) for item in sources], "output_dir": absolute(output)}
    _run(study, "prepare", config, overrides)


def qc(study: str, *more: str, dataset: str, config: Any = None, **overrides: Any) -> None:
    """Measure every slice of a dataset and write contact sheets and a list of exclusions.

    Args:
        study: Name of a bundle, or path to one.
        more: No further words are accepted.
        dataset: Folder of the dataset.
        config: Overlay after configs/qc.yaml; may be repeated.
        overrides: Any id of the config.
    """
    no_more(more)
    need_values(dataset=dataset)
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
    """Train a bundle: configs/train.yaml through MONAI's bundle run.

    Args:
        study: Name of a bundle, or path to one.
        more: No further words are accepted.
        config: Overlay after train.yaml, such as tuned; may be repeated.
        dataset: Folder of the dataset; the demonstration set if left out.
        output: Folder for checkpoints and tracking.
        resume: Continue the last training in the output folder.
        overrides: Any id of the config, as --max_epochs 20 or --train::trainer::amp True.
    """
    no_more(more)
    need_values(dataset=dataset, output=output)
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
    """Evaluate a bundle's model and the classical methods on a labelled split.

    Args:
        study: Name of a bundle, or path to one.
        more: No further words are accepted.
        config: Overlay after evaluate.yaml; give the one the model was trained with.
        dataset: Folder of the dataset; the demonstration set if left out.
        output: Folder for tables, figures and the report.
        checkpoint: Weights to evaluate; the bundle's own if left out.
        overrides: Any id of the config, as --split validation.
    """
    no_more(more)
    need_values(dataset=dataset, output=output, checkpoint=checkpoint)
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
        more: No further words are accepted.
        input: File or folder; several as "['A','B']".
        output: Folder for the restored images.
        config: Overlay after inference.yaml; give the one the model was trained with.
        checkpoint: Weights to use; the bundle's own if left out.
        device: Such as cpu or cuda:0; a GPU if there is one.
        seed: Seed of random parts.
        overwrite: Write over existing results.
        skip_existing: Skip inputs that were restored before.
        overrides: Any id of the config.
    """
    no_more(more)
    need_values(input=input, output=output, checkpoint=checkpoint, device=device)
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
        # MONAI evaluates the text behind $: the configs need the object, not its name.
        overrides["device"] = f"$torch.device({usable_device(device)!r})"
    _run(study, "inference", config, overrides)


def _run(study: str, verb: str, config: Any, overrides: dict[str, Any]) -> None:
    """Run one config of a bundle, with overlays."""
    from custom.bundle.launch import run_bundle
    from custom.bundle.locate import find_bundle

    run_bundle(find_bundle(str(study)), [verb, *as_list(config)], overrides)
