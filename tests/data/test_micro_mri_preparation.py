import json

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from paravision_files import CORONAL, write_scan, write_subject

from custom.bundle.launch import run_bundle, user_error
from custom.bundle.locate import find_bundle
from custom.data.datalist import load_datalist, slice_items
from custom.errors import InputError

BUNDLE = find_bundle("micro_mri_denoise")
SLICES = 3


def anatomy(matrix, noise, seed=0):
    """A bright disc with a hole in ParaVision's way of centring: voxel N/2 is the middle."""
    place = (np.arange(matrix) - matrix // 2) / matrix
    x, y = np.meshgrid(place, place, indexing="ij")
    disc = 1 / (1 + np.exp((np.hypot(x, y - 0.1) - 0.25) / 0.02))
    hole = 0.6 * np.exp(-((x - 0.08) ** 2 + (y - 0.12) ** 2) / 0.003)
    stack = np.stack([(disc - hole * disc) * 1000] * SLICES, axis=-1)
    rng = np.random.default_rng(seed)
    noisy = stack + rng.normal(0, noise, stack.shape) + 1j * rng.normal(0, noise, stack.shape)
    return np.abs(noisy).round().astype(int)


def write_study(folder, animal, *, protocol="T2_head", first=1, **changes):
    study = folder / f"2024_{animal}"
    write_scan(study, first, anatomy(64, 20, first), protocol=protocol, **changes)
    write_scan(study, first + 1, anatomy(128, 4, first), averages=5, protocol=protocol, **changes)
    write_subject(study, animal)
    return study


@pytest.fixture
def split_file(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"training": ["1"], "validation": ["mouse2"], "test": []}))
    return path


def prepare(output, **overrides):
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "prepare.yaml"))
    values = {"output_dir": str(output), "bundle_root": str(BUNDLE)} | overrides
    parser.update({key: str(v) if key in ("source",) else v for key, v in values.items()})
    try:
        return parser.get_parsed_content("prepare").run()
    except RuntimeError as error:  # MONAI's, around what a constructor raises
        raise (user_error(error) or error) from error


def test_studies_become_a_dataset(tmp_path, split_file, caplog):
    studies = tmp_path / "studies"
    study = write_study(studies, "mouse01")
    write_study(studies, "mouse02", orientation=CORONAL, protocol="T2_abdomen")
    write_study(studies, "mouse99")
    write_scan(study, 7, anatomy(32, 5), method="FLASH", protocol="Localizer")
    (study / "8").mkdir()
    (study / "8" / "acqp").write_text("")
    output = tmp_path / "set"
    with caplog.at_level("INFO"):
        prepare(output, source=studies, split_file=str(split_file))
    lists = load_datalist(output)
    assert [item["scan"] for item in lists["training"]] == ["mouse01_axial_head-thorax"]
    assert [item["scan"] for item in lists["validation"]] == ["mouse02_coronal_thorax-abdomen"]
    assert lists["training"][0]["phase_axis"] == 1
    assert len(slice_items(lists["training"])) == SLICES

    report = json.loads((output / "preparation.json").read_text())
    reasons = {item["source"].split("2024_")[1]: item["reason"] for item in report["not_paired"]}
    assert set(reasons) == {
        "mouse01/7/pdata/1/2dseq",
        "mouse01/8",
        "mouse99/1/pdata/1/2dseq",
        "mouse99/2/pdata/1/2dseq",
    }
    assert "FLASH, not RARE" in reasons["mouse01/7/pdata/1/2dseq"]
    assert "2dseq is missing" in reasons["mouse01/8"]
    assert "mouse99 is not in split_file" in reasons["mouse99/1/pdata/1/2dseq"]
    for reason in reasons.values():
        assert reason in caplog.text
    assert "2 pairs (1 training, 1 validation, 0 test)" in caplog.text
    pair = report["pairs"][0]
    assert pair["default"]["parameters"]["averages"] == 5
    assert pair["fast"]["parameters"]["te_ms"] == 37.1
    written = "".join(path.read_text() for path in output.glob("*.json"))
    assert "Doe" not in written
    assert "Owner" not in written
    assert not list(tmp_path.glob(".tmp*"))


