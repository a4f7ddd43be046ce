"""Run a bundle's workflows on its small demonstration set, outside the bundle's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from custom.bundle.launch import run_bundle
from custom.bundle.typed_values import as_data
from custom.bundle.verification.bundle_folder import GENERATED, METADATA, TINY, BundleFolder
from custom.bundle.verification.checks_network import checkpoint, open_configs
from custom.bundle.verification.outcome import CheckFailed

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow

__all__ = ["forget_seeds", "open_workflow", "run", "tiny_set"]


def tiny_set(bundle: BundleFolder) -> tuple[Path, Path]:
    """Return the smallest demonstration set, made on first use, and an image to restore.

    Returns:
        Its ``dataset_dir``, and the degraded image of its first test item, a NIfTI file.

    Raises:
        CheckFailed: If the bundle has no ``demo``, or the set has no test item.
    """
    if "demo" not in bundle.config("train"):
        raise CheckFailed("configs/train.yaml has no id 'demo': the small demonstration set")
    parser = open_configs(bundle, "train", *_light("train"))
    folder = Path(parser.get_parsed_content("demo").ensure())
    items = json.loads((folder / "datalist.json").read_text(encoding="utf-8"))["test"]
    if not items:
        raise CheckFailed("the small demonstration set has no test item")
    return folder, folder / items[0]["image"]


def _overrides(bundle: BundleFolder, name: str, output: Path, **ids: Any) -> dict[str, Any]:
    """Return the overrides that let a workflow run on the small set; ``ids`` take precedence."""
    config = bundle.config(name)
    dataset_dir, image = tiny_set(bundle)
    paths = {"dataset_dir": dataset_dir, "output_dir": output, "demo_dir": bundle.demo_dir}
    paths |= {"ckpt_path": checkpoint(bundle), "input": image}
    values = {key: as_data(str(path)) for key, path in paths.items()} | {"demo_size": TINY}
    return {key: value for key, value in values.items() if key in config} | ids


def _light(name: str) -> list[str]:
    """Return the overlay that makes a workflow short.

    Restoring needs none, and its sidecars have the hash of the whole config in them: what is only
    of tests stays out of it.
    """
    return [] if name == "inference" else [TINY]


def run(bundle: BundleFolder, name: str, output: Path, **ids: Any) -> None:
    """Run one workflow to its end, as the command line does.

    Raises:
        CheckFailed: If the run wrote into the bundle's folder.
        InputError: As the run itself.
    """
    before = _state(bundle)
    names = [*bundle.run_names(name), *_light(name)]
    run_bundle(bundle.root, names, _overrides(bundle, name, output, **ids))
    changed = sorted(before.symmetric_difference(_state(bundle)))
    if changed:
        raise CheckFailed(f"running {name}.yaml changed {changed[0][0]} in the bundle's folder")


def open_workflow(
    bundle: BundleFolder, name: str, output: Path, overlays: Sequence[str] = (), **ids: Any
) -> ConfigWorkflow:
    """Return an initialised workflow of MONAI's, to look at its parts.

    ``train`` is a training, all others are inference. Overlays and ids are laid over its config.
    """
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(
        config_file=bundle.run_files(name, *overlays, *_light(name)),
        meta_file=str(bundle.root / METADATA),
        logging_file=False,
        workflow_type="train" if name == "train" else "infer",
        bundle_root=as_data(str(bundle.root)),
        **_overrides(bundle, name, output, **ids),
    )
    workflow.initialize()
    return workflow


def forget_seeds() -> None:
    """Make all random numbers unpredictable, as they are at the start of a process."""
    import torch
    from monai.utils import set_determinism

    set_determinism(seed=None)
    torch.seed()
    np.random.seed(None)  # noqa: NPY002  (the generator that MONAI's transforms draw from)


def _state(bundle: BundleFolder) -> set[tuple[str, int, int]]:
    """Return name, size and time of change of the bundle's files.

    Of the output of its own runs only the names of the outermost folders count: another training
    that runs there at the same time must not fail the check.
    """
    own = bundle.list_files()
    foreign = [entry for name in GENERATED for entry in (bundle.root / name).glob("*")]
    return {
        (path.relative_to(bundle.root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in own
    } | {(path.relative_to(bundle.root).as_posix(), 0, 0) for path in foreign}
