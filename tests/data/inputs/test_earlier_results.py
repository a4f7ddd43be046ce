from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from custom.data.inputs.earlier_results import is_result, result_fault
from custom.data.inputs.input_selection import InputSelection
from custom.data.inputs.provenance import ProvenanceSidecar
from custom.data.inputs.result_names import hidden_name
from custom.files.atomic import sha256_of

CONFIG = {"preprocessing": ["@mode", "@mask", "@bval"]}


def provenance(folder: Path, **changes: Any) -> ProvenanceSidecar:
    """What a run restores with; its files are made with the first one."""
    (folder / "metadata.json").write_text('{"version": "1.0.0"}')
    for name in ("model.pt", "bank.zip", "mask.nii"):
        if not (folder / name).exists():
            (folder / name).write_bytes(name.encode())
    settings: dict[str, Any] = {
        "metadata_file": folder / "metadata.json",
        "config": CONFIG | {"mode": "super_resolve"},
        "weights_file": folder / "model.pt",
        "parameters": {"mode": "super_resolve"},
        "seed": 0,
        "device": "cpu",
        "beside": [folder / "bank.zip"],
        "maps": ["noise"],
        "copies": ["bval"],
        "read": ["bval"],
        "places": {"mask": str(folder / "mask.nii"), "bval": None},
    }
    return ProvenanceSidecar(**(settings | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scan that was restored: ``a.nii`` with its table, and all that is written of it."""
    for name in ("a.nii", "a.bval", "a_restored.nii.gz", "a_noise.nii.gz", "a_restored.bval"):
        (tmp_path / name).write_bytes(name.encode())

    def entry(name: str) -> dict[str, str]:
        return {"file": name, "sha256": sha256_of(tmp_path / name)}

    content = {
        **provenance(tmp_path).made_with,
        "bundle": {"version": "1.0.0"},
        "input": entry("a.nii"),
        "read_besides": {"bval": entry("a.bval")},
        "output": entry("a_restored.nii.gz"),
        "noise": entry("a_noise.nii.gz"),
        "bval": entry("a_restored.bval"),
        "parameters": {"mode": "super_resolve", "found": 3},
    }
    (tmp_path / "a_restored.json").write_text(json.dumps(content))
    return tmp_path


def fault(folder: Path, **changes: Any) -> str | None:
    source, output = folder / "a.nii", folder / "a_restored.nii.gz"
    return result_fault(source, output, ("noise", "bval"), provenance(folder, **changes))


def test_a_result_of_the_same_run_stands(folder: Path) -> None:
    assert fault(folder) is None
    assert fault(folder, device="cuda") is None  # the same image, but for rounding
    moved = (folder / "model.pt").rename(folder / "other.pt")
    assert fault(folder, weights_file=moved) is None


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("a.nii", "of another input"),
        ("a.bval", "another a.bval"),
        ("model.pt", "made with other weights"),
        ("bank.zip", "made with other files beside the weights"),
        ("mask.nii", "another configuration"),
        ("a_restored.nii.gz", "a_restored.nii.gz is missing or was changed"),
        ("a_noise.nii.gz", "a_noise.nii.gz is missing or was changed"),
        ("a_restored.bval", "a_restored.bval is missing or was changed"),
        ("a_restored.json", "sidecar a_restored.json is damaged"),
    ],
)
def test_a_result_of_other_files_does_not_stand(folder: Path, file: str, reason: str) -> None:
    (folder / file).write_bytes(b"another")
    assert reason in str(fault(folder))


def test_names_that_were_hidden_are_compared_all_the_same(folder: Path) -> None:
    content = json.loads((folder / "a_restored.json").read_text())
    for about in (content["input"], content["read_besides"]["bval"]):
        about["file"] = hidden_name(about["file"], about["sha256"])
    (folder / "a_restored.json").write_text(json.dumps(content))
    assert fault(folder) is None
    (folder / "a.bval").write_bytes(b"another")
    assert fault(folder) == "it was made with another a.bval"


def test_a_result_of_other_settings_does_not_stand(folder: Path) -> None:
    found = fault(folder, config=CONFIG | {"mode": "denoise"}, parameters={"mode": "denoise"})
    assert found == "it was made with another configuration (mode)"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"input": 1, "output": {"file": "a"}}'])
def test_a_sidecar_that_says_nothing_vouches_for_nothing(folder: Path, content: str) -> None:
    (folder / "a_restored.json").write_text(content)
    assert "damaged" in str(fault(folder))


def test_skipping_refuses_a_result_of_something_else(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = folder / "out"
    output.mkdir()
    for name in ("a_restored.nii.gz", "a_restored.json", "a_noise.nii.gz", "a_restored.bval"):
        (folder / name).rename(output / name)

    def select() -> InputSelection:
        return InputSelection(
            folder / "a.nii",
            output,
            lambda _: None,
            skip_existing=True,
            maps=["noise"],
            copies=["bval"],
            provenance=provenance(folder),
        )

    same = select()
    assert (same.items, same.skipped, same.refused) == ([], [folder / "a.nii"], [])
    assert "version" not in caplog.text
    sidecar = output / "a_restored.json"  # the version alone changes no image
    sidecar.write_text(sidecar.read_text().replace('"1.0.0"', '"0.9.0"'))
    older = select()
    assert (older.items, older.skipped) == ([], [folder / "a.nii"])
    assert "restored before, some by version 0.9.0 of the bundle" in caplog.text
    (folder / "model.pt").write_bytes(b"better")
    other = select()
    assert (other.items, other.skipped) == ([], [])
    assert "exists already, but it was made with other weights" in other.refused[0]
    assert "use --overwrite or another folder" in other.refused[0]


def test_restored_images_and_the_maps_of_a_sidecar_are_results(tmp_path: Path) -> None:
    names = ("restored", "uncertainty", "own")
    restored, *maps = (tmp_path / f"a_b_{name}.nii.gz" for name in names)
    assert is_result(restored)  # without a sidecar it was cut short
    assert not any(map(is_result, maps))
    entries = {name: {"file": f"a_b_{name}.nii.gz"} for name in names[1:]}
    (tmp_path / "a_b_restored.json").write_text(json.dumps({**entries, "c": {"file": "other"}}))
    assert all(map(is_result, maps))
    for name in ("a_b.nii.gz", "a_b_c.nii.gz", "a_b_t1.nii.gz", "c_own.nii.gz", "_own.nii.gz"):
        assert not is_result(tmp_path / name)
    assert not is_result(tmp_path / "a_b_uncertainty.nii")
    (tmp_path / "a_b_restored.json").write_text("[]")
    assert not any(map(is_result, maps))


def test_maps_of_a_result_that_was_cut_short_are_results(tmp_path: Path) -> None:
    for name in ("a_noise.nii.gz", "b_noise.nii.gz", "a_restored.nii.gz"):
        (tmp_path / name).touch()
    found = [is_result(tmp_path / f"{name}_noise.nii.gz", ["noise"]) for name in "ab"]
    assert found == [True, False]  # b has no restored image: it is somebody's own