def test_both_scans_show_the_same_place_at_the_same_coordinates(tmp_path, split_file):
    """The grids of ParaVision lie half a fine voxel apart; the pair must not."""
    study = write_study(tmp_path / "studies", "mouse01")
    prepare(tmp_path / "set", source=study, split_file=str(split_file))
    item = load_datalist(tmp_path / "set")["training"][0]
    image, label = nib.load(item["image"]), nib.load(item["label"])
    assert label.shape == (2 * image.shape[0], 2 * image.shape[1], SLICES)
    assert image.shape[0] < 64  # the air is gone
    fine = np.diag([0.5, 0.5, 1, 1.0])
    fine[:2, 3] = -0.25
    np.testing.assert_allclose(label.affine, image.affine @ fine, atol=1e-6)
    # Averages of 2 x 2 fine voxels show what the coarse voxel shows, but for noise.
    coarse = label.get_fdata().reshape(*image.shape[:1], 2, image.shape[1], 2, -1).mean((1, 3))
    gradients = np.gradient(coarse, axis=(0, 1))
    error = image.get_fdata() - coarse
    for gradient in gradients:
        displacement = (error * gradient).sum() / (gradient**2).sum()
        assert abs(displacement) < 0.03  # of a coarse voxel; unaligned it is 0.25
    # And at the place where the scanner put it: the disc's middle, in RAS.
    for volume in (image, label):
        values = volume.get_fdata()
        values[values < 300] = 0
        index = np.indices(values.shape).reshape(3, -1)
        middle = (index * values.ravel()).sum(1) / values.sum()
        place = volume.affine @ np.append(middle, 1)
        expected = [0.0, -3.0]  # 0.1 of 30 mm to the back
        np.testing.assert_allclose(place[:2], expected, atol=0.35)  # the hole moves it a little


def test_without_alignment_and_crop_pixels_and_affines_are_the_scanner_s(tmp_path, split_file):
    study = write_study(tmp_path / "studies", "mouse01", slope=3.0)
    prepare(
        tmp_path / "set",
        source=study,
        split_file=str(split_file),
        align_grids=False,
        crop_background=False,
    )
    item = load_datalist(tmp_path / "set")["training"][0]
    label = nib.load(item["label"])
    np.testing.assert_allclose(label.get_fdata(), 3 * anatomy(128, 4, 1), rtol=1e-6)
    np.testing.assert_allclose(label.affine[:3, 3], [15, 15, -0.6], atol=1e-6)
    record = json.loads((tmp_path / "set" / "preparation.json").read_text())["pairs"][0]
    np.testing.assert_allclose(record["label_shift_voxels"], [-0.5, -0.5], atol=1e-9)
    assert record["label_shifted"] is False


def test_the_bundle_runs_it(tmp_path, split_file):
    study = write_study(tmp_path / "studies", "mouse01")
    output = str(tmp_path / "set")
    arguments = {"source": [str(study)], "output_dir": output, "split_file": str(split_file)}
    run_bundle(BUNDLE, ["prepare"], arguments)
    assert len(load_datalist(output)["training"]) == 1


def write_nifti(path, stack, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(stack, np.float32), affine), path)


LOW = np.diag([0.4, 0.4, 1.0, 1.0])
HIGH = LOW @ np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("layout", ["suffix", "folders"])
def test_nifti_pairs_of_both_layouts(tmp_path, split_file, layout, caplog):
    source = tmp_path / "pairs"
    name = "mouse01_coronal_head-thorax"
    files = {
        "suffix": [f"{name}_fast.nii.gz", f"{name}_default.nii.gz", f"{name}_mask.nii.gz"],
        "folders": [f"low/{name}.nii.gz", f"high/{name}.nii.gz", f"masks/{name}.nii.gz"],
    }[layout]
    label = anatomy(128, 4)
    write_nifti(source / files[0], anatomy(64, 20), LOW)
    write_nifti(source / files[1], label, HIGH)
    write_nifti(source / files[2], label > 500, HIGH)
    write_nifti(source / "other.nii.gz", label, HIGH)
    prepare(tmp_path / "set", source=source, split_file=str(split_file), crop_background=False)
    item = load_datalist(tmp_path / "set")["training"][0]
    assert (item["scan"], item["plane"]) == (name, "coronal")
    np.testing.assert_array_equal(nib.load(item["label"]).get_fdata(), label)  # not interpolated
    np.testing.assert_array_equal(nib.load(item["mask"]).get_fdata(), label > 500)
    assert "pairs/other.nii.gz: its name ends neither" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda stack: np.where(stack > 900, np.nan, stack), "NaN"),
        (lambda stack: stack[..., None], "4D"),
        (lambda stack: np.zeros_like(stack), "nothing to restore"),
        (lambda stack: stack[:, :100], "is not twice"),
    ],
)
def test_nifti_files_that_cannot_be_used_are_named(tmp_path, split_file, spoil, reason):
    write_nifti(tmp_path / "pairs/mouse01_axial_a_fast.nii", anatomy(64, 20), LOW)
    write_nifti(tmp_path / "pairs/mouse01_axial_a_default.nii", spoil(anatomy(128, 4) * 1.0), HIGH)
    with pytest.raises(InputError, match="no pair of scans") as error:
        prepare(tmp_path / "set", source=tmp_path / "pairs", split_file=str(split_file))
    assert reason in str(error.value)
    assert not (tmp_path / "set").exists()
    assert not list(tmp_path.glob(".tmp*"))


