import json

import pytest
import yaml
from small_evaluation import write_volume_evaluation

from benchmarks import gan_page, publish_gan, summary_tables


@pytest.fixture
def summary(tmp_path):
    return json.loads((write_volume_evaluation(tmp_path) / "summary.json").read_text())


def write_training(folder, **more):
    """A run whose config refers to other ids, as the published overlays do."""
    folder.mkdir(parents=True)
    network = {"_target_": "Net", "channels": "@generator_width", "scale": "@scale", "convs": 4}
    config = {
        "scale": 2,
        "degradation": "@kind",
        "kind": "linear",
        "generator_width": "@width",
        "width": 16,
        "network_def": network,
        "extractor_def": {"_target_": "Features", "widths": [8, 16, 32, 64]},
        "critic_def": {"_target_": "a.b.WaveletCritic"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config | more))
    (folder / "metrics.csv").write_text(
        "epoch,train_critic_loss,train_adversarial_loss,train_pixel_loss,seconds\n"
        "1,0.5,0.9,0.2,60\n2,0.69,0.701,0.1,120\n"
    )


def test_tables_by_hand(summary):
    lines = summary_tables.group_table(summary, "noise_level", "psnr", "noise").splitlines()
    assert lines[0] == "| PSNR [dB] | noise 0 | noise 0.3 |"
    assert lines[2:] == ["| splines | 30.00 | 27.00 |", "| our model | **30.50** | **27.50** |"]
    assert summary_tables.each_table(summary, "psnr").splitlines()[2:] == [
        "| v1 | 30.00 | **32.00** |",
        "| v2 | **30.00** | 29.00 |",
    ]
    gains = summary_tables.gain_table(summary).splitlines()
    assert gains[0].startswith("| our model against | gain in PSNR [dB] | volumes better |")
    assert gains[2].startswith("| splines | +0.50 | 1 of 2 |")
    head, _, cubic, model = summary_tables.quality_table(summary).splitlines()
    assert "LPIPS" not in head
    assert cubic.endswith("|  |")
    assert model.endswith("| 0.5 |")


def test_the_effect_of_data_consistency(summary):
    assert "not evaluated" in gan_page.consistency(summary)
    summary["methods"].append("model_consistent")
    for values in summary["groups"]["noise_level"].values():
        mean = values["model"]["psnr"]["mean"]
        values["model_consistent"] = {**values["model"], "psnr": {"mean": mean + 1}}
    rows = gan_page.consistency(summary).splitlines()
    assert rows[-2].startswith("| 0 | 30.50 → 31.50 |")
    assert rows[-1].startswith("| 0.3 | 27.50 → 28.50 |")


def test_the_networks_of_both_trainings_are_rebuilt(tmp_path):
    for name in publish_gan.TRAININGS:
        write_training(tmp_path / name, width=24 if name == "three_player" else 16)
    overlay = publish_gan.side_by_side("disgan", tmp_path)
    assert overlay["network_def"] == {"_target_": "Net", "channels": 16, "scale": 2, "convs": 4}
    assert overlay["three_player_def"]["channels"] == 24
    assert overlay["degradation"] == "linear"
    peer, magnitude = overlay["peers"][-2:]
    assert (peer["output_key"], peer["network"]) == ("three_player", "@three_player_def")
    assert magnitude["keys"] == ["regression", "l1", "features", "three_player"]
    for name in publish_gan.TRAININGS:
        write_training(
            tmp_path / "other" / name, kind="kspace" if name == "three_player" else "linear"
        )
    with pytest.raises(SystemExit, match="kspace"):
        publish_gan.side_by_side("disgan", tmp_path / "other")


def test_the_page_and_the_card_hold_what_was_measured(tmp_path, summary):
    trainings = {}
    for name in publish_gan.TRAININGS:
        write_training(tmp_path / name)
        config = publish_gan.trained_config(tmp_path / name)
        curves = publish_gan.read_curves(tmp_path / name / "metrics.csv")
        trainings[name] = (config, curves)
    shown = {name: [(f"{name}.jpg", "What.")] for name in ("real", "demo", "training")}
    text = gan_page.page(summary, summary, trainings, shown)
    title = gan_page.TITLES["disgan"]
    assert f"| {title} | 16 | WaveletCritic | 2 | 0.690 | 0.701 | 0.100 | - |" in text
    assert "![training.jpg](../images/training.jpg)" in text
    card = tmp_path / "bundle" / "docs" / "README.md"
    card.parent.mkdir(parents=True)
    card.write_text("# Card\n<!-- gan tables: x -->\nold\n<!-- end of gan tables -->\nrest\n")
    publish_gan.put_between("gan tables", gan_page.card_tables(summary, summary), card)
    once = card.read_text()
    assert "old" not in once
    assert "| splines | 30.00 |" in once
    assert once.endswith("<!-- end of gan tables -->\nrest\n")
    publish_gan.put_between("gan tables", gan_page.card_tables(summary, summary), card)
    assert card.read_text() == once
