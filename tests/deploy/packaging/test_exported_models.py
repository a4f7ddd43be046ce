import json
import zipfile

import made_bundle
import pytest
import torch

from custom.bundle.verification.bundle_folder import BundleFolder
from custom.deploy.packaging.archive import CODE_FILE
from custom.deploy.packaging.exported_models import export_model


def exported(tmp_path, network=made_bundle.CONVOLUTION):
    root = made_bundle.make(tmp_path, network=network)
    made = tmp_path / "exported"
    made.mkdir()
    bundle = BundleFolder(root, tmp_path / "work")
    files = {"inference.json": b'{"a": 1}', CODE_FILE: b"code"}
    return made, export_model(bundle, made, files)


def of_kind(name):
    target = f"made_bundle.{name}"
    return made_bundle.CONVOLUTION.replace("torch.nn.Conv2d", target)


def test_both_forms_give_the_networks_output_at_any_size(tmp_path):
    made, (script, program) = exported(tmp_path)
    network = torch.nn.Conv2d(1, 1, 1)
    network.load_state_dict(torch.load(tmp_path / "made" / "models" / "model.pt"))
    image = torch.rand(5, 1, 7, 11)
    for export, loaded in (
        (script, torch.jit.load(str(made / "model.ts"))),
        (program, torch.export.load(made / "model.pt2").module()),
    ):
        torch.testing.assert_close(loaded(image), network(image))
        assert export.file == f"models/model{'.ts' if export is script else '.pt2'}"
        assert export.difference < 1e-6
        assert export.note == ""


def test_the_torchscript_file_carries_metadata_config_and_code(tmp_path):
    made, _ = exported(tmp_path)
    files = dict.fromkeys(("metadata.json", "inference.json", CODE_FILE), "")
    torch.jit.load(str(made / "model.ts"), _extra_files=files)
    assert files["inference.json"] == b'{"a": 1}'
    assert files[CODE_FILE] == b"code"
    assert json.loads(files["metadata.json"])["bundle_id"] == "made"


def test_the_same_network_gives_the_same_bytes_and_no_path_of_the_machine(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, _ = exported(tmp_path / "a")
    second, _ = exported(tmp_path / "b")
    for name in ("model.ts", "model.pt2"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        with zipfile.ZipFile(first / name) as opened:
            content = b"".join(opened.read(entry) for entry in opened.namelist())
        for place in (str(tmp_path), torch.__file__.rsplit("/", 1)[0]):
            assert place.encode() not in content


def test_sizes_that_an_export_does_not_take_are_said(tmp_path):
    _, (script, program) = exported(tmp_path, of_kind("Halving"))
    assert script.note == ""  # TorchScript keeps the condition
    assert "not (45, 37, 33)" in program.note
    assert program.file


def test_what_cannot_be_exported_is_said_and_no_error(tmp_path):
    made, exports = exported(tmp_path, of_kind("Deciding"))
    for export in exports:
        assert export.file == export.sha256 == ""
        assert export.note.startswith("cannot be exported")
        assert "\n" not in export.note
    assert list(made.iterdir()) == []


def test_an_export_that_gives_something_else_is_left_out(tmp_path, monkeypatch):
    wrong = torch.nn.Conv2d(1, 1, 1)
    monkeypatch.setattr("torch.jit.load", lambda *_, **__: wrong)
    made, (script, _) = exported(tmp_path)
    assert script.file == ""
    assert script.note.startswith("left out: its output is off by")
    assert not (made / "model.ts").exists()


@pytest.mark.parametrize("form", ["torchscript", "torch.export"])
def test_without_weights_there_is_nothing_to_export(tmp_path, form):
    root = made_bundle.make(tmp_path)
    (root / "models" / "model.pt").unlink()
    exports = export_model(BundleFolder(root, tmp_path / "work"), tmp_path, {})
    assert {export.form: export.note for export in exports}[form] == "the bundle has no model.pt"
