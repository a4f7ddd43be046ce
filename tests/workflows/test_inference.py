"""The inference config of a bundle on files as users have them: geometry and units."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from inference_runs import BUNDLE, CONFIG, META, blob, centroid, oblique, restore, save
from monai.bundle import ConfigParser, ConfigWorkflow

from custom.bundle.launch import run_bundle
from custom.files.zarr_slices import write_stack
from custom.physics.intensity_statistics import OUTLIER, outlier_limit


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


@pytest.mark.parametrize("overlays", [["tuned"], ["first_run"]])
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


def test_a_second_channel_is_the_spread_and_lies_beside_the_result_on_request(
    tmp_path: Path, identity: dict[str, Any]
) -> None:
    """Its place is that of the result, its units those of the input, and it is not negative."""
    weight = torch.tensor([1.0, 0.1]).reshape(2, 1, 1, 1)
    torch.save({"weight": weight, "bias": torch.tensor([0.0, -0.1])}, tmp_path / "two.pt")
    two = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 1}
    stack = np.stack([blob((22, 18)) * gain for gain in (1.0, 3.0, 50.0)])
    path = save(tmp_path / "a.nii.gz", stack, oblique((0.6, 0.2, 0.2), (1, -1, 1)))
    out = tmp_path / "out"
    model = {"network_def": two, "ckpt_path": str(tmp_path / "two.pt")}
    restore(path, out, **model)
    assert not (out / "a_spread.nii.gz").exists()
    restore(path, out, overwrite=True, write_spread=True, has_spread=True, **model)

    restored, spread = (nib.load(out / f"a_{name}.nii.gz") for name in ("restored", "spread"))
    assert restored.shape == spread.shape == (3, 44, 36)
    assert bytes(restored.header.structarr) == bytes(spread.header.structarr)
    expected = stack.repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(np.asarray(restored.dataobj), expected, rtol=1e-5)
    medians = np.array([outlier_limit(part) / OUTLIER for part in stack])[:, None, None]
    np.testing.assert_allclose(
        np.asarray(spread.dataobj), np.maximum(0.1 * (expected - medians), 0), atol=1e-2
    )
    sidecar = json.loads((out / "a_restored.json").read_text())
    hashed = hashlib.sha256((out / "a_spread.nii.gz").read_bytes()).hexdigest()
    assert sidecar["spread"] == {"file": "a_spread.nii.gz", "sha256": hashed}

    # A model without one takes the earlier map away, in the folder and in the record.
    restore(path, out, overwrite=True, **identity)
    assert sorted(file.name for file in out.iterdir()) == ["a_restored.json", "a_restored.nii.gz"]
    assert "spread" not in json.loads((out / "a_restored.json").read_text())


def test_a_result_too_long_for_nifti_1_is_nifti_2(tmp_path: Path, identity: dict[str, Any]) -> None:
    path = save(tmp_path / "a.nii.gz", blob((16400, 16, 1)))
    restore(path, tmp_path / "out", **identity)
    result = nib.load(tmp_path / "out" / "a_restored.nii.gz")
    assert isinstance(result, nib.Nifti2Image)
    assert result.shape == (32800, 32, 1)
    expected = np.asarray(nib.load(path).dataobj).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(np.asarray(result.dataobj), expected, rtol=1e-5)
