"""Weights are read only if they are what was written."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

import custom
from custom.errors import InputError
from custom.files.atomic import sha256_of, write_json
from custom.handlers.checkpoint import CheckpointResumer
from custom.networks import checkpoint_file
from custom.networks.checkpoint_file import (
    check_trained_for,
    read_checkpoint,
    record_of,
    set_aside_checkpoint,
    write_checkpoint,
)
from custom.networks.saved_weights import load_weights
from custom.verbs.workflows import evaluate

BUNDLES = Path(__file__).parents[2] / "bundles"
SHIPPED = sorted(path.relative_to(BUNDLES) for path in BUNDLES.glob("*/models/*.pt"))


def flip(file: Path, share: float) -> None:
    """Flip one bit at a share of a file's length."""
    content = bytearray(file.read_bytes())
    content[int(share * len(content))] ^= 16
    file.write_bytes(content)


def state(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((40, 30), value)}


@pytest.mark.parametrize("known_by", ["record", "metadata", "archive"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_one_flipped_bit_is_refused(tmp_path, known_by, share):
    file = tmp_path / "models" / "model.pt"
    write_checkpoint(state(1.0), file)
    if known_by != "record":
        record_of(file).unlink()
    if known_by == "metadata":
        about = {"weights": {"file": "models/model.pt", "sha256": sha256_of(file)}}
        write_json(tmp_path / "configs" / "metadata.json", about)
    assert torch.equal(read_checkpoint(file)["weight"], state(1.0)["weight"])
    flip(file, share)
    torch.load(file, weights_only=True)  # torch notices nothing
    with pytest.raises(InputError, match=r"damaged.*: give another one"):
        read_checkpoint(file)


@pytest.mark.parametrize("share", [i / 40 for i in range(40)])
def test_with_a_record_no_bit_of_the_file_may_change(tmp_path, share):
    write_checkpoint({"model": state(1.0), "epoch": 3}, tmp_path / "last.pt")
    flip(tmp_path / "last.pt", share)
    with pytest.raises(InputError, match=r"damaged.*leave --resume out"):
        CheckpointResumer(tmp_path / "last.pt", {})._read({})


@pytest.mark.parametrize("shipped", SHIPPED, ids=str)
@pytest.mark.parametrize("config", ["inference", "evaluate"])
def test_every_config_refuses_damaged_weights(tmp_path, shipped, config):
    for file in (BUNDLES / shipped, record_of(BUNDLES / shipped)):
        shutil.copyfile(file, tmp_path / file.name)
    flip(tmp_path / shipped.name, 0.5)
    parser = ConfigParser()
    parser.read_config(str(BUNDLES / shipped.parts[0] / "configs" / f"{config}.yaml"))
    parser["bundle_root"] = str(BUNDLES / shipped.parts[0])
    loader = parser["handlers"][0]
    assert loader["_target_"].endswith("CheckedCheckpointLoader")
    parser["handlers"] = [loader | {"load_path": str(tmp_path / shipped.name), "trained_for": None}]
    with pytest.raises(InputError, match="is damaged, or not the file whose SHA-256 stands in"):
        parser.get_parsed_content("handlers::0")(None)


def test_the_verb_says_it_in_one_line_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("logging.config.fileConfig", lambda *_, **__: None)
    weights = tmp_path / "model.pt"
    shutil.copyfile(BUNDLES / "micro_mri_denoise" / "models" / "model.pt", weights)
    flip(weights, 0.5)
    places = {"output": str(tmp_path / "out"), "demo_dir": str(tmp_path / "demo")}
    with pytest.raises(InputError, match=r"model\.pt is damaged: its checksums do not hold: give"):
        evaluate("micro_mri_denoise", config=["tiny"], checkpoint=str(weights), **places)
    assert not (tmp_path / "out" / "metrics.csv").exists()


@pytest.mark.parametrize("kills", [1, 2])
@pytest.mark.parametrize("step", ["before the file", "after the file"])
@pytest.mark.parametrize("known", [True, False])
def test_a_kill_between_the_two_files_leaves_good_weights(
    tmp_path, monkeypatch, kills, step, known
):
    file = tmp_path / "last.pt"
    write_checkpoint(state(0.0), file)
    if not known:
        record_of(file).unlink()  # of a training of an older version

    for number in range(1, kills + 1):
        with monkeypatch.context() as patch:
            written = []

            def write(path, content, written=written):
                written.append(path)
                if len(written) == 2:
                    raise KeyboardInterrupt
                return write_json(path, content)

            patch.setattr(checkpoint_file, "write_json", write)
            if step == "before the file":
                patch.setattr(checkpoint_file, "atomic_path", lambda _: 1 / 0)
            with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
                write_checkpoint(state(float(number)), file)
        expected = 0.0 if step == "before the file" else float(number)
        assert torch.equal(read_checkpoint(file)["weight"], state(expected)["weight"])
    write_checkpoint(state(9.0), file)
    assert json.loads(record_of(file).read_text())["sha256"] == [sha256_of(file)]


def test_a_form_without_checksums_needs_a_known_hash(tmp_path):
    file = tmp_path / "alexnet.pth"
    torch.save(state(1.0), file, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"no checksums .*save it again with torch\.save"):
        read_checkpoint(file)
    assert "weight" in read_checkpoint(file, sha256=sha256_of(file)[:8])


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("record", r"on purpose, remove model\.json; its trained_for goes with it\): give another"),
        ("metadata", r"on purpose, give yours under another path\): give another"),
    ],
)
def test_who_replaced_weights_reads_what_to_do(tmp_path, place, remedy):
    file = tmp_path / "models" / "model.pt"
    write_checkpoint(state(1.0), file)
    if place == "metadata":  # also stands in the record: first what mends it
        about = {"weights": {"file": "models/model.pt", "sha256": sha256_of(file)}}
        write_json(tmp_path / "configs" / "metadata.json", about)
    torch.save(state(2.0), file)
    with pytest.raises(InputError, match=remedy):
        read_checkpoint(file)


