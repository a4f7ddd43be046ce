"""Bundles of this repository and copies of them, shared by the tests of one session."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from custom.bundle.verification.bundle_folder import METADATA, WEIGHTS, BundleFolder
from custom.bundle.verification.checks_network import checkpoint
from custom.bundle.verification.verify import CHECKS
from custom.files.atomic import sha256_of

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
# The bundle whose copies are broken; any one will do, since all pass the same checks.
MODEL = BUNDLES / "micro_mri_denoise"
# Checks that train or evaluate in full; those of further models are slow tests.
SLOW = ("run.resume", "run.evaluate")


def pytest_generate_tests(metafunc):
    """Ask every check of every bundle, and of its further models what concerns those."""
    if "model" in metafunc.fixturenames:
        roots = sorted(path.parents[1] for path in BUNDLES.glob(f"*/{METADATA}"))
        models = [(root, variant) for root in roots for variant in (None, *variants_of(root))]
        asked = [
            pytest.param(
                (root, variant),
                check,
                id=f"{'+'.join(filter(None, (root.name, variant)))}-{check.check_id}",
                marks=[pytest.mark.slow] if variant and check.check_id in SLOW else [],
            )
            for root, variant in models
            for check in CHECKS
            if variant is None or check.of_variants
        ]
        metafunc.parametrize(("model", "check"), asked, scope="session")


def variants_of(root):
    """Return the names of the further models of a bundle."""
    return json.loads((root / METADATA).read_text()).get("variants", {})


@pytest.fixture(autouse=True)
def _restore_random_state():
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.fixture(scope="session")
def demo_dirs(tmp_path_factory):
    """One folder a study for its small demonstration set, made once and shared by all copies."""
    base = tmp_path_factory.mktemp("demo")
    return lambda name: base / name


@pytest.fixture(scope="session")
def bundle(model, tmp_path_factory, demo_dirs):
    """A bundle of the repository, or a further model of it, with a workspace for the session."""
    root, variant = model
    workspace = tmp_path_factory.mktemp(root.name)
    return BundleFolder(root, workspace, demo_dirs(root.name), variant)


@pytest.fixture(scope="session")
def sound_copy(tmp_path_factory):
    """A copy of a bundle, with untrained weights if it ships none."""
    copy = tmp_path_factory.mktemp("sound") / MODEL.name
    for path in BundleFolder(MODEL, copy.parent).files:
        target = copy / path.relative_to(MODEL)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    weights = copy / WEIGHTS
    if not weights.is_file():
        weights.parent.mkdir(exist_ok=True)
        shutil.copy2(checkpoint(BundleFolder(copy, copy.parent)), weights)
    metadata = json.loads((copy / METADATA).read_text())
    metadata.setdefault("weights", {})["sha256"] = sha256_of(weights)
    (copy / METADATA).write_text(json.dumps(metadata))
    return copy


@pytest.fixture
def copy(sound_copy, tmp_path):
    """A fresh copy that a test may break."""
    return shutil.copytree(sound_copy, tmp_path / sound_copy.name)
