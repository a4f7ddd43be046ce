"""What configs of the diffusion study repeat of others, since each is complete in itself."""

from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).parents[2] / "bundles" / "dwi_vae" / "configs"
AUTOENCODERS = {"vae": ("vae",), "dae": ("vae", "dae")}


def config(name):
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))


def resolved(value, ids):
    """Put an overlay's own values in the place of references to them; leave others alone."""
    if isinstance(value, dict):
        return {key: resolved(part, ids) for key, part in value.items()}
    return ids.get(value[1:], value) if isinstance(value, str) and value[:1] == "@" else value


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_the_paper_s_networks_in_evaluation_are_those_of_their_overlays(name):
    evaluation = config("evaluate")
    overlay = {key: value for one in AUTOENCODERS[name] for key, value in config(one).items()}
    assert evaluation[f"{name}_network"] == resolved(overlay["network_def"], overlay)
    assert evaluation[f"{name}_weights"] == overlay["ckpt_path"]
    used = {"network": f"@{name}_network"}
    (peer,) = (peer for peer in evaluation["peers"] if peer["output_key"] == name)
    assert (used | {"ckpt_path": f"@{name}_weights"}).items() <= peer.items()
    found = evaluation["diagnostics"]["networks"]
    wanted = (used | {"checkpoint": f"@{name}_weights"}).items()
    assert any(wanted <= one.items() for one in found)
    assert evaluation["peer_inferer"]["with_sigma"] is overlay["with_sigma"]


def test_restoration_knows_the_noise_levels_of_training():
    assert config("inference")["levels"] == config("train")["levels"]


def test_evaluation_simulates_what_training_does():
    for key in ("prior", "noise"):
        assert config("evaluate")[key] == config("train")[key]
