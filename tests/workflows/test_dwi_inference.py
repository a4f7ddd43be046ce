"""The way of a diffusion series through the inference config."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from diffusion_series import make_series, save_image, save_series, study_table

from custom.bundle.error_line import user_error
from custom.errors import InputError
from custom.files.atomic import sha256_of
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser
from custom.physics.diffusion.gradient_table import GradientTable

BUNDLE = Path(__file__).parents[2] / "bundles" / "dwi_vae"
CONFIG = BUNDLE / "configs" / "inference.yaml"
SERIES = make_series((14, 12, 11), sigma=0.05)
IDENTITY = {"network_def": {"_target_": "torch.nn.Identity"}, "with_sigma": False}


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    root = tmp_path / "bundle" / "configs"
    root.mkdir(parents=True)
    (root / "metadata.json").write_text('{"version": "1.0.0"}')
    return root / "metadata.json"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """The bundle's network for the study's protocol, untrained: a regularised fit."""
    torch.manual_seed(0)
    network = TensorInformedDenoiser()
    network.b_rows.copy_(study_table().b_rows)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


@pytest.fixture
def run(tmp_path: Path, metadata: Path, weights: str) -> Any:
    """Run the config as ``python -m monai.bundle run`` does."""

    def restore(inputs: Any, output: Path, **overrides: Any) -> None:
        settings = {"config_file": str(CONFIG), "device": "cpu", "ckpt_path": weights} | overrides
        settings["provenance::metadata_file"] = str(metadata)
        named = list(map(str, inputs)) if isinstance(inputs, list) else str(inputs)
        monai.bundle.run(
            logging_file=False,
            bundle_root=str(BUNDLE),
            input=named,
            output_dir=str(output),
            **settings,
        )

    return restore


@pytest.fixture
def identity(run: Any, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run with a network that changes nothing; what the weights hold is the protocol alone."""
    monkeypatch.setattr("custom.handlers.checkpoint_check.load_weights", lambda *_, **__: None)
    return lambda *args, **overrides: run(*args, **IDENTITY | overrides)


def refusals(run: Any, *args: Any, **overrides: Any) -> list[str]:
    with pytest.raises(RuntimeError) as raised:
        run(*args, **overrides)
    error = user_error(raised.value)
    assert isinstance(error, InputError)
    return str(error).splitlines()


def image(path: Path) -> np.ndarray:
    values: np.ndarray = nib.load(path).get_fdata(dtype=np.float32)
    return values


