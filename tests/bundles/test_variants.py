"""A further model of a bundle is checked as the first one, and its faults are named as its own."""

import json

import pytest
from bundle_mutations import edit

from custom.bundle.verification.bundle_folder import METADATA, BundleFolder, is_search_space
from custom.bundle.verification.outcome import CheckFailed
from custom.bundle.verification.verify import verify_bundle

VARIANT = "apddm"


def complaints(bundle, *only):
    results = verify_bundle(bundle, only=only)
    return {result.check_id: result.message for result in results if not result.passed}


def test_the_unbroken_variant_passes_what_needs_no_run(copy):
    assert complaints(copy, "net", "weights", "meta.schema", "config.zoo_key_names") == {}


def test_a_variant_has_the_overlay_s_parts_and_its_own_weights(copy, tmp_path):
    first, variant = (BundleFolder(copy, tmp_path, variant=name) for name in (None, VARIANT))
    assert first.variants == [VARIANT]
    assert variant.config("train")["network_def"] != first.config("train")["network_def"]
    assert variant.config("train")["train"] == first.config("train")["train"]
    assert variant.weights != first.weights
    assert list(variant.metadata["network_data_format"]["inputs"]) == ["image", "position"]


def change_weights(root):
    with (root / "models" / f"{VARIANT}.pt").open("ab") as file:
        file.write(b"changed")


def change_residuals(root):
    (root / "models" / "residuals.zarr.zip").write_bytes(b"changed")


def widen_network(root):
    edit(root, f"{VARIANT}.yaml")(lambda config: config["network_def"].update(features=[8, 16, 32]))


def declare_two_channels(root):
    def change(content):
        tensor = content[f"{VARIANT}_data_format"]["outputs"]["pred"]
        tensor.update(num_channels=2, channel_def={"0": "a", "1": "b"})

    edit(root, "metadata.json")(change)


def turn_training_range_around(root):
    def change(content):
        stated = content["training_range"] | {"matrix": {"slices": [64, 32]}}
        content["variants"][VARIANT]["training_range"] = stated

    edit(root, "metadata.json")(change)


@pytest.mark.parametrize(
    ("break_it", "check", "says"),
    [
        (change_weights, "weights.hash", f"models/{VARIANT}.pt"),
        (change_residuals, "weights.hash", "residuals.zarr.zip"),
        (widen_network, "weights.load", "does not fit network_def"),
        (declare_two_channels, "net.in_out", "output 'pred'"),
        (turn_training_range_around, "meta.training_range", "matrix.slices must be"),
    ],
)
def test_its_faults_are_its_own(copy, break_it, check, says):
    break_it(copy)
    found = complaints(copy, check)
    assert list(found) == [f"{VARIANT}: {check}"]
    assert says in found[f"{VARIANT}: {check}"]


def test_a_variant_without_overlay_or_format_is_named(copy, tmp_path):
    content = json.loads((copy / METADATA).read_text())
    content["variants"]["other"] = {}
    (copy / METADATA).write_text(json.dumps(content))
    other = BundleFolder(copy, tmp_path, variant="other")
    with pytest.raises(CheckFailed, match="other_data_format"):
        _ = other.metadata
    with pytest.raises(CheckFailed, match=r"configs/other\.yaml"):
        _ = other.configs


def test_search_spaces_are_no_configs(copy, tmp_path):
    names = set(BundleFolder(copy, tmp_path).configs)
    spaces = {path.stem for path in (copy / "configs").glob("*.yaml") if is_search_space(path)}
    assert spaces == {"tune", "tune_demo"}
    assert not names & spaces
