from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from custom.data.inputs.input_selection import InputSelection
from custom.data.inputs.provenance import ProvenanceSidecar, sha256_of_input
from custom.errors import InputError
from custom.files.zarr_slices import write_stack

CONFIG = {
    "seed": 0,
    "input": "a.nii.gz",
    "output_dir": "out",
    "min_size": 8,
    "factor": 2,
    "down": "max",
    "batch": 4,
    "ckpt_path": "model.pt",
    "mask": None,
    "network": "$make(@down, @ckpt_path)",
    "handlers": ["@output_dir"],
    "selection": {"min_size": "@min_size", "input": "@input"},
    "preprocessing": {"scale": "@factor", "mask": "@mask"},
    "evaluator": {
        "network": "@network",
        "inferer": {"batch": "@batch", "folder": "@output_dir"},
        "val_handlers": "@handlers",
        "device": "@device",
    },
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "my_bundle"
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "metadata.json").write_text('{"version": "1.2.3"}')
    (root / "model.pt").write_bytes(b"weights")
    return root


def run(bundle: Path, item: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Run an engine over one item and return the sidecar."""
    settings: dict[str, Any] = {
        "metadata_file": bundle / "configs" / "metadata.json",
        "config": CONFIG,
        "weights_file": bundle / "model.pt",
        "parameters": {"scale": 2},
        "seed": 5,
        "device": torch.device("cpu"),
        "record": ["image_slice_axis"],
    }
    engine = Engine(lambda engine, _: setattr(engine.state, "batch", [item]))
    ProvenanceSidecar(**(settings | changes)).attach(engine)
    engine.run([0], max_epochs=1)
    sidecar = Path(item["output"].replace(".nii.gz", ".json"))
    content = json.loads(sidecar.read_text())
    assert isinstance(content, dict)
    return content


@pytest.fixture
def item(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "a.nii.gz").write_bytes(b"input")
    (tmp_path / "a_restored.nii.gz").write_bytes(b"output")
    return {
        "source": str(tmp_path / "a.nii.gz"),
        "output": str(tmp_path / "a_restored.nii.gz"),
        "image_slice_axis": torch.tensor(2),
    }


def test_sidecar_says_what_made_the_image(bundle: Path, item: dict[str, Any]) -> None:
    content = run(bundle, item)
    assert content["bundle"] == {
        "id": "my_bundle",
        "name": "my_bundle",
        "version": "1.2.3",
    }
    assert content["weights"] == {
        "file": "model.pt",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
    }
    assert content["input"] == {
        "file": "a.nii.gz",
        "sha256": hashlib.sha256(b"input").hexdigest(),
    }
    assert content["output"] == {
        "file": "a_restored.nii.gz",
        "sha256": hashlib.sha256(b"output").hexdigest(),
    }
    assert "uncertainty" not in content
    assert content["parameters"] == {"scale": 2, "image_slice_axis": 2}
    assert (content["seed"], content["device"]) == (5, "cpu")
    assert content["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert content["notice"].startswith("Research use only")


def test_an_uncertainty_is_recorded(bundle: Path, item: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a_uncertainty.nii.gz").write_bytes(b"uncertainty")
    assert run(bundle, item, maps=["uncertainty"])["uncertainty"] == {
        "file": "a_uncertainty.nii.gz",
        "sha256": hashlib.sha256(b"uncertainty").hexdigest(),
    }


def test_what_is_read_and_written_besides_is_recorded(
    bundle: Path, item: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("a_noise.nii.gz", "a_restored.bval", "my.bval"):
        (tmp_path / name).write_bytes(name.encode())
    item["bval"] = str(tmp_path / "my.bval")
    content = run(bundle, item, maps=["noise", "mask"], copies=["bval"], read=["bval", "mask_file"])

    def entry(name: str) -> dict[str, str]:
        return {"file": name, "sha256": hashlib.sha256(name.encode()).hexdigest()}

    assert content["noise"] == entry("a_noise.nii.gz")
    assert content["bval"] == entry("a_restored.bval")
    assert content["read_besides"] == {"bval": entry("my.bval")}
    assert "mask" not in content


def test_words_are_recorded_and_files_count_by_their_content(
    bundle: Path, item: dict[str, Any]
) -> None:
    record = ["image_slice_axis", "mask_source"]
    item["mask_source"] = "file"
    masks: list[str | Path | None] = [bundle / name for name in ("a.nii", "b.nii", "c.nii")]
    for mask, content in zip(masks, (b"one", b"one", b"other"), strict=True):
        Path(str(mask)).write_bytes(content)
    masks += ["all", None]
    first, *rest = (run(bundle, item, record=record, places={"mask": m}) for m in masks)
    assert first["parameters"]["mask_source"] == "file"
    # A file counts by its content, wherever it lies.
    same = [content["config_sha256"] == first["config_sha256"] for content in rest]
    assert same == [True, False, False, False]


def test_no_folder_of_this_machine_is_named(
    bundle: Path, item: dict[str, Any], tmp_path: Path
) -> None:
    assert str(tmp_path) not in json.dumps(run(bundle, item))


def test_the_same_run_gives_the_same_sidecar(bundle: Path, item: dict[str, Any]) -> None:
    assert run(bundle, item) == run(bundle, item)


def test_config_hash_follows_what_computes_and_nothing_else(
    bundle: Path, item: dict[str, Any]
) -> None:
    def config_hash(**changes: Any) -> Any:
        return run(bundle, item, config=CONFIG | changes, without_effect=["batch"])["config_sha256"]

    others: list[dict[str, Any]] = [{"seed": 1}, {"factor": 3}, {"down": "mean"}, {"evaluator": {}}]
    others += [{"network": "$other(@down, @ckpt_path)"}]
    assert len({config_hash(), *(config_hash(**change) for change in others)}) == 6
    # Limits, flags, what a bundle lists, and what a later version adds to the checks.
    free = {"overwrite": True, "device": "cuda", "min_size": 1, "batch": 9, "selection": {"new": 1}}
    free |= dict.fromkeys(("input", "output_dir", "dataset_dir", "ckpt_path"), "/elsewhere")
    for key, value in free.items():
        assert config_hash(**{key: value}) == config_hash(), key
    # A name is none of what computes.
    renamed = {"preprocessing": {"scale": "@zoom", "mask": "@mask"}, "zoom": 2}
    assert config_hash(**renamed) == config_hash()


def test_name_in_metadata_wins(bundle: Path, item: dict[str, Any]) -> None:
    (bundle / "configs" / "metadata.json").write_text('{"version": "2.0.0", "name": "Mice"}')
    assert run(bundle, item)["bundle"] == {
        "id": "my_bundle",
        "name": "Mice",
        "version": "2.0.0",
    }


@pytest.mark.parametrize("content", ["{}", "not json", None])
def test_metadata_without_version_is_one_line(
    bundle: Path, item: dict[str, Any], content: str | None
) -> None:
    file = bundle / "configs" / "metadata.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(InputError, match="no version of a bundle"):
        run(bundle, item)


def test_folders_are_hashed_by_names_and_contents(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).random((4, 4, 3))
    for name in ("one", "two", "other"):
        write_stack(tmp_path / f"{name}.zarr" / "image", stack, np.eye(4))
    one, two, other = (tmp_path / f"{name}.zarr" / "image" for name in ("one", "two", "other"))
    assert sha256_of_input(one) == sha256_of_input(two)
    chunk = next(path for path in (other / "c").rglob("*") if path.is_file())
    chunk.rename(chunk.with_name("9"))
    assert sha256_of_input(one) != sha256_of_input(other)


def test_the_parameters_of_a_paravision_image_count_with_it(tmp_path: Path) -> None:
    image = tmp_path / "study" / "3" / "pdata" / "1" / "2dseq"
    image.parent.mkdir(parents=True)
    hashes = []
    for file in ("2dseq", "visu_pars", "../../method", "../../../subject"):
        (image.parent / file).write_bytes(b"content")
        hashes.append(sha256_of_input(image))
    (image.parent / "visu_pars").write_bytes(b"another slope")
    (image.parent / "notes").write_bytes(b"of no meaning")
    assert len({*hashes, sha256_of_input(image)}) == 5


def test_zarr_input_is_named_within_its_store(
    bundle: Path, item: dict[str, Any], tmp_path: Path
) -> None:
    array = tmp_path / "slices.zarr" / "m1" / "image"
    write_stack(array, np.ones((3, 3, 2)), np.eye(4))
    content = run(bundle, item | {"source": str(array)})
    assert content["input"]["file"] == "slices.zarr/m1/image"


def test_a_model_s_own_settings_and_files_are_recorded(bundle: Path, item: dict[str, Any]) -> None:
    (bundle / "bank.zip").write_bytes(b"bank")
    sidecar = run(bundle, item, beside=[bundle / "bank.zip"], model_parameters={"num_samples": 8})
    assert sidecar["parameters"] == {"scale": 2, "num_samples": 8, "image_slice_axis": 2}
    digest = hashlib.sha256(b"bank").hexdigest()
    assert sidecar["beside_weights"] == [{"file": "bank.zip", "sha256": digest}]
    assert "beside_weights" not in run(bundle, item)


def test_without_names_nothing_of_them_is_left(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "doe"
    folder.mkdir()
    for name in ("doe^john.nii.gz", "doe^john.bval", "mask_doe.nii"):
        (folder / name).write_bytes(name.encode())
    given = folder / "doe^john.nii.gz", folder / "gone_doe.nii"
    selection = InputSelection(given, tmp_path / "out", lambda path: path.stat(), no_names=True)
    (chosen,) = selection.items
    digest = hashlib.sha256(b"doe^john.nii.gz").hexdigest()
    assert Path(chosen["output"]).name == f"{digest[:16]}_restored.nii.gz"
    (tmp_path / "out").mkdir()
    Path(chosen["output"]).write_bytes(b"output")
    item = {**chosen, "bval": str(folder / "doe^john.bval"), "mask_file": folder / "mask_doe.nii"}
    content = run(bundle, item, record=[], read=["bval", "mask_file"], no_names=True)
    assert content["input"] == {"file": f"{digest[:16]}.nii.gz", "sha256": digest}
    suffixes = {key: Path(about["file"]).suffix for key, about in content["read_besides"].items()}
    assert suffixes == {"bval": ".bval", "mask_file": ".nii"}
    assert "doe" not in json.dumps(content)


def test_equal_inputs_without_names_are_numbered(tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).write_bytes(b"same")
    selection = InputSelection(tmp_path, tmp_path / "out", lambda _: None, no_names=True)
    names = [Path(item["output"]).name for item in selection.items]
    digest = hashlib.sha256(b"same").hexdigest()[:16]
    assert names == [f"{digest}-1_restored.nii.gz", f"{digest}-2_restored.nii.gz"]