def test_the_identity_gives_the_series_back_in_its_frame(tmp_path: Path, identity: Any) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    identity(source, tmp_path / "out")
    before, after = nib.load(source), nib.load(tmp_path / "out" / "dwi_restored.nii.gz")
    np.testing.assert_allclose(after.get_fdata(), before.get_fdata(), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(after.affine, before.affine)
    assert after.header.get_data_dtype() == np.float32
    assert after.header.get_xyzt_units() == before.header.get_xyzt_units()
    for end in ("bval", "bvec"):
        copy = tmp_path / "out" / f"dwi_restored.{end}"
        assert copy.read_bytes() == (tmp_path / f"dwi.{end}").read_bytes()
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    ends = ("mask", "noise", "residual", "restored")
    images = [f"dwi_{end}.nii.gz" for end in ends]
    assert names == sorted([*images, *(f"dwi_restored.{e}" for e in ("bval", "bvec", "json"))])


def test_a_fit_takes_noise_away_and_writes_its_spread_on_request(tmp_path: Path, run: Any) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    run(source, tmp_path / "out", relative_sigma=0.05)
    out = tmp_path / "out"
    assert not (out / "dwi_spread.nii.gz").exists()
    run(source, out, relative_sigma=0.05, overwrite=True, write_spread=True)
    restored = image(out / "dwi_restored.nii.gz")
    inside = SERIES.inside
    before, after = (np.mean((x - SERIES.clean)[inside] ** 2) for x in (SERIES.noisy, restored))
    assert after < 0.4 * before  # 7 of 32 freedoms are left: 0.22
    mask = image(out / "dwi_mask.nii.gz")
    assert nib.load(out / "dwi_mask.nii.gz").header.get_data_dtype() == np.uint8
    outside = mask == 0
    np.testing.assert_array_equal(restored[outside], SERIES.noisy[outside])
    spread = image(out / "dwi_spread.nii.gz")
    assert (spread[outside] == 0).all()
    assert (spread[~outside] > 0).all()
    residual = image(out / "dwi_residual.nii.gz")
    np.testing.assert_allclose(residual, SERIES.noisy - restored, atol=1e-3)
    # In the unit of the image: 0.05 of an S0 between 400 and 800.
    noise = image(out / "dwi_noise.nii.gz")
    np.testing.assert_allclose(noise[inside], 0.05 * SERIES.s0[inside], rtol=0.2)
    assert (restored[~outside] >= 0).all()


def test_shuffled_volumes_come_back_shuffled(tmp_path: Path, run: Any) -> None:
    table, rng = study_table(), np.random.default_rng(0)
    order = rng.permutation(32)
    signs = rng.choice([-1.0, 1.0], (32, 1))
    shuffled = GradientTable(table.bvals[order], signs * table.bvecs[order])
    scans = [
        save_series(tmp_path / "a.nii.gz", SERIES.noisy),
        save_series(tmp_path / "b.nii.gz", SERIES.noisy[..., order], shuffled),
    ]
    run(scans, tmp_path / "out", noise_estimate="fit", keep_b0=True, write_spread=True)
    for end in ("restored", "spread", "residual"):
        one, other = (image(tmp_path / "out" / f"{name}_{end}.nii.gz") for name in "ab")
        np.testing.assert_allclose(one[..., order], other, rtol=1e-3, atol=0.05)
        np.testing.assert_array_equal((one != 0)[..., order], other != 0)
    assert (tmp_path / "out" / "b_restored.bvec").read_bytes() == scans[1].with_name(
        "b.bvec"
    ).read_bytes()


def test_units_come_back_whatever_they_are(tmp_path: Path, run: Any) -> None:
    scans = [
        save_series(tmp_path / f"{name}.nii.gz", gain * SERIES.noisy)
        for name, gain in {"a": 1.0, "b": 64.0}.items()
    ]
    run(scans, tmp_path / "out", write_spread=True)
    for end in ("restored", "spread", "residual", "noise"):
        one, other = (image(tmp_path / "out" / f"{name}_{end}.nii.gz") for name in "ab")
        np.testing.assert_allclose(64 * one, other, rtol=1e-4, atol=64e-3)


def test_unweighted_volumes_can_be_kept(tmp_path: Path, run: Any) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    for name, keep in {"kept": True, "not": False}.items():
        run(source, tmp_path / name, keep_b0=keep)
    kept, other = (image(tmp_path / name / "dwi_restored.nii.gz") for name in ("kept", "not"))
    np.testing.assert_array_equal(kept[..., [0, 31]], SERIES.noisy[..., [0, 31]])
    np.testing.assert_array_equal(kept[..., 1:31], other[..., 1:31])
    assert not np.array_equal(other[..., [0, 31]], SERIES.noisy[..., [0, 31]])


def test_known_values_as_numbers_and_as_files_are_the_same(tmp_path: Path, run: Any) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    given = {"s0": 650.0, "sigma": 40.0}
    files = {
        name: str(save_image(tmp_path / f"{name}.nii.gz", np.full(SERIES.s0.shape, value)))
        for name, value in given.items()
    }
    run(source, tmp_path / "numbers", **given)
    run(source, tmp_path / "files", **files)
    one, other = (image(tmp_path / n / "dwi_restored.nii.gz") for n in ("numbers", "files"))
    np.testing.assert_allclose(one, other, rtol=1e-5)
    sidecars = [
        json.loads((tmp_path / n / "dwi_restored.json").read_text()) for n in ("numbers", "files")
    ]
    assert [s["parameters"]["s0"] for s in sidecars] == [650.0, None]
    assert sidecars[1]["read_besides"]["s0_file"]["sha256"] == sha256_of(files["s0"])
    assert "s0_file" not in sidecars[0]["read_besides"]


def test_the_noise_map_of_a_run_gives_the_same_restoration(tmp_path: Path, run: Any) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    run(source, tmp_path / "automatic")
    noise = tmp_path / "automatic" / "dwi_noise.nii.gz"
    run(source, tmp_path / "given", sigma=str(noise))
    # A number is in the unit of the image, too.
    run(source, tmp_path / "number", sigma=float(image(noise).max()))
    wanted = image(tmp_path / "automatic" / "dwi_restored.nii.gz")
    for name in ("given", "number"):
        found = image(tmp_path / name / "dwi_restored.nii.gz")
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(
            image(tmp_path / name / "dwi_noise.nii.gz"), image(noise), rtol=1e-5
        )


def test_a_noise_level_in_the_wrong_unit_is_refused(tmp_path: Path, run: Any) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    for given, remedy in (("sigma", "as relative_sigma"), ("relative_sigma", "as sigma")):
        level = {"sigma": 0.05, "relative_sigma": 30.0}[given]
        lines = refusals(run, source, tmp_path / given, **{given: level})
        assert remedy in lines[0], lines
        assert not list((tmp_path / given).glob("*_restored*"))


def test_the_sidecar_says_what_was_done(tmp_path: Path, run: Any) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    run(source, tmp_path / "out", mask="all", write_spread=True)
    content = json.loads((tmp_path / "out" / "dwi_restored.json").read_text())
    for end in ("bval", "bvec"):
        assert content["read_besides"][end]["sha256"] == sha256_of(tmp_path / f"dwi.{end}")
        assert content[end]["sha256"] == content["read_besides"][end]["sha256"]
    for name in ("spread", "noise", "residual", "mask"):
        file = tmp_path / "out" / f"dwi_{name}.nii.gz"
        assert content[name] == {"file": file.name, "sha256": sha256_of(file)}
    said = content["parameters"]
    mask = image(tmp_path / "out" / "dwi_mask.nii.gz")
    assert said["voxels_restored"] == mask.sum()
    usable = (SERIES.noisy > 0).any(-1).sum()
    assert said["voxels_restored"] + said["voxels_unusable"] == usable
    assert said["voxels_unusable"] > 0  # in the background
    assert (said["mask_source"], said["scale_rule"]) == ("all", "known")
    assert said["scale_source"] == "log-linear fit"
    assert said["noise_source"] == "fit residuals"
    assert 0.01 < said["noise_level"] < 1
    assert said["values_below_zero"] >= 0
    assert said["values_above_s0"] >= 0
    assert str(tmp_path) not in json.dumps(content)


def test_bad_series_do_not_stop_the_others(tmp_path: Path, identity: Any) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    save_series(folder / "good.nii.gz", SERIES.noisy)
    save_series(folder / "lonely.nii.gz", SERIES.noisy).with_name("lonely.bvec").unlink()
    table = study_table()
    other = GradientTable(0.5 * table.bvals, table.bvecs)
    save_series(folder / "other.nii.gz", SERIES.noisy, other)
    lines = refusals(identity, folder, out)
    assert [line.partition(": ")[0] for line in lines] == [
        str(folder / f"{name}.nii.gz") for name in ("lonely", "other")
    ]
    assert "lonely.bvec: missing" in lines[0]
    command = f"train dwi_vae --config own_scan --bval {folder / 'other.bval'} --bvec"
    assert f'"mri-bundles {command}' in lines[1]
    assert {path.name.partition("_")[0] for path in out.iterdir()} == {"good"}


def test_weights_without_a_protocol_are_one_line(tmp_path: Path, run: Any) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    torch.save({"weight": torch.ones(3)}, tmp_path / "other.pt")
    for name, says in {"missing.pt": "does not exist", "other.pt": "does not say which"}.items():
        (line,) = refusals(run, source, tmp_path / "out", ckpt_path=str(tmp_path / name))
        assert line.startswith(f"checkpoint {tmp_path / name} {says}")
    assert not (tmp_path / "out").exists()


def test_results_are_kept_replaced_and_never_taken_for_inputs(
    tmp_path: Path, identity: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "dwi"
    source = save_series(folder / "a.nii.gz", SERIES.noisy)
    identity(folder, folder)
    (line,) = refusals(identity, source, folder)
    assert "exists already" in line
    with caplog.at_level(logging.INFO):
        identity(folder, folder, skip_existing=True)
    assert "1 of 1 inputs were restored before" in caplog.text
    # A run without maps takes those away that say nothing of its result.
    identity(folder, folder, overwrite=True, write_maps=False)
    left = {path.name for path in folder.iterdir()} - {"a.nii.gz", "a.bval", "a.bvec"}
    assert left == {f"a_restored.{end}" for end in ("nii.gz", "json", "bval", "bvec")}


def test_a_file_that_is_read_is_never_replaced(tmp_path: Path, identity: Any) -> None:
    source = save_series(tmp_path / "a.nii.gz", SERIES.noisy)
    mask = save_image(tmp_path / "a_mask.nii.gz", SERIES.inside.astype(np.uint8))
    (line,) = refusals(identity, source, tmp_path, mask=str(mask), overwrite=True)
    assert "a_mask.nii.gz: the result would replace an input" in line


@pytest.mark.parametrize("noise_estimate", ["volume", "voxel"])
def test_twice_the_same(tmp_path: Path, run: Any, noise_estimate: str) -> None:
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    for name in ("one", "two"):
        run(source, tmp_path / name, noise_estimate=noise_estimate)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_latents_are_drawn_by_an_autoencoder(tmp_path: Path, run: Any) -> None:
    from custom.networks.nets.signal_autoencoder import SignalAutoencoder

    torch.manual_seed(0)
    network = SignalAutoencoder()
    network.b_rows.copy_(study_table().b_rows)
    torch.save(network.state_dict(), tmp_path / "vae.pt")
    target = "custom.networks.nets.signal_autoencoder.SignalAutoencoder"
    vae = {
        "network_def": {"_target_": target},
        "with_sigma": False,
        "write_spread": True,
        "seed": 3,
    }
    vae["ckpt_path"] = str(tmp_path / "vae.pt")
    source = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)
    for samples in (1, 2):
        run(source, tmp_path / str(samples), num_samples=samples, **vae)
    assert not (tmp_path / "1" / "dwi_spread.nii.gz").exists()
    spread = image(tmp_path / "2" / "dwi_spread.nii.gz")
    mask = image(tmp_path / "2" / "dwi_mask.nii.gz") > 0
    assert (spread[mask] > 0).all()
    (line,) = refusals(run, source, tmp_path / "3", num_samples=2)
    assert "num_samples 2 needs a model with a latent distribution" in line
