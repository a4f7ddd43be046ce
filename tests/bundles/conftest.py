"""Bundles of this repository and copies of them, shared by the tests of one session."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from custom.bundle.verification.bundle_folder import METADATA, BundleFolder
from custom.bundle.verification.checks_network import WEIGHTS, checkpoint
from custom.data.atomic import sha256_of

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
# The bundle whose copies are broken; any one will do, since all pass the same checks.
MODEL = BUNDLES / "micro_mri_denoise"


def pytest_generate_tests(metafunc):
    if "bundle_root" in metafunc.fixturenames:
        roots = sorted(path.parents[1] for path in BUNDLES.glob(f"*/{METADATA}"))
        metafunc.parametrize("bundle_root", roots, ids=lambda root: root.name, scope="session")


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
def bundle(bundle_root, tmp_path_factory, demo_dirs):
    """A bundle of the repository with a workspace for the session."""
    workspace = tmp_path_factory.mktemp(bundle_root.name)
    return BundleFolder(bundle_root, workspace, demo_dirs(bundle_root.name))


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
