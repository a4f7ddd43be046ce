"""The steps from DICOM to DICOM, without the MONAI Deploy SDK."""

import errno
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from demo_series import BUNDLES
from mr_series import NAME, PATIENT_ID, Phantom, classic, phantom, write
from pydicom.uid import generate_uid
from scipy.ndimage import gaussian_filter

from custom.cli import main
from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume, write_nifti
from custom.deploy.pipeline import Pipeline
from custom.deploy.settings import Settings
from custom.errors import InputError, Refusal

MOUSE = next(path for path in BUNDLES if path.name == "micro_mri_denoise")
VOLUMES = next(path for path in BUNDLES if path.name == "gan3d_sr_denoise")


def mouse_series(folder, shape=(44, 40, 8), spacing=(0.2, 0.2, 0.6), echo=37.1, **changes):
    noise = np.random.default_rng(5).random(shape)
    stored = np.rint(4000 * gaussian_filter(noise, 1.5)).astype(int)
    series = Phantom(stored, spacing=spacing, uid=generate_uid(), **changes)
    return write(classic(series, EchoTime=echo), folder)


def run(dicom, output, settings=None, model=MOUSE):
    pipeline = Pipeline(model, output, settings or Settings())
    with pipeline.audited():
        volume = pipeline.volume(pipeline.select(pipeline.load(dicom)))
        pipeline.write(pipeline.restore(volume), volume)
    return pipeline


def audit(output):
    return [json.loads(line) for line in (output / "audit.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    return mouse_series(tmp_path_factory.mktemp("in") / "NAME_OF_PATIENT")


@pytest.fixture(scope="module")
def restored(dicom, tmp_path_factory):
    output = tmp_path_factory.mktemp("out")
    return run(dicom, output), output


def test_the_series_holds_what_restore_makes_of_the_same_volume(dicom, restored, tmp_path):
    _, output = restored
    write_nifti(series_volume(read_folder(dicom)[0], "volume"), tmp_path / "same.nii")
    command = ["restore", str(MOUSE), "--input", str(tmp_path / "same.nii")]
    main([*command, "--output", str(tmp_path / "nifti")])
    import nibabel as nib

    expected = nib.load(tmp_path / "nifti" / "same_restored.nii.gz")
    made = series_volume(read_folder(output / "restored")[0], "volume")
    assert made.array.shape == (88, 80, 8)
    slope = float(made.headers[0].get("RescaleSlope", 1))
    np.testing.assert_allclose(made.affine, expected.affine, atol=1e-4)
    np.testing.assert_allclose(made.array, expected.get_fdata(), atol=slope / 2 * 1.001)


def test_what_is_written_beside_the_series(restored):
    pipeline, output = restored
    assert sorted(path.name for path in output.iterdir()) == [
        "audit.jsonl",
        "restoration.json",
        "restored",
    ]
    about = json.loads((output / "restoration.json").read_text())
    assert about["bundle"]["id"] == "micro_mri_denoise"
    assert about["series"] == {"restored": 8}
    assert about["source"] == {"sha256": pipeline.sha256, "images": 8}
    assert "input" not in about
    (line,) = audit(output)
    assert (line["decision"], line["reason"]) == ("restored", None)
    assert line["bundle"]["sha256"] == about["bundle"]["sha256"]
    assert line["input_sha256"] == pipeline.sha256
    assert line["seconds"] > 0


def test_no_word_of_the_patient_outside_the_images(restored, caplog, dicom):
    _, output = restored
    planted = [NAME.split("^")[0], PATIENT_ID, "ACC-PLANTED", "PLANTEDDOCTOR", dicom.name]
    for file in (output / "audit.jsonl", output / "restoration.json"):
        assert not [word for word in planted if word in file.read_text()]
    assert not [word for word in planted if word in caplog.text]
    image = next((output / "restored").iterdir()).read_bytes()
    assert NAME.encode() in image


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spacing": (1.0, 1.0, 0.6)}, "far-spacing"),
        ({"spacing": (0.2, 0.2, 5.0)}, "far-slice-spacing"),
        ({"echo": 3.0}, "far-contrast"),
        ({"shape": (44, 40, 7)}, "far-slice-count"),
    ],
)
def test_a_series_far_from_the_training_is_refused_or_warned_of(changes, reason, tmp_path):
    series = mouse_series(tmp_path / "in", **changes)
    with pytest.raises(Refusal, match=r"far from the .* of the training"):
        run(series, tmp_path / "refused")
    assert [path.name for path in (tmp_path / "refused").iterdir()] == ["audit.jsonl"]
    (line,) = audit(tmp_path / "refused")
    assert (line["decision"], line["reason"]) == ("refused", reason)
    pipeline = Pipeline(MOUSE, tmp_path / "warned", Settings(outside_range="warn"))
    with pipeline.audited():
        pipeline.volume(pipeline.select(pipeline.load(series)))
    assert reason in audit(tmp_path / "warned")[0]["warnings"]