def test_a_truncated_scan_costs_only_its_pair(tmp_path, split_file, caplog):
    studies = tmp_path / "studies"
    write_study(studies, "mouse01")
    path = write_study(studies, "mouse02") / "1" / "pdata" / "1" / "2dseq"
    path.write_bytes(path.read_bytes()[:-100])
    prepare(tmp_path / "set", source=studies, split_file=str(split_file))
    assert "copy the scan again" in caplog.text
    assert not load_datalist(tmp_path / "set")["validation"]


def test_exclusions_become_the_dataset_s(tmp_path, split_file, caplog):
    study = write_study(tmp_path / "studies", "mouse01")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"mouse01_axial_head-thorax": [1], "mouse77_axial_x": [0]}))
    arguments = {"source": study, "split_file": str(split_file), "exclusions": str(bad)}
    prepare(tmp_path / "set", **arguments)
    items = slice_items(load_datalist(tmp_path / "set")["training"])
    assert [item["slice"] for item in items] == [0, 2]
    assert "no scan mouse77_axial_x" in caplog.text
    report = json.loads((tmp_path / "set" / "preparation.json").read_text())
    assert report["pairs"][0]["excluded_slices"] == [1]


def test_exclusions_that_do_not_fit_are_refused_before_pixels_are_read(
    tmp_path, split_file, monkeypatch
):
    study = write_study(tmp_path / "studies", "mouse01")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"mouse01_axial_head-thorax": [SLICES]}))

    def stop(*_):
        raise AssertionError("pixels are read")

    monkeypatch.setattr("custom.data.pair_loading.read_2dseq", stop)
    arguments = {"source": study, "split_file": str(split_file), "exclusions": str(bad)}
    with pytest.raises(InputError, match="there is no slice 3"):
        prepare(tmp_path / "set", **arguments)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("content", [{"mouse01_axial_head-thorax": []}, {}])
def test_an_empty_list_excludes_nothing(tmp_path, split_file, content):
    study = write_study(tmp_path / "studies", "mouse01")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    prepare(tmp_path / "set", source=study, split_file=str(split_file), exclusions=str(bad))
    assert len(slice_items(load_datalist(tmp_path / "set")["training"])) == SLICES


def test_overwriting_needs_leave_and_keeps_a_person_s_list(tmp_path, split_file):
    study = write_study(tmp_path / "studies", "mouse01")
    arguments = {"source": study, "split_file": str(split_file)}
    prepare(tmp_path / "set", **arguments)
    (tmp_path / "set" / "exclusions.csv").write_text("scan,slice,exclude,reason\na,0,yes,mine\n")
    (tmp_path / "set" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds a dataset"):
        prepare(tmp_path / "set", **arguments)
    prepare(tmp_path / "set", **arguments, overwrite=True, crop_background=False)
    assert "mine" in (tmp_path / "set" / "exclusions.csv").read_text()
    assert (tmp_path / "set" / "notes.txt").is_file()
    item = load_datalist(tmp_path / "set")["training"][0]
    assert nib.load(item["image"]).shape[0] == 64


def test_an_interruption_leaves_nothing(tmp_path, split_file, monkeypatch):
    study = write_study(tmp_path / "studies", "mouse01")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("custom.data.pair_loading.foreground_box", stop)
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        prepare(tmp_path / "set", source=study, split_file=str(split_file))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split.json", "studies"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "nowhere"}, "source .*nowhere is no folder"),
        ({"source": "empty"}, "no ParaVision scan .2dseq. and no NIfTI"),
        ({"source": None}, "source is missing"),
        ({"output_dir": None}, "output_dir is missing"),
        ({"output_dir": "split.json"}, "is a file"),
        ({"output_dir": "."}, "holds other files"),
        ({"split_file": "none.json"}, "split_file none.json does not exist"),
        ({"exclusions": "none.csv"}, "none.csv does not exist"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, split_file, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    good = {"source": "empty", "output_dir": "set", "split_file": str(split_file)}
    with pytest.raises(InputError, match=message) as error:
        run_bundle(BUNDLE, ["prepare"], good | change)
    assert "\n" not in str(error.value)


def test_the_published_split_is_that_of_the_source():
    lists = json.loads((BUNDLE / "configs" / "split_published.json").read_text())
    numbers = {split: [int(name.removeprefix("mouse")) for name in lists[split]] for split in lists}
    assert numbers["training"] == [*range(1, 6), 8, 9, *range(11, 16), *range(17, 22), 23]
    assert numbers["validation"] == [6, 10]
    assert numbers["test"] == [7, 16, 22]
