from __future__ import annotations

import errno
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage

from custom.data.inputs.restored_writer import SaveRestoredd
from custom.data.inputs.result_names import map_of, sidecar_of
from custom.errors import InputError
from custom.files.reader import InputReader
from custom.transforms.upsample_in_plane import upsample_in_plane

OBLIQUE = np.array(
    [[0.19, 0.02, 0.1, -7], [-0.03, -0.19, 0.05, 3], [0.02, 0.03, -0.59, 11], [0, 0, 0, 1.0]]
)


def rigid(spacing: tuple[float, float, float]) -> np.ndarray:
    turn = np.linalg.qr(OBLIQUE[:3, :3])[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = [4.0, -5.0, 6.0]
    return affine


def write_input(path: Path, shape: tuple[int, ...], forms: dict[str, Any]) -> Path:
    image = nib.Nifti1Image(np.random.default_rng(0).random(shape, np.float32), None)
    image.header.set_zooms((0.2, 0.2, 0.6)[: len(shape)])
    if "qform" in forms:
        image.header.set_qform(*forms["qform"])
    if "sform" in forms:
        image.header.set_sform(*forms["sform"])
    image.header.set_xyzt_units(forms.get("units", "mm"))
    image.header["descrip"] = b"MOUSE, MICKEY 1928-11-18"
    image.header["aux_file"] = b"mickey.mat"
    image.header["intent_name"] = b"mickey"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"owner: mickey"))
    nib.save(image, path)
    return path


def restore(source: Path, output: Path) -> nib.Nifti1Image:
    """Double the grid in the plane and write it, as a restoration does."""
    image = upsample_in_plane(LoadImage(reader=InputReader(), ensure_channel_first=True)(source))
    SaveRestoredd("pred")({"pred": image, "output": output})
    return nib.load(output)


def forms_of(image: nib.Nifti1Image) -> dict[str, Any]:
    return {"qform": image.header.get_qform(True), "sform": image.header.get_sform(True)}


# Index (-1/2, -1/2, 0) of either grid is the same corner of the same box.
CORNER = np.array([-0.5, -0.5, 0.0, 1.0])
FAR_COARSE = np.array([8.5, 6.5, 2.0, 1.0])  # of 9 x 7 voxels
FAR_FINE = np.array([17.5, 13.5, 2.0, 1.0])


@pytest.mark.parametrize(
    "forms",
    [
        {"qform": (rigid((0.2, 0.2, 0.6)), 1), "sform": (rigid((0.2, 0.2, 0.6)), 1)},
        {"qform": (rigid((0.2, 0.2, 0.6)), 1), "sform": (OBLIQUE, 4), "units": "meter"},
        {"qform": (rigid((0.2, 0.3, 0.6)), 3)},
        {"sform": (OBLIQUE, 2)},
        {},
    ],
    ids=["same", "two-spaces", "qform-only", "sheared-sform-only", "no-codes"],
)
def test_each_form_keeps_its_code_and_its_box(tmp_path: Path, forms: dict[str, Any]) -> None:
    source = nib.load(write_input(tmp_path / "a.nii.gz", (9, 7, 3), forms))
    result = restore(tmp_path / "a.nii.gz", tmp_path / "out.nii.gz")
    assert result.shape == (18, 14, 3)
    assert result.header.get_xyzt_units() == source.header.get_xyzt_units()
    for name in ("qform", "sform"):
        before, code = forms_of(source)[name]
        after, code_after = forms_of(result)[name]
        assert code_after == code
        if before is not None:
            np.testing.assert_allclose(after @ CORNER, before @ CORNER, atol=1e-5)
            np.testing.assert_allclose(after @ FAR_FINE, before @ FAR_COARSE, atol=1e-5)
    np.testing.assert_allclose(result.affine @ CORNER, source.affine @ CORNER, atol=1e-5)
    np.testing.assert_allclose(result.affine @ FAR_FINE, source.affine @ FAR_COARSE, atol=1e-5)
    half = np.array(source.header.get_zooms()) * [0.5, 0.5, 1]
    np.testing.assert_allclose(result.header.get_zooms(), half, rtol=1e-5)


