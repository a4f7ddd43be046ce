"""The inference config of a bundle on files as users have them."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from custom.bundle.launch import run_bundle, user_error
from custom.data.paired_dataset import PairedDatasetWriter
from custom.data.zarr_slices import write_stack
from custom.errors import InputError

BUNDLE = Path(__file__).parents[2] / "bundles" / "micro_mri_denoise"
CONFIG = BUNDLE / "configs" / "inference.yaml"
META = BUNDLE / "configs" / "metadata.json"

# The network is left out where only the way of the image is tested.
IDENTITY = {"_target_": "torch.nn.Identity"}


@pytest.fixture(autouse=True)
def _seeds() -> Iterator[None]:
    """Put back what set_determinism changes for the whole process."""
    yield
    monai.utils.set_determinism(seed=None)


@pytest.fixture
def identity(tmp_path: Path) -> dict[str, Any]:
    torch.save({}, tmp_path / "identity.pt")
    return {"network_def": IDENTITY, "ckpt_path": str(tmp_path / "identity.pt")}


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A network with random weights, so that it does change the image."""
    parser = ConfigParser()
    parser.read_config(str(CONFIG))
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


def restore(inputs: Any, output: Path, **overrides: Any) -> None:
    """Run the config as ``python -m monai.bundle run`` does, from any folder."""
    if isinstance(inputs, list):
        inputs = [str(path) for path in inputs]
    elif isinstance(inputs, Path):
        inputs = str(inputs)
    settings = {"config_file": str(CONFIG), "device": "cpu"} | overrides
    monai.bundle.run(
        logging_file=False,  # the bundle's own would take the log away from the test
        bundle_root=str(BUNDLE),
        input=inputs,
        output_dir=str(output),
        **settings,
    )


def refusals(inputs: Any, output: Path, **overrides: Any) -> list[str]:
    """Run the config and return the lines of the user's error that it must end with."""
    with pytest.raises(RuntimeError) as raised:
        restore(inputs, output, **overrides)
    error = user_error(raised.value)
    assert isinstance(error, InputError)
    return str(error).splitlines()


def oblique(spacing: tuple[float, float, float], flips: tuple[int, int, int]) -> np.ndarray:
    a, b = 0.4, -0.25
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = first @ second @ np.diag(flips) @ np.diag(spacing)
    affine[:3, 3] = [-7.0, 3.0, 11.0]
    return affine


def blob(shape: tuple[int, ...]) -> np.ndarray:
    """An off-centre blob over noise."""
    rng = np.random.default_rng(0)
    grids = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    distance = sum(((g - 0.4 * n) / (0.15 * n + 1)) ** 2 for g, n in zip(grids, shape, strict=True))
    return (1000 * np.exp(-distance) + rng.rayleigh(5.0, shape)).astype(np.float32)


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([0.2, 0.2, 0.6, 1.0]) if affine is None else affine
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def centroid(image: nib.Nifti1Image) -> np.ndarray:
    """World coordinates of the centre of intensity."""
    values = np.asarray(image.dataobj, dtype=np.float64)
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    index = [np.average(grid, weights=values) for grid in np.indices(values.shape)]
    return (image.affine @ [*index, 1.0])[:3]


