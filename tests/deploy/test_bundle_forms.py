"""Bundles as they are handed over: whole, or refused in one line."""

import hashlib
import json
import random
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from demo_series import BUNDLES, copy_of

from custom.deploy.bundle_forms import open_bundle
from custom.deploy.packaging import package as module
from custom.deploy.packaging.archive import unpack
from custom.errors import InputError
from custom.files.atomic import sha256_of
from custom.networks.checkpoint_file import write_checkpoint

SMALLEST = next(path for path in BUNDLES if path.name == "gan3d_sr_denoise")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    bundle = copy_of(SMALLEST, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "verify_bundle", lambda *_, **__: [])
        module.package_bundle(bundle, folder / "bundle.zip", application=None)
    return folder / "bundle.zip"


@pytest.fixture(scope="module")
def script(archive, tmp_path_factory):
    folder = unpack(archive, tmp_path_factory.mktemp("script"))
    return folder / "models" / "model.ts"


def new(folder):
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_a_script_alone_has_the_weights_of_the_archive_byte_for_byte(script, tmp_path):
    opened = open_bundle(script, new(tmp_path / "w"))
    assert opened.form == "torchscript"
    assert opened.about["id"] == SMALLEST.name
    assert opened.sha256 == sha256_of(script)
    weights = script.with_name("model.pt")
    assert sha256_of(opened.root / "models" / "model.pt") == sha256_of(weights)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["archive", "script"])
def test_a_flipped_bit_is_refused_or_changes_nothing(form, archive, script, tmp_path):
    source = archive if form == "archive" else script
    content = source.read_bytes()
    whole = open_bundle(source, new(tmp_path / "whole"))
    expected = contents(whole.root)
    draw = random.Random(5)
    refused = []
    for turn in range(24):
        broken = bytearray(content)
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        file = tmp_path / f"{turn}" / source.name
        file.parent.mkdir()
        file.write_bytes(broken)
        try:
            opened = open_bundle(file, new(file.parent / "w"))
        except InputError as error:
            refused.append(str(error))
        else:
            assert contents(opened.root) == expected
        shutil.rmtree(file.parent)
    assert len(refused) > 12
    assert not [line for line in refused if "\n" in line]


def contents(root):
    """What is used of an opened bundle: files, and the tensors of a script."""
    found = {
        path.relative_to(root).as_posix(): sha256_of(path)
        for path in root.rglob("*")
        if path.is_file() and path.name not in ("model.ts", "manifest.json")
    }
    scripted = torch.jit.load(str(root / "models" / "model.ts"))
    state = {name: value.numpy().tobytes() for name, value in scripted.state_dict().items()}
    return found, state


@pytest.mark.slow
def test_weights_that_are_not_those_of_the_script_are_refused(script, tmp_path):
    from custom.deploy.packaging.archive import CODE_FILE

    other = tmp_path / "other.ts"
    with zipfile.ZipFile(script) as old, zipfile.ZipFile(other, "w") as made:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith(f"/extra/{CODE_FILE}"):
                data = with_other_weights(data, tmp_path)
            if entry.filename.endswith("/extra/metadata.json"):
                data = data.replace(b'"sha256"', b'"was"')  # or its hash would tell
            made.writestr(entry, data)
    with pytest.raises(InputError, match="its weights are not those that it carries"):
        open_bundle(other, new(tmp_path / "w"))


def with_other_weights(data, folder):
    (folder / "parts.zip").write_bytes(data)
    with zipfile.ZipFile(folder / "parts.zip") as parts:
        parts.extractall(folder / "parts")
    weights = folder / "parts" / "models" / "model.pt"
    state = torch.load(weights, weights_only=True)
    next(iter(state.values())).add_(1)
    write_checkpoint(state, weights)  # with its own hash beside it
    shutil.make_archive(str(folder / "changed"), "zip", folder / "parts")
    return (folder / "changed.zip").read_bytes()


def test_what_is_no_bundle_is_one_line(tmp_path):
    (tmp_path / "a.txt").write_text("no bundle")
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a/b.txt", "c")
    with zipfile.ZipFile(tmp_path / "other.ts", "w") as archive:
        archive.writestr("model/extra/metadata.json", json.dumps({"version": "1.0.0"}))
    for name, message in (
        ("none", "no such bundle"),
        ("a.txt", "no bundle"),
        ("empty", "hold exactly one, it holds none"),
        ("other.zip", "no archive of a bundle"),
        ("other.ts", "no models/.*ts out of an archive"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            open_bundle(tmp_path / name, new(tmp_path / f"w{name}"))
        assert "\n" not in str(caught.value)


def test_a_folder_that_holds_one_bundle_is_that_bundle(tmp_path):
    copy_of(SMALLEST, tmp_path)
    opened = open_bundle(tmp_path, new(Path(tmp_path) / "w"))
    assert (opened.form, opened.root.name) == ("folder", SMALLEST.name)
    copy_of(next(path for path in BUNDLES if path != SMALLEST), tmp_path)
    with pytest.raises(InputError, match="exactly one, it holds"):
        open_bundle(tmp_path, new(Path(tmp_path) / "w2"))


def test_another_file_than_its_source_names_is_not_even_read(tmp_path):
    (tmp_path / "hostile.zip").write_bytes(b"no archive at all")
    with pytest.raises(InputError, match=r"hostile\.zip: its SHA-256 is .*, not 0{64}"):
        open_bundle(tmp_path, new(tmp_path.parent / "w"), sha256="0" * 64)
    digest = hashlib.sha256(b"no archive at all").hexdigest()
    with pytest.raises(InputError, match=r"no bundle, or damaged"):
        open_bundle(tmp_path / "hostile.zip", new(tmp_path.parent / "w2"), sha256=digest)
    with pytest.raises(InputError, match="a folder has no SHA-256"):
        open_bundle(SMALLEST, new(tmp_path.parent / "w3"), sha256="0" * 64)
