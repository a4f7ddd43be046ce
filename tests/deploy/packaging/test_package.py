import json
import zipfile

import made_bundle
import pytest

from custom.bundle.verification.outcome import CheckResult
from custom.cli import main
from custom.deploy.packaging import package as module
from custom.deploy.packaging.archive import MANIFEST, check_manifest, unpack
from custom.deploy.packaging.package import package_bundle
from custom.errors import InputError
from custom.files.atomic import sha256_of


@pytest.fixture
def verified(monkeypatch):
    """The made bundle is no whole one: take the checks for passed; return what was asked for."""
    asked = []

    def verify(bundle, **how):
        asked.append(how)
        return [CheckResult("layout.made", True, "", 0.0)]

    monkeypatch.setattr(module, "verify_bundle", verify)
    return asked


@pytest.fixture
def bundle(tmp_path):
    return made_bundle.make(tmp_path)


def made(bundle, tmp_path, **how):
    archive = tmp_path / "made.zip"
    package_bundle(bundle, archive, application=None, **how)
    (tmp_path / "unpacked").mkdir()
    return unpack(archive, tmp_path / "unpacked")


def test_the_archive_holds_the_bundle_and_what_it_needs(bundle, tmp_path, verified):
    (bundle / "data").mkdir()
    (bundle / "data" / "scan.nii").write_text("")
    (bundle / ".hidden").write_text("")
    (bundle / "models" / "old.ts").write_text("")
    root = made(bundle, tmp_path)
    manifest = json.loads((root / MANIFEST).read_text())
    package = manifest["code"]["package"]
    assert package.startswith("made_parts_")
    names = {name for name in manifest["files"] if not name.startswith(package)}
    assert names == {
        "README.md",
        "configs/early.json",
        "configs/early.yaml",
        "configs/inference.json",
        "configs/inference.yaml",
        "configs/metadata.json",
        "configs/protocol.bval",
        "docs/README.md",
        "models/model.pt",
        "models/model.pt2",
        "models/model.ts",
        "requirements.txt",
        "sbom.cdx.json",
    }
    assert manifest["bundle"] == {"id": "made", "name": "Made bundle", "version": "1.2.3"}
    assert "Research use only" in manifest["notice"]
    assert (root / "requirements.txt").read_text().splitlines() == [
        "monai==1.6.1",
        "numpy==2.4.6",
        "psutil==7.2.2",
        "pyyaml==6.0.3",
        "torch==2.15.0",
    ]
    assert {export["file"] for export in manifest["exports"]} == {
        "models/model.ts",
        "models/model.pt2",
    }
    assert verified == [{"quick": False, "report": None}]
    assert manifest["checks"] == "all"


def test_only_reached_modules_are_in_it(bundle, tmp_path, verified):
    code = (
        made(bundle, tmp_path) / check_manifest(tmp_path / "unpacked" / "made")["code"]["package"]
    )
    written = {path.relative_to(code).as_posix() for path in code.rglob("*.py")}
    assert {"files/atomic.py", "errors.py", "transforms/split_deviations.py"} <= written
    assert "files/csv_table.py" not in written  # a comment speaks of it


def test_the_same_bundle_gives_the_same_archive(bundle, tmp_path, verified):
    for name in ("a.zip", "b.zip"):
        package_bundle(bundle, tmp_path / name, quick=True, application=None)
    assert sha256_of(tmp_path / "a.zip") == sha256_of(tmp_path / "b.zip")
    with (bundle / "docs" / "README.md").open("a") as card:
        card.write("more")
    package_bundle(bundle, tmp_path / "c.zip", quick=True, application=None)
    assert sha256_of(tmp_path / "c.zip") != sha256_of(tmp_path / "a.zip")


def test_a_lone_torchscript_file_brings_code_and_files(bundle, tmp_path, verified):
    root = made(bundle, tmp_path)
    with zipfile.ZipFile(root / "models" / "model.ts") as script:
        (tmp_path / "parts.zip").write_bytes(script.read("model/extra/parts.zip"))
        config = json.loads(script.read("model/extra/inference.json"))
    package = json.loads((root / MANIFEST).read_text())["code"]["package"]
    assert config["split"]["_target_"].startswith(f"{package}.")
    with zipfile.ZipFile(tmp_path / "parts.zip") as parts:
        names = set(parts.namelist())
        carried = parts.read("models/model.pt")
    assert f"{package}/files/atomic.py" in names
    assert "configs/protocol.bval" in names
    assert [name for name in names if name.startswith("models/")] == ["models/model.pt"]
    assert carried == (root / "models" / "model.pt").read_bytes()


def refused(says, bundle, output, **how):
    before = set(output.parent.rglob("*"))
    with pytest.raises(InputError, match=says) as caught:
        package_bundle(bundle, output, application=None, **how)
    assert "\n" not in str(caught.value)
    assert set(output.parent.rglob("*")) == before


def test_a_place_that_cannot_be_is_refused_before_the_checks(bundle, tmp_path, verified):
    (tmp_path / "there.zip").write_text("mine")
    refused("ends with .zip", bundle, tmp_path / "made.tar")
    refused("exists: give --overwrite", bundle, tmp_path / "there.zip")
    refused("lies in the bundle itself", bundle, bundle / "made.zip")
    (tmp_path / "folder.zip").mkdir()
    refused("exists", bundle, tmp_path / "folder.zip", overwrite=True)
    assert verified == []
    package_bundle(bundle, tmp_path / "there.zip", overwrite=True, application=None)
    assert zipfile.is_zipfile(tmp_path / "there.zip")


def test_a_bundle_that_fails_a_check_is_refused(bundle, tmp_path, monkeypatch):
    failed = [CheckResult("meta.made", False, "something lacks", 0.0)]
    monkeypatch.setattr(module, "verify_bundle", lambda *_, **__: failed)
    refused(
        "made is not packaged: 1 checks failed: meta.made: something lacks",
        bundle,
        tmp_path / "a.zip",
    )


def test_an_import_of_what_is_not_declared_is_refused(tmp_path, verified):
    inference = (
        made_bundle.INFERENCE + "more: {_target_: custom.files.zarr_slices.ZarrSliceReader}\n"
    )
    bundle = made_bundle.make(tmp_path, inference=inference)
    refused("custom.files.zarr_slices imports 'zarr': declare it", bundle, tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "the following arguments are required: --output"),
        (["--output"], 2, "--output needs a value"),
        (["--output", "a.zip", "more"], 2, "unexpected 'more'"),
        (["--output", "a.zip", "--quick", "7"], 2, "--quick takes true or false"),
        (["--output", "a.tar"], 1, "ends with .zip"),
    ],
)
def test_the_command_says_what_is_wrong(words, code, says, bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["package", str(bundle), *words])
    assert stop.value.code == code
    assert says in capsys.readouterr().err


def test_the_command_writes_the_archive(bundle, tmp_path, verified, monkeypatch, capsys):
    monkeypatch.setattr(module, "write_application", lambda *_: "app")
    monkeypatch.chdir(tmp_path)
    main(["package", str(bundle), "--output", "a.zip", "--quick"])
    assert zipfile.is_zipfile(tmp_path / "a.zip")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{sha256_of(tmp_path / 'a.zip')}  {tmp_path / 'a.zip'}"
    assert "model as torchscript: ok" in lines
    assert verified[0]["quick"] is True
