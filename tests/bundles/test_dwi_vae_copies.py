"""What configs of the diffusion study repeat of others, since each is complete in itself."""

from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).parents[2] / "bundles" / "dwi_vae" / "configs"
AUTOENCODERS = ("vae", "dae")


def config(name):
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))


def resolved(value, ids):
    """Put an overlay's own values in the place of references to them; leave others alone."""
    if isinstance(value, dict):
        return {key: resolved(part, ids) for key, part in value.items()}
    return ids.get(value[1:], value) if isinstance(value, str) and value[:1] == "@" else value


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_the_study_s_networks_in_evaluation_are_those_of_their_overlays(name):
    overlay, evaluation = config(name), config("evaluate")
    network = resolved(overlay["network_def"], overlay)
    (peer,) = (peer for peer in evaluation["peers"] if peer["output_key"] == name)
    assert peer["network"] == network
    weights = f"@{name}_weights"
    assert peer["ckpt_path"] == weights
    found = evaluation["diagnostics"]["networks"]
    (other,) = (one for one in found if one.get("checkpoint") == weights)
    assert other["network"] == network
    assert evaluation[weights[1:]] == overlay["ckpt_path"]
    told = overlay["with_sigma"]
    assert evaluation["peer_inferer"]["with_sigma"] is told


def test_restoration_knows_the_noise_levels_of_training():
    assert config("inference")["levels"] == config("train")["levels"]


def test_evaluation_simulates_what_training_does():
    for key in ("prior", "noise"):
        assert config("evaluate")[key] == config("train")[key]
