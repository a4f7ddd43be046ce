"""The verbs that run one config of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from custom.bundle.arguments import UsageError, absolute, given, path_setting
from custom.bundle.typed_values import device_setting

__all__ = ["evaluate", "prepare", "qc", "restore", "train"]


def prepare(
    study: str,
    *,
    source: Sequence[str],
    output: str,
    config: Sequence[str] = (),
    **overrides: Any,
) -> None:
    """Prepare a dataset for a bundle from a scanner's or a user's files.

    Args:
        study: Name of a bundle, or path to one.
        source: Folder with the scans; several as A B.
        output: Folder of the dataset, new or empty.
        config: Overlay after configs/prepare.yaml; may be repeated.
        overrides: Any id of the config, as --split_file FILE.
    """
    overrides |= {"source": path_setting(source), "output_dir": path_setting(output)}
    _run(study, "prepare", config, overrides)


def qc(study: str, *, dataset: str, config: Sequence[str] = (), **overrides: Any) -> None:
    """Measure every slice of a dataset and write contact sheets and a list of exclusions.

    Args:
        study: Name of a bundle, or path to one.
        dataset: Folder of the dataset.
        config: Overlay after configs/qc.yaml; may be repeated.
        overrides: Any id of the config.
    """
    _run(study, "qc", config, overrides | {"dataset_dir": path_setting(dataset)})


def train(
    study: str,
    *,
    config: Sequence[str] = (),
    dataset: str | None = None,
    output: str | None = None,
    resume: bool = False,
    **overrides: Any,
) -> None:
    """Train a bundle: configs/train.yaml through MONAI's bundle run.

    Args:
        study: Name of a bundle, or path to one.
        config: Overlay after train.yaml, such as tuned; may be repeated.
        dataset: Folder of the dataset; the demonstration set if left out.
        output: Folder for checkpoints and tracking.
        resume: Continue the last training in the output folder.
        overrides: Any id of the config, as --max_epochs 20 or --train::trainer::amp True.
    """
    overrides |= given(dataset_dir=path_setting(dataset), output_dir=path_setting(output))
    _run(study, "train", config, overrides | ({"resume": True} if resume else {}))


def evaluate(
    study: str,
    *,
    config: Sequence[str] = (),
    dataset: str | None = None,
    output: str | None = None,
    checkpoint: str | None = None,
    **overrides: Any,
) -> None:
    """Evaluate a bundle's model and the classical methods on a labelled split.

    Args:
        study: Name of a bundle, or path to one.
        config: Overlay after evaluate.yaml; give the one the model was trained with.
        dataset: Folder of the dataset; the demonstration set if left out.
        output: Folder for tables, figures and the report.
        checkpoint: Weights to evaluate; the bundle's own if left out.
        overrides: Any id of the config, as --split validation.
    """
    overrides |= given(
        dataset_dir=path_setting(dataset),
        output_dir=path_setting(output),
        ckpt_path=path_setting(checkpoint),
    )
    _run(study, "evaluate", config, overrides)


def restore(
    study: str,
    *,
    input: Sequence[str],  # noqa: A002 -- the command line's word
    output: str,
    config: Sequence[str] = (),
    checkpoint: str | None = None,
    sha256: str | None = None,
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
        input: File or folder; several as A B.
        output: Folder for the restored images.
        config: Overlay after inference.yaml; give the one the model was trained with.
        checkpoint: Weights to use; the bundle's own if left out.
        sha256: SHA-256 that these weights must have; checked before anything of them is read.
        device: Such as cpu or cuda:0; a GPU if there is one.
        seed: Seed of random parts.
        overwrite: Write over existing results.
        skip_existing: Skip inputs that were restored before.
        overrides: Any id of the config.
    """
    if overwrite and skip_existing:
        raise UsageError("give --overwrite or --skip-existing, not both")
    if sha256 is not None:
        from custom.files.atomic import check_sha256

        if checkpoint is None:
            raise UsageError("--sha256 is that of --checkpoint FILE: give both")
        check_sha256(absolute(checkpoint), sha256)
    overrides |= {
        "input": path_setting(input),
        "output_dir": path_setting(output),
        "overwrite": overwrite,
        "skip_existing": skip_existing,
    }
    overrides |= given(
        ckpt_path=path_setting(checkpoint), seed=seed, device=device and device_setting(device)
    )
    _run(study, "inference", config, overrides)


def _run(study: str, verb: str, config: Sequence[str], overrides: dict[str, Any]) -> None:
    """Run one config of a bundle, with overlays."""
    from custom.bundle.launch import run_bundle
    from custom.bundle.locate import find_bundle

    run_bundle(find_bundle(study), [verb, *config], overrides)