def test_no_free_text_of_the_input_is_copied(tmp_path: Path) -> None:
    write_input(tmp_path / "a.nii", (9, 7, 3), {"sform": (OBLIQUE, 1)})
    result = restore(tmp_path / "a.nii", tmp_path / "out.nii")
    assert not result.header.extensions
    content = (tmp_path / "out.nii").read_bytes().lower()
    assert b"mickey" in (tmp_path / "a.nii").read_bytes()
    assert b"mickey" not in content
    assert b"mouse" not in content


@pytest.mark.parametrize("shape", [(9, 7, 1), (9, 1, 7), (9, 7)])
def test_axes_of_length_one_stay(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_input(tmp_path / "a.nii.gz", shape, {"sform": (OBLIQUE, 1)})
    result = restore(tmp_path / "a.nii.gz", tmp_path / "out.nii.gz")
    assert result.shape == (2 * shape[0], 2 * shape[1], *shape[2:])
    np.testing.assert_allclose(result.affine @ CORNER, OBLIQUE @ CORNER, atol=1e-5)


def test_an_image_without_header_lies_in_the_scanner_in_millimetres(tmp_path: Path) -> None:
    image = MetaTensor(torch.rand(1, 5, 6, 2), affine=rigid((0.1, 0.1, 0.5)))
    SaveRestoredd("pred")({"pred": image, "output": tmp_path / "out.nii.gz"})
    result = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_allclose(result.affine, rigid((0.1, 0.1, 0.5)), atol=1e-6)
    assert forms_of(result)["sform"][1] == forms_of(result)["qform"][1] == 1
    assert result.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(result.get_fdata(dtype=np.float32), image[0].numpy())
    assert result.get_data_dtype() == np.float32


def test_channels_go_last(tmp_path: Path) -> None:
    image = MetaTensor(torch.rand(3, 5, 6, 2), affine=torch.eye(4))
    SaveRestoredd("pred")({"pred": image, "output": tmp_path / "out.nii.gz"})
    values = nib.load(tmp_path / "out.nii.gz").get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(values, image.numpy().transpose(1, 2, 3, 0))


def test_a_full_disk_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.nii.gz"
    output.write_bytes(b"old")

    def full(_: Any, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(nib, "save", full)
    image = MetaTensor(torch.rand(1, 5, 6, 2), affine=torch.eye(4))
    with pytest.raises(InputError, match=r"disk full while writing .*out\.nii\.gz"):
        SaveRestoredd("pred")({"pred": image, "output": output})
    assert [path.name for path in tmp_path.iterdir()] == ["out.nii.gz"]
    assert output.read_bytes() == b"old"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    image = MetaTensor(torch.rand(1, 5, 6, 2), affine=torch.eye(4))
    with pytest.raises(InputError, match="cannot write") as raised:
        SaveRestoredd("pred")({"pred": image, "output": tmp_path / "file" / "out.nii.gz"})
    assert "\n" not in str(raised.value)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    image = MetaTensor(torch.rand(1, 5, 6, 2), affine=torch.eye(4))
    for name in ("one", "two"):
        SaveRestoredd("pred")({"pred": image, "output": tmp_path / f"{name}.nii.gz"})
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()


def test_keys_name_one_image() -> None:
    with pytest.raises(ValueError, match="keys"):
        SaveRestoredd(["pred", "image"])


def test_sidecar_name() -> None:
    assert sidecar_of("out/a.b_restored.nii.gz") == Path("out/a.b_restored.json")


def test_the_uncertainty_lies_beside_the_image_in_its_frame(tmp_path: Path) -> None:
    write_input(tmp_path / "a.nii.gz", (9, 7, 3), {"qform": (rigid((0.2, 0.2, 0.6)), 1)})
    image = upsample_in_plane(
        LoadImage(reader=InputReader(), ensure_channel_first=True)(tmp_path / "a.nii.gz")
    )
    item = {"pred": image, "uncertainty": 0.1 * image, "output": tmp_path / "a_restored.nii.gz"}
    SaveRestoredd("pred", maps=["uncertainty"])(item)
    assert map_of(item["output"], "uncertainty") == tmp_path / "a_uncertainty.nii.gz"
    restored, uncertainty = map(nib.load, (item["output"], tmp_path / "a_uncertainty.nii.gz"))
    assert bytes(restored.header.structarr) == bytes(uncertainty.header.structarr)
    np.testing.assert_allclose(uncertainty.get_fdata(), 0.1 * restored.get_fdata(), rtol=1e-5)

    # A stale one says nothing of the new image; nothing else is taken away.
    del item["uncertainty"]
    SaveRestoredd("pred", maps=["uncertainty"])(item)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.nii.gz", "a_restored.nii.gz"]


def test_a_failed_write_keeps_the_old_uncertainty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "a_uncertainty.nii.gz"
    old.write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(nib, "save", full)
    image = MetaTensor(torch.rand(1, 5, 6, 2), affine=torch.eye(4))
    with pytest.raises(InputError, match="disk full"):
        SaveRestoredd("pred", maps=["uncertainty"])(
            {"pred": image, "output": tmp_path / "a_restored.nii.gz"}
        )
    assert old.read_bytes() == b"old"


def diffusion_item(folder: Path) -> dict[str, Any]:
    image = MetaTensor(torch.rand(3, 5, 6, 2), affine=torch.diag(torch.tensor([2.0, 2, 3, 1])))
    (folder / "a.bval").write_bytes(b"0 1000  1000\r\n")
    return {
        "pred": image,
        "noise": image[:1] * 0.1,
        "mask": (image[:1] > 0.5).to(torch.uint8),
        "bval": str(folder / "a.bval"),
        "output": folder / "out" / "a_restored.nii.gz",
    }


def test_maps_and_copies_lie_beside_the_image(tmp_path: Path) -> None:
    item = diffusion_item(tmp_path)
    save = SaveRestoredd("pred", maps=("noise", "mask"), copies=("bval",))
    save(item)
    out = tmp_path / "out"
    assert nib.load(out / "a_restored.nii.gz").shape == (5, 6, 2, 3)
    assert nib.load(out / "a_noise.nii.gz").shape == (5, 6, 2)
    mask = nib.load(out / "a_mask.nii.gz")
    assert mask.header.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(mask.get_fdata(), item["mask"][0])
    assert (out / "a_restored.bval").read_bytes() == b"0 1000  1000\r\n"
    # What an item no longer has goes; what was never asked for stays.
    (out / "a_uncertainty.nii.gz").write_bytes(b"somebody's")
    save({"pred": item["pred"], "output": item["output"]})
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a_restored.nii.gz", "a_uncertainty.nii.gz"]


@pytest.mark.parametrize("failing", ["a_noise", "a_restored", "bval"])
def test_a_failed_write_of_one_leaves_all_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    item = diffusion_item(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    names = ("a_restored.nii.gz", "a_noise.nii.gz", "a_mask.nii.gz", "a_restored.bval")
    for name in names:
        (out / name).write_bytes(b"old")
    write = nib.save

    def full(image: Any, path: Path) -> None:
        if failing in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(image, path)

    monkeypatch.setattr(nib, "save", full)
    if failing == "bval":
        (tmp_path / "a.bval").unlink()
    with pytest.raises(InputError, match="disk full" if failing != "bval" else "cannot write"):
        SaveRestoredd("pred", maps=("noise", "mask"), copies=("bval",))(item)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == dict.fromkeys(names, b"old")


@pytest.mark.parametrize("renamed", range(5))
def test_no_mixture_of_two_runs_has_a_sidecar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    """A run that is killed while it replaces files leaves all as they were, or no sidecar."""
    item = diffusion_item(tmp_path)
    names = ("a_restored.nii.gz", "a_noise.nii.gz", "a_mask.nii.gz", "a_restored.bval")
    sidecar = sidecar_of(item["output"])
    sidecar.parent.mkdir()
    for name in (*names, sidecar.name):
        (sidecar.parent / name).write_bytes(b"old")
    replace, left = Path.replace, [renamed]

    def killed(path: Path, target: Path) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt) if renamed < len(names) else nullcontext():
        SaveRestoredd("pred", maps=("noise", "mask"), copies=("bval",))(item)
    new = [name for name in names if (sidecar.parent / name).read_bytes() != b"old"]
    assert len(new) == renamed
    assert not (new and sidecar.exists())