@pytest.mark.parametrize(
    ("shape", "spacing", "flips"),
    [
        ((30, 24, 5), (0.2, 0.25, 0.9), (1, 1, 1)),
        ((30, 24, 5), (0.2, 0.25, 0.9), (-1, 1, -1)),
        ((5, 30, 24), (0.9, 0.2, 0.25), (1, -1, 1)),
        ((30, 5, 24), (0.2, 0.9, 0.25), (1, 1, 1)),
        ((30, 24, 1), (0.2, 0.25, 0.9), (1, 1, 1)),
        ((31, 23), (0.2, 0.25, 1.0), (1, -1, 1)),
    ],
)
def test_a_blob_stays_where_it_is(
    tmp_path: Path,
    identity: dict[str, Any],
    shape: tuple[int, ...],
    spacing: tuple[float, float, float],
    flips: tuple[int, int, int],
) -> None:
    path = save(tmp_path / "a.nii.gz", blob(shape), oblique(spacing, flips))
    restore(path, tmp_path / "out", **identity)
    source, result = nib.load(path), nib.load(tmp_path / "out" / "a_restored.nii.gz")

    slices = int(np.argmax(spacing)) if len(shape) == 3 else None
    factors = [1 if axis == slices else 2 for axis in range(len(shape))]
    assert result.shape == tuple(np.multiply(shape, factors))
    np.testing.assert_allclose(centroid(result), centroid(source), atol=1e-4)
    zooms = np.divide(source.header.get_zooms(), factors)
    np.testing.assert_allclose(result.header.get_zooms(), zooms, rtol=1e-5)
    # Axis order and orientation are those of the input.
    assert nib.aff2axcodes(result.affine) == nib.aff2axcodes(source.affine)
    expected = np.asarray(source.dataobj)
    for axis, factor in enumerate(factors):
        expected = expected.repeat(factor, axis)
    np.testing.assert_allclose(np.asarray(result.dataobj), expected, rtol=1e-5)
    assert result.get_data_dtype() == np.float32


@pytest.mark.parametrize(("dtype", "slope"), [(np.uint8, 1), (np.int16, 1), (np.uint16, 0.37)])
def test_integers_come_back_in_their_units(
    tmp_path: Path, identity: dict[str, Any], dtype: Any, slope: float
) -> None:
    stored = (blob((20, 18, 3)) * (0.2 if dtype is np.uint8 else 1.0)).astype(dtype)
    image = nib.Nifti1Image(stored, np.diag([0.2, 0.2, 0.6, 1.0]))
    image.header.set_slope_inter(slope, 0)
    nib.save(image, tmp_path / "a.nii.gz")
    restore(tmp_path / "a.nii.gz", tmp_path / "out", **identity)
    result = np.asarray(nib.load(tmp_path / "out" / "a_restored.nii.gz").dataobj)
    expected = (stored * np.float64(slope)).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_slices_do_not_mix_and_each_is_scaled_by_its_mean(tmp_path: Path, weights: str) -> None:
    stack = np.stack([blob((22, 18)) * gain for gain in (1.0, 3.0, 50.0)], axis=-1)
    save(tmp_path / "stack.nii.gz", stack)
    save(tmp_path / "single.nii.gz", stack[..., 1:2])
    both = [tmp_path / "stack.nii.gz", tmp_path / "single.nii.gz"]
    restore(both, tmp_path / "out", ckpt_path=weights, slices_per_batch=2)
    many = np.asarray(nib.load(tmp_path / "out" / "stack_restored.nii.gz").dataobj)
    one = np.asarray(nib.load(tmp_path / "out" / "single_restored.nii.gz").dataobj)
    np.testing.assert_allclose(many[..., 1], one[..., 0], rtol=1e-3, atol=1e-2)
    # The same slice, brighter, is the same restoration, brighter.
    np.testing.assert_allclose(many[..., 2] / 50, many[..., 0], rtol=1e-3, atol=1e-2)
    nearest = stack.repeat(2, 0).repeat(2, 1)
    assert np.abs(many - nearest).max() > 1.0  # the network did something


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
    overlay.write_text("min_size: 8\n")
    hashes = [
        config_hash("plain"),
        config_hash("override", **{"preprocessing::transforms::3::mode": "bilinear"}),
        config_hash("overlay", overlay),
    ]
    assert len(set(hashes)) == 3
    moved = tmp_path / "other.pt"
    moved.write_bytes(Path(identity["ckpt_path"]).read_bytes())
    assert config_hash("again", ckpt_path=str(moved), overwrite=True) == hashes[0]