WRONG = "0123456789abcdef" * 4


@pytest.mark.parametrize("stated", ["a", "", [""], [], None, [None], 3, {"a": 1}, [WRONG[:63]]])
def test_a_record_that_states_no_hash_is_refused(tmp_path, stated):
    file = tmp_path / "model.pt"
    write_checkpoint(state(1.0), file)
    write_json(record_of(file), {"sha256": stated})
    with pytest.raises(InputError, match=r"sha256 in model\.json is not 64 hexadecimal digits"):
        read_checkpoint(file)


def test_a_hash_that_stands_alone_is_compared_whole(tmp_path):
    file = tmp_path / "model.pt"
    write_checkpoint(state(1.0), file)
    write_json(record_of(file), {"sha256": sha256_of(file).upper()})
    assert "weight" in read_checkpoint(file)
    write_json(record_of(file), {"sha256": WRONG})
    with pytest.raises(InputError, match="not the file whose SHA-256"):
        read_checkpoint(file)


@pytest.mark.parametrize("weights_there", [True, False])
@pytest.mark.parametrize("text", ['{"mine": 1}', "[1, 2]", "{"])
def test_a_file_that_is_no_record_is_kept(tmp_path, text, weights_there):
    file = tmp_path / "model.pt"
    if weights_there:
        torch.save(state(0.0), file)
    record_of(file).write_text(text)
    write_checkpoint(state(1.0), file)
    assert "weight" in read_checkpoint(file)
    assert (tmp_path / "model.1.json").read_text() == text
    set_aside_checkpoint(file)
    assert "weight" in read_checkpoint(tmp_path / "model.1.pt")
    assert (tmp_path / "model.1.1.json").read_text() == text


def test_numbers_of_another_type_do_not_fit(tmp_path):
    write_checkpoint({n: v.half() for n, v in nn.Linear(3, 2).state_dict().items()}, tmp_path / "a")
    with pytest.raises(InputError, match="does not fit the network"):
        load_weights(tmp_path / "a", nn.Linear(3, 2))


def test_weights_for_other_settings_are_refused(tmp_path, caplog):
    file = tmp_path / "model.pt"
    write_checkpoint(state(1.0), file, {"degradation": "linear", "levels": (0.1, 0.5)})
    check_trained_for(file, {"degradation": "linear", "levels": [0.1, 0.5]})
    assert not caplog.text
    check_trained_for(file, {"scale": 3})
    assert "do not say what they were trained for: scale 3 taken as given" in caplog.text
    with pytest.raises(InputError, match="trained for degradation linear, not for degradation ksp"):
        check_trained_for(file, {"degradation": "kspace", "levels": (0.1, 0.5)})


@pytest.mark.parametrize("stated", ["scale", ["scale"], 3])
def test_a_record_without_settings_by_name_is_refused(tmp_path, stated):
    file = tmp_path / "model.pt"
    write_checkpoint(state(1.0), file)
    write_json(record_of(file), {**json.loads(record_of(file).read_text()), "trained_for": stated})
    with pytest.raises(InputError, match=r"trained_for in model\.json holds no settings by name"):
        check_trained_for(file, {"scale": 2})


def test_no_other_place_reads_or_writes_weights():
    own = Path(checkpoint_file.__file__)
    call = re.compile(r"\btorch\.(load|save)\(|\bCheckpointLoader\b")
    files = [path for path in Path(custom.__file__).parent.rglob("*.py") if path != own]
    configs = BUNDLES.glob("*/configs/*.yaml")
    found = [path.name for path in [*files, *configs] if call.search(path.read_text("utf-8"))]
    assert found == []


FOREIGN = [
    ("gan3d_sr_denoise", (), "degradation", "kspace"),
    ("gan3d_sr_denoise", (), "scale", 4),
    ("gan3d_sr_denoise", (), "intensity_statistic", "mean"),
    ("micro_mri_denoise", (), "upsampling", "bicubic"),
    ("micro_mri_denoise", (), "scale", 4),
    ("micro_mri_denoise", (), "intensity_statistic", "foreground_mean"),
    ("micro_mri_denoise", ("apddm",), "num_steps", 50),
    ("micro_mri_denoise", ("apddm",), "normalisation_form", "printed"),
    ("dwi_vae", (), "with_sigma", False),
    ("dwi_vae", (), "levels::highest", 2.0),
]


@pytest.mark.parametrize(("bundle", "overlays", "name", "value"), FOREIGN)
@pytest.mark.parametrize("config", ["inference", "evaluate"])
def test_every_bundle_refuses_settings_that_its_weights_do_not_know(
    bundle, overlays, name, value, config
):
    root = BUNDLES / bundle
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / f"{each}.yaml") for each in (config, *overlays)])
    parser["bundle_root"] = str(root)
    loader = parser["handlers"][0]
    assert loader["trained_for"] == "@trained_for"
    # Before a network is built from the setting: weights are loaded when an engine starts.
    parser["handlers"] = [loader | {"network": None}]
    handler = parser.get_parsed_content("handlers::0")
    check_trained_for(handler.load_path, handler.trained_for)
    if name.partition("::")[0] not in parser:
        pytest.skip(f"{config} has no {name}")
    changed = ConfigParser(parser.get())
    changed[name] = value
    handler = changed.get_parsed_content("handlers::0")
    with pytest.raises(InputError, match=r"was trained for .*, not for"):
        check_trained_for(handler.load_path, handler.trained_for)