def test_a_site_s_overlay_keeps_the_training_range_of_the_variant_below_it(tmp_path):
    series = mouse_series(tmp_path / "in", shape=(20, 20, 20), spacing=(0.8, 0.8, 0.8))
    for overlays, refused in (((), True), (("denoise", "site"), False)):
        output = tmp_path / f"out{refused}"
        pipeline = Pipeline(VOLUMES, output, Settings(overlays=overlays))
        with pipeline.audited(), pytest.raises(Refusal) if refused else nullcontext():
            pipeline.volume(pipeline.select(pipeline.load(series)))
        assert audit(output)[0]["warnings"] == []


def test_rules_may_say_to_warn_and_the_settings_win(tmp_path):
    series = mouse_series(tmp_path / "in", spacing=(1.0, 1.0, 0.6))
    rules = tmp_path / "rules.yaml"
    rules.write_text("outside_training_range: warn\n")
    for settings, refused in (
        (Settings(rules=rules), False),
        (Settings(rules=rules, outside_range="refuse"), True),
    ):
        pipeline = Pipeline(MOUSE, tmp_path / f"out{refused}", settings)
        try:
            with pipeline.audited():
                pipeline.volume(pipeline.select(pipeline.load(series)))
        except Refusal:
            assert refused
        else:
            assert not refused


def test_what_the_bundle_refuses_is_one_line_without_a_path_in_between(tmp_path):
    series = mouse_series(tmp_path / "in", shape=(12, 20, 30))
    with pytest.raises(InputError, match="voxels") as caught:
        run(series, tmp_path / "out", Settings(outside_range="warn"))
    assert "series.nii" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert audit(tmp_path / "out")[0]["reason"] == "input"


