"""What the inference config says of its results, and that they can be made again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from inference_runs import BUNDLE, CONFIG, META, blob, oblique, restore, save


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, weights: str) -> None:
    path = save(tmp_path / "a.nii.gz", blob((21, 17, 4)), oblique((0.2, 0.2, 0.6), (1, 1, 1)))
    for run in ("one", "two"):
        restore(path, tmp_path / run, ckpt_path=weights, seed=3)
    for name in ("a_restored.nii.gz", "a_restored.json"):
        one, two = (tmp_path / run / name for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_sidecar(tmp_path: Path, weights: str) -> None:
    path = save(tmp_path / "a.nii.gz", blob((5, 21, 17)), oblique((0.6, 0.2, 0.2), (1, 1, 1)))
    restore(path, tmp_path / "out", ckpt_path=weights, seed=3, slices_per_batch=2)
    content = json.loads((tmp_path / "out" / "a_restored.json").read_text())
    metadata = json.loads(META.read_text())
    assert content["bundle"] == {
        "id": BUNDLE.name,
        "name": metadata["name"],
        "version": metadata["version"],
    }
    assert content["weights"]["sha256"] == hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    assert content["input"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert content["input"]["file"] == "a.nii.gz"
    assert content["seed"] == 3
    assert content["device"] == "cpu"
    assert content["parameters"] == {
        "intensity_statistic": "tissue_median",
        "slice_axis": "auto",
        "image_slice_axis": 0,
        "scale": 2,
        "upsampling": "nearest",
        "slices_per_batch": 2,
        "amp": False,
    }
    assert "Research use only" in content["notice"]


def test_the_config_hash_is_that_of_what_ran(tmp_path: Path, identity: dict[str, Any]) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))

    def config_hash(name: str, *overlays: Path, **overrides: Any) -> Any:
        files = [CONFIG, *overlays]
        restore(path, tmp_path / name, config_file=[*map(str, files)], **identity | overrides)
        return json.loads((tmp_path / name / "a_restored.json").read_text())["config_sha256"]

    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("slice_axis: 2\n")
    hashes = [
        config_hash("plain"),
        config_hash("override", **{"preprocessing::transforms::3::mode": "bilinear"}),
        config_hash("overlay", overlay),
    ]
    assert len(set(hashes)) == 3
    moved = tmp_path / "other.pt"
    moved.write_bytes(Path(identity["ckpt_path"]).read_bytes())
    harmless = {"min_size": 8, "memory_per_voxel": 90, "derived_maps": "allow", "overwrite": True}
    harmless |= {"ckpt_path": str(moved), "slices_per_batch": 1}
    assert config_hash("again", **harmless) == hashes[0]


def test_half_precision_is_for_cuda_alone(tmp_path: Path, weights: str) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    for amp in (False, True):
        out, device = tmp_path / str(amp), "$torch.device('cpu')"
        restore(path, out, ckpt_path=weights, amp=amp, device=device)
        assert json.loads((out / "a_restored.json").read_text())["parameters"]["amp"] is False
    one, other = (tmp_path / name / "a_restored.nii.gz" for name in ("False", "True"))
    assert one.read_bytes() == other.read_bytes()