def test_a_restored_magnitude_is_never_negative(tmp_path: Path) -> None:
    network = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 1}
    state = {"weight": torch.zeros(1, 1, 1, 1), "bias": torch.tensor([-1.0])}
    torch.save(state, tmp_path / "minus_one.pt")
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    ckpt_path = str(tmp_path / "minus_one.pt")
    restore(path, tmp_path / "out", network_def=network, ckpt_path=ckpt_path)
    result = np.asarray(nib.load(tmp_path / "out" / "a_restored.nii.gz").dataobj)
    assert result.shape == (40, 36, 2)
    assert not result.any()


def test_half_precision_is_for_cuda_alone(tmp_path: Path, weights: str) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    for amp in (False, True):
        out, device = tmp_path / str(amp), "$torch.device('cpu')"
        restore(path, out, ckpt_path=weights, amp=amp, device=device)
        assert json.loads((out / "a_restored.json").read_text())["parameters"]["amp"] is False
    one, other = (tmp_path / name / "a_restored.nii.gz" for name in ("False", "True"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("overlays", [[], ["tuned"], ["first_run"]])
def test_skip_features_can_be_set_on_the_command_line(tmp_path: Path, overlays: list[str]) -> None:
    configs = [str(BUNDLE / "configs" / f"{name}.yaml") for name in ("inference", *overlays)]
    override = {"network_def::features": [4, 8, 8], "network_def::features_skip": [2, 6]}
    parser = ConfigParser()
    parser.read_config(configs)
    parser.update(override)
    network = parser.get_parsed_content("network_def")
    assert [skip.out_channels for skip in network.skips] == [6, 2]
    torch.save(network.state_dict(), tmp_path / "model.pt")
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    settings = {"input": str(path), "output_dir": str(tmp_path / "out"), "device": "cpu"}
    settings |= {"ckpt_path": str(tmp_path / "model.pt")}
    run_bundle(BUNDLE, ["inference", *overlays], settings | override)
    assert (tmp_path / "out" / "a_restored.nii.gz").is_file()


def test_bad_inputs_do_not_stop_the_others(
    tmp_path: Path, identity: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    good = [save(tmp_path / "in" / f"{name}.nii.gz", blob((20, 18, 2))) for name in "ad"]
    save(tmp_path / "in" / "b.nii.gz", np.zeros((20, 18, 2), np.float32))
    (tmp_path / "in" / "c.nii.gz").write_bytes(good[0].read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        lines = refusals(tmp_path / "in", tmp_path / "out", **identity)
    assert [line.partition(": ")[0] for line in lines] == [
        str(tmp_path / "in" / "b.nii.gz"),
        str(tmp_path / "in" / "c.nii.gz"),
    ]
    assert [r.getMessage() for r in caplog.records if "refused" in r.getMessage()] == [
        f"refused: {line}" for line in lines
    ]
    restored = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert restored == [f"{n}_restored.{end}" for n in "ad" for end in ("json", "nii.gz")]


def test_existing_results_are_refused_skipped_or_replaced(
    tmp_path: Path, identity: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path, out = save(tmp_path / "a.nii.gz", blob((20, 18, 2))), tmp_path / "out"
    result = out / "a_restored.nii.gz"
    restore(path, out, **identity)
    before = result.read_bytes()
    result.write_bytes(b"changed")

    assert "exists already" in refusals(path, out, **identity)[0]
    with caplog.at_level(logging.WARNING):
        restore(path, out, skip_existing=True, **identity)
    assert "0 to restore" in caplog.text
    assert result.read_bytes() == b"changed"

    (out / "a_restored.json").unlink()  # the run was cut short between the two files
    restore(path, out, skip_existing=True, **identity)
    assert result.read_bytes() == before

    result.write_bytes(b"changed")
    restore(path, out, overwrite=True, **identity)
    assert result.read_bytes() == before


def test_zarr_stores_are_inputs(tmp_path: Path, identity: dict[str, Any]) -> None:
    stack, affine = blob((20, 18, 3)), oblique((0.2, 0.2, 0.6), (1, 1, 1))
    write_stack(tmp_path / "slices.zarr" / "m1" / "image", stack, affine)
    restore(tmp_path / "slices.zarr" / "m1" / "image", tmp_path / "out", **identity)
    result = nib.load(tmp_path / "out" / "m1_restored.nii.gz")
    np.testing.assert_allclose(
        np.asarray(result.dataobj), stack.repeat(2, 0).repeat(2, 1), rtol=1e-5
    )
    np.testing.assert_allclose(
        centroid(result), centroid(nib.Nifti1Image(stack, affine)), atol=1e-4
    )


def test_without_an_input_the_test_scans_of_the_dataset_are_restored(
    tmp_path: Path, identity: dict[str, Any]
) -> None:
    stack, affine = blob((20, 18, 2)), np.diag([0.2, 0.2, 0.6, 1.0])
    fine = affine @ np.diag([0.5, 0.5, 1, 1])
    with PairedDatasetWriter(tmp_path / "set", "blobs", "For a test.") as writer:
        for split in ("training", "test"):
            label = stack.repeat(2, 0).repeat(2, 1)
            writer.add(split, f"{split}1", stack, affine, label, fine)
    monai.bundle.run(
        config_file=str(CONFIG),
        logging_file=False,
        bundle_root=str(BUNDLE),
        dataset_dir=str(tmp_path / "set"),
        output_dir=str(tmp_path / "out"),
        device="cpu",
        **identity,
    )
    results = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert results == ["test1_restored.json", "test1_restored.nii.gz"]


def test_a_checkpoint_that_is_missing_or_wrong_is_one_line(
    tmp_path: Path, identity: dict[str, Any]
) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    for checkpoint in (tmp_path / "missing.pt", Path(identity["ckpt_path"])):
        lines = refusals(path, tmp_path / "out", ckpt_path=str(checkpoint))
        assert len(lines) == 1
        assert str(checkpoint) in lines[0]
    assert not list((tmp_path / "out").glob("*"))


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, identity: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))

    def full(_: Any, name: Path) -> None:
        Path(name).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", full)
    (line,) = refusals(path, tmp_path / "out", **identity)
    assert "disk full" in line
    assert not list((tmp_path / "out").iterdir())


def test_too_large_for_the_memory(tmp_path: Path, identity: dict[str, Any]) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    (line,) = refusals(path, tmp_path / "out", memory_per_voxel=1e15, **identity)
    assert "too large" in line


def test_monai_workflow_properties_are_complete(tmp_path: Path, identity: dict[str, Any]) -> None:
    workflow = ConfigWorkflow(
        config_file=str(CONFIG),
        meta_file=str(META),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(BUNDLE),
        input=str(save(tmp_path / "a.nii.gz", blob((20, 18, 2)))),
        output_dir=str(tmp_path / "out"),
        **identity,
    )
    workflow.initialize()
    assert not workflow.check_properties()
    assert len(workflow.dataset) == 1
    workflow.run()
    workflow.finalize()
    assert (tmp_path / "out" / "a_restored.nii.gz").is_file()


@pytest.mark.slow
def test_the_plain_command_runs_from_another_folder(tmp_path: Path, weights: str) -> None:
    save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    (tmp_path / "b.nii.gz").write_bytes(b"no image")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(CONFIG)]
    command += ["--bundle_root", str(BUNDLE), "--input", "['a.nii.gz','b.nii.gz']"]
    command += ["--output_dir", "out", "--ckpt_path", weights]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "refused: " in done.stdout + done.stderr
    assert "b.nii.gz: cannot be read" in done.stderr
    assert (tmp_path / "out" / "a_restored.nii.gz").is_file()