def test_a_full_disk_leaves_nothing_but_the_log(dicom, tmp_path, monkeypatch):
    from pydicom.dataset import Dataset

    written = []

    def save_as(self, path, **_):
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(b"")

    monkeypatch.setattr(Dataset, "save_as", save_as)
    with pytest.raises(InputError, match="disk full"):
        run(dicom, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["audit.jsonl"]


def test_an_earlier_result_is_not_written_over(dicom, restored):
    _, output = restored
    before = sorted((output / "restored").iterdir())
    with pytest.raises(InputError, match="holds files already"):
        run(dicom, output)
    assert sorted((output / "restored").iterdir()) == before
    assert [line["decision"] for line in audit(output)] == ["restored", "refused"]


@pytest.mark.parametrize("name", ["restored/a.dcm", "spread/a.dcm", "restoration.json"])
def test_an_occupied_output_is_refused_before_anything_is_read(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="give another output folder"):
        run(tmp_path / "none", tmp_path, Settings(maps=("spread",)), model=tmp_path / "no bundle")
    assert audit(tmp_path)[0]["decision"] == "refused"


def test_a_log_that_fails_at_the_end_is_said_and_hides_no_earlier_error(tmp_path, monkeypatch):
    from custom.deploy.audit_log import AuditLog

    def record(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(AuditLog, "record", record)
    with (
        pytest.raises(InputError, match="is not in the log"),
        Pipeline(MOUSE, tmp_path, Settings()).audited(),
    ):
        pass
    with pytest.raises(ZeroDivisionError), Pipeline(MOUSE, tmp_path, Settings()).audited():
        raise ZeroDivisionError


def test_a_run_told_to_end_leaves_a_line_in_the_log_and_nothing_else(tmp_path):
    """While it is in native code that does not come back, as a network may be for minutes."""
    program = (
        "import ctypes, sys\n"
        "from custom.deploy.pipeline import Pipeline\n"
        "from custom.deploy.settings import Settings\n"
        "from custom.files.temporary import temporary_path\n"
        f"line = Pipeline({str(MOUSE)!r}, {str(tmp_path / 'out')!r}, Settings())\n"
        "with line.audited():\n"
        "    (line._workspace / 'series.nii').write_text('of a patient')\n"
        "    temporary_path(line.output / 'restored').mkdir()\n"
        "    temporary_path(line.output / 'restoration.json').touch()\n"
        "    print(line._workspace, flush=True)\n"
        "    ctypes.CDLL(None).sleep(100)\n"
        "    ctypes.CDLL(None).sleep(100)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=MOUSE.parents[1]
    ) as process:
        workspace = Path(process.stdout.readline().strip())
        assert (workspace / "series.nii").exists()
        process.terminate()
        assert process.wait(30) == 143
    assert not workspace.exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["audit.jsonl"]
    (line,) = audit(tmp_path / "out")
    assert (line["decision"], line["reason"]) == ("failed", "stopped")


def test_maps_have_names(dicom, tmp_path):
    with pytest.raises(InputError, match="no map called 'noise': there are spread"):
        run(dicom, tmp_path / "a", Settings(maps=("spread", "noise")))
    assert not (tmp_path / "a" / "restored").exists()
    run(dicom, tmp_path / "b", Settings())
    assert audit(tmp_path / "b")[0]["warnings"] == []  # the default is not missed


def test_the_log_and_the_description_say_which_model(dicom, tmp_path):
    run(dicom, tmp_path, Settings(overlays=("apddm",), overrides={"seed": 1}))
    assert audit(tmp_path)[0]["bundle"]["model"] == "apddm"
    assert json.loads((tmp_path / "restoration.json").read_text())["model"] == "apddm"
    header = read_folder(tmp_path / "restored")[0].headers[0]
    assert "apddm" in header.SeriesDescription
    assert "apddm" in header.DerivationDescription


def test_a_series_without_an_echo_time_is_warned_of(tmp_path):
    series = mouse_series(tmp_path / "in", echo=None)
    pipeline = Pipeline(MOUSE, tmp_path / "out", Settings())
    with pipeline.audited():
        pipeline.volume(pipeline.select(pipeline.load(series)))
    assert audit(tmp_path / "out")[0]["warnings"] == ["unknown-contrast"]


def test_the_temporary_volume_is_gone_whatever_happens(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    series = write(classic(phantom((24, 20, 4), spacing=(0.2, 0.2, 0.6))), tmp_path / "in")
    with pytest.raises(InputError):
        run(series, tmp_path / "out")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_mistake_of_ours_is_logged_as_such(dicom, tmp_path):
    pipeline = Pipeline(MOUSE, tmp_path, Settings())
    with pytest.raises(ZeroDivisionError), pipeline.audited():
        raise ZeroDivisionError
    (line,) = audit(tmp_path)
    assert (line["decision"], line["reason"]) == ("failed", "ZeroDivisionError")


def test_settings_of_a_container_come_from_its_environment(monkeypatch, tmp_path):
    for name, value in {
        "RULES": str(tmp_path / "rules.yaml"),
        "CONFIG": "apddm, tuned",
        "OVERRIDES": '{"seed": 3}',
        "OUTSIDE_RANGE": "warn",
        "MAPS": "spread, difference",
        "SHA256": "ab",
    }.items():
        monkeypatch.setenv(f"RESTORATION_{name}", value)
    settings = Settings.from_environment()
    assert settings == Settings(
        rules=tmp_path / "rules.yaml",
        overlays=("apddm", "tuned"),
        overrides={"seed": 3},
        outside_range="warn",
        maps=("spread", "difference"),
        sha256="ab",
    )


@pytest.mark.parametrize("text", ["[1]", "{", "3", "[" * 20_000])
def test_overrides_that_are_no_object_are_refused(text, monkeypatch):
    monkeypatch.setenv("RESTORATION_OVERRIDES", text)
    with pytest.raises(InputError, match="must be a JSON object"):
        Settings.from_environment()


def test_outside_range_has_two_values():
    with pytest.raises(InputError, match="outside_range must be one of"):
        Settings(outside_range="ignore")
