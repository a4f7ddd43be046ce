"""The inference config of the bundle for volumes: geometry, units, modes, tiles, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from inference_runs import blob, centroid, oblique, save

from custom.bundle.launch import run_bundle
from custom.errors import InputError
from custom.networks.nets.fine_grid_unet import FineGridUNet
from custom.networks.nets.residual_dense_generator import ResidualDenseGenerator
from custom.physics.downsampling import Degradation, downsample

BUNDLE = Path(__file__).parents[2] / "bundles" / "gan3d_sr_denoise"
GENERATOR = {"channels": 8, "growth": 4, "num_blocks": 1, "dense_blocks": 1, "convs": 3}
# As the GANs' overlays: the network takes the coarse volume.
COARSE = {"network_scale": 2, "input_channels": [], "measured": "image"}
COARSE |= {"recorded": [], "model_parameters": {}}
SPACING = (0.7, 0.9, 1.1)


@pytest.fixture
def trilinear(tmp_path: Path) -> dict[str, Any]:
    """A network that only interpolates, so that the way of the volume alone is tested."""
    torch.save({}, tmp_path / "empty.pt")
    network = {"_target_": "torch.nn.Upsample", "scale_factor": 2, "mode": "trilinear"}
    return COARSE | {"network_def": network, "ckpt_path": str(tmp_path / "empty.pt")}


@pytest.fixture
def corrected(tmp_path: Path) -> dict[str, Any]:
    """The default network, small and with random weights."""
    network = FineGridUNet((4, 8))
    random = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(network.unet.head.weight, std=0.02, generator=random)
    torch.save(network.state_dict(), tmp_path / "fine.pt")
    return {"network_def::features": [4, 8], "ckpt_path": str(tmp_path / "fine.pt")}


@pytest.fixture
def generator(tmp_path: Path) -> dict[str, Any]:
    """A small generator with random weights, so that it does change the volume."""
    network = ResidualDenseGenerator(**GENERATOR)
    rng = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    name = "custom.networks.nets.residual_dense_generator.ResidualDenseGenerator"
    network_def = {"_target_": name, **GENERATOR, "degradation": "@degradation"}
    given = {"network_def": network_def, "ckpt_path": str(tmp_path / "model.pt")}
    return COARSE | given


def restore(source: Path, output: Path, **settings: Any) -> Any:
    """Run the config as the command line does; return the result, opened."""
    given = {"input": str(source), "output_dir": str(output), "device": "$torch.device('cpu')"}
    run_bundle(BUNDLE, ["inference"], given | settings)
    return nib.load(output / source.name.replace(".nii.gz", "_restored.nii.gz"))


def values(image: Any) -> np.ndarray:
    return np.asarray(image.dataobj)


def degraded(image: Any, degradation: Degradation = "acquired") -> np.ndarray:
    return downsample(torch.from_numpy(values(image))[None, None], degradation)[0, 0].numpy()


def test_a_blob_on_an_oblique_odd_grid_stays_where_it_is(
    tmp_path: Path, trilinear: dict[str, Any]
) -> None:
    image = nib.Nifti1Image(blob((21, 17, 14)), oblique(SPACING, (1, -1, 1)))
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code=1)  # scanner's coordinates; the sform stays as it is
    path = tmp_path / "a.nii.gz"
    nib.save(image, path)
    source, result = nib.load(path), restore(path, tmp_path / "out", **trilinear)
    assert result.shape == (42, 34, 28)
    np.testing.assert_allclose(result.header.get_zooms(), np.array(SPACING) / 2, rtol=1e-5)
    assert nib.aff2axcodes(result.affine) == nib.aff2axcodes(source.affine)
    # Both grids fill the same box.
    corners = np.array([[-0.5, -0.5, -0.5, 1], [41.5, 33.5, 27.5, 1]])
    expected = np.array([[-0.5, -0.5, -0.5, 1], [20.5, 16.5, 13.5, 1]])
    np.testing.assert_allclose(result.affine @ corners.T, source.affine @ expected.T, atol=1e-4)
    np.testing.assert_allclose(centroid(result), centroid(source), atol=2e-2)
    for name in ("qform_code", "sform_code", "xyzt_units"):
        assert result.header[name] == source.header[name] > 0
    np.testing.assert_allclose(result.get_qform(), result.affine, atol=1e-4)

    difference = nib.load(tmp_path / "out" / "a_difference.nii.gz")
    assert difference.shape == source.shape
    np.testing.assert_allclose(difference.affine, source.affine, atol=1e-5)
    np.testing.assert_allclose(values(difference), degraded(result) - values(source), atol=1e-2)
    sidecar = json.loads((tmp_path / "out" / "a_restored.json").read_text())
    assert sidecar["parameters"]["acquired_by"] == "acquired"
    assert sidecar["difference"]["file"] == "a_difference.nii.gz"


def test_halving_keeps_grid_and_units(tmp_path: Path, trilinear: dict[str, Any]) -> None:
    path = save(tmp_path / "a.nii.gz", blob((21, 18, 17)), oblique(SPACING, (-1, 1, 1)))
    source = nib.load(path)
    result = restore(path, tmp_path / "out", mode="halve", **trilinear)
    assert result.shape == source.shape
    np.testing.assert_allclose(result.affine, source.affine, atol=1e-6)
    np.testing.assert_allclose(centroid(result), centroid(source), atol=5e-2)
    assert values(result).mean() == pytest.approx(values(source).mean(), rel=0.02)
    difference = nib.load(tmp_path / "out" / "a_difference.nii.gz")
    np.testing.assert_allclose(values(difference), values(result) - values(source), atol=1e-2)


def test_tiles_change_nothing_where_the_halo_is_wide_enough(
    tmp_path: Path, generator: dict[str, Any]
) -> None:
    path = save(tmp_path / "a.nii.gz", blob((24, 9, 10)))
    whole = restore(path, tmp_path / "whole", tile="whole", **generator)
    tiles = {"tile": 12, "overlap": 3, "halo": 7, "mapped_above": 1}
    assert ResidualDenseGenerator(**GENERATOR).receptive_radius == tiles["halo"]
    tiled = restore(path, tmp_path / "tiled", **tiles, **generator)
    scale = np.abs(values(whole)).max()
    np.testing.assert_allclose(values(tiled) / scale, values(whole) / scale, atol=1e-5)
    # The network does something, and tiles with too narrow a halo do something else.
    assert np.abs(values(whole) - np.kron(blob((24, 9, 10)), np.ones((2, 2, 2)))).max() > 1
    narrow = restore(path, tmp_path / "narrow", **tiles | {"halo": 1}, **generator)
    assert np.abs(values(narrow) - values(whole)).max() > 1e-4 * scale


def test_thick_slices_become_thin_where_they_were(
    tmp_path: Path, corrected: dict[str, Any]
) -> None:
    """The default network corrects a little; its start keeps place, units and field of view."""
    path = save(tmp_path / "a.nii.gz", blob((20, 22, 12)), oblique(SPACING, (1, 1, -1)))
    told = {"scale": [1, 1, 4], "acquired_by": "slice", "sigma": 0.5}
    result, source = restore(path, tmp_path / "out", **told, **corrected), nib.load(path)
    assert result.shape == (20, 22, 48)
    np.testing.assert_allclose(result.header.get_zooms(), np.array(SPACING) / [1, 1, 4], rtol=1e-5)
    corners = np.array([[-0.5, -0.5, -0.5, 1], [19.5, 21.5, 47.5, 1]])
    expected = np.array([[-0.5, -0.5, -0.5, 1], [19.5, 21.5, 11.5, 1]])
    np.testing.assert_allclose(result.affine @ corners.T, source.affine @ expected.T, atol=1e-4)
    np.testing.assert_allclose(centroid(result), centroid(source), atol=5e-2)
    assert values(result).mean() == pytest.approx(values(source).mean(), rel=0.02)
    assert nib.load(tmp_path / "out" / "a_difference.nii.gz").shape == source.shape
    parameters = json.loads((tmp_path / "out" / "a_restored.json").read_text())["parameters"]
    assert (parameters["scale"], parameters["acquired_by"]) == ([1, 1, 4], "slice")
    assert parameters["noise_level"] == pytest.approx(0.5)
    assert parameters["noise_source"] == "sigma"


def test_tiles_of_the_fine_grid_agree_with_the_whole(
    tmp_path: Path, corrected: dict[str, Any]
) -> None:
    path = save(tmp_path / "a.nii.gz", blob((24, 9, 10)))
    whole = restore(path, tmp_path / "whole", tile="whole", **corrected)
    tiled = restore(path, tmp_path / "tiled", tile=16, overlap=4, halo=24, **corrected)
    np.testing.assert_allclose(
        values(tiled), values(whole), atol=1e-4 * np.abs(values(whole)).max()
    )


@pytest.mark.parametrize(
    ("degradation", "factor"), [("kspace", 1e4), ("linear", 2), ("acquired", 1e4)]
)
def test_data_consistency_brings_the_result_to_the_measurement(
    tmp_path: Path, generator: dict[str, Any], degradation: str, factor: float
) -> None:
    path = save(tmp_path / "a.nii.gz", blob((16, 14, 13)))
    differences = []
    for strength in (0.0, 1.0):
        output = tmp_path / str(strength)
        restore(path, output, degradation=degradation, data_consistency=strength, **generator)
        differences.append(np.linalg.norm(values(nib.load(output / "a_difference.nii.gz"))))
    assert differences[1] < differences[0] / factor


@pytest.mark.parametrize(
    ("shape", "spoil", "settings", "reason"),
    [
        ((16, 16), None, {}, "2D"),
        ((16, 16, 16, 3), None, {}, "4D"),
        ((16, 16, 16), np.nan, {}, "NaN"),
        ((16, 16, 16), None, {"network_bytes": 1e9}, "too large"),
        ((16, 16, 16), None, {"mode": "both"}, "mode must be"),
        ((16, 16, 16), None, {"mode": "denoise"}, "--config denoise"),
        ((16, 16, 16), None, {"data_consistency": 2}, "data_consistency must be"),
        ((16, 16, 16), None, {"tile": 20}, "tile must be"),
    ],
)
def test_what_cannot_be_restored_is_refused_in_one_line(
    tmp_path: Path,
    trilinear: dict[str, Any],
    shape: tuple[int, ...],
    spoil: float | None,
    settings: dict[str, Any],
    reason: str,
) -> None:
    array = blob(shape)
    if spoil is not None:
        array.flat[5] = spoil
    path = save(tmp_path / "a.nii.gz", array)
    with pytest.raises(InputError, match=reason) as raised:
        restore(path, tmp_path / "out", **trilinear, **settings)
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "out").glob("*.nii.gz"))
