import json
import os
import shutil
import zipfile

import pytest

from custom.deploy.packaging.archive import FORMAT, MANIFEST, check_manifest, unpack, write_zip
from custom.errors import InputError
from custom.files.atomic import sha256_of


@pytest.fixture
def folder(tmp_path):
    """A folder with a manifest, as an archive holds it."""
    root = tmp_path / "source"
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "metadata.json").write_text("{}")
    (root / "model.pt").write_bytes(bytes(range(256)) * 40)
    hashes = {
        path.relative_to(root).as_posix(): sha256_of(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    (root / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": hashes}))
    return root


def target(tmp_path):
    into = tmp_path / "into"
    into.mkdir(exist_ok=True)
    return into


def refused(archive, tmp_path, says):
    """The archive is refused in one line, and leaves nothing behind."""
    into = target(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        unpack(archive, into)
    assert "\n" not in str(caught.value)
    assert str(archive) in str(caught.value)
    assert list(into.iterdir()) == []


def rewrite(archive, change):
    """Write a zip file anew with its entries changed: a mapping of names to bytes."""
    with zipfile.ZipFile(archive) as opened:
        entries = {name: opened.read(name) for name in opened.namelist()}
    change(entries)
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)


def test_what_is_unpacked_is_what_was_packed(folder, tmp_path):
    root = unpack(write_zip(folder, tmp_path / "a.zip", "bundle"), target(tmp_path))
    assert root.name == "bundle"
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert {name: (root / name).read_bytes() for name in names} == {
        name: (folder / name).read_bytes() for name in names
    }
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == sorted(
        name.name for name in names
    )


@pytest.mark.parametrize("name", [".DS_Store", "models/Thumbs.db", "docs/._README.md"])
def test_what_file_managers_add_is_passed_over(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\0\0\0\1Bud1")
    check_manifest(folder)
    with pytest.raises(InputError, match=f"{name} is not in the manifest"):
        check_manifest(folder, fresh=True)  # no program of ours writes it into an archive


@pytest.mark.parametrize("kind", ["files", "bytes", "disk"])
def test_what_would_fill_the_disk_is_not_unpacked(folder, tmp_path, monkeypatch, kind):
    archive = write_zip(folder, tmp_path / "a.zip", "bundle")
    if kind == "files":
        monkeypatch.setattr("custom.deploy.packaging.archive._MOST_ENTRIES", 2)
    elif kind == "bytes":
        with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("bundle/zeros", bytes(2**24))
        monkeypatch.setattr("custom.deploy.packaging.archive._SIZE_LIMIT", 2**20)
    else:
        free = shutil.disk_usage(tmp_path)._replace(free=10)
        monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    refused(archive, tmp_path, "holds over 2 files|unpacks to over 0 GB|has less free")
    assert not list(target(tmp_path).iterdir())


def test_the_same_files_give_the_same_bytes(folder, tmp_path):
    first = write_zip(folder, tmp_path / "a.zip", "bundle").read_bytes()
    for path in folder.rglob("*"):
        os.utime(path, (10**9, 10**9))
    (folder / "model.pt").chmod(0o700)
    assert write_zip(folder, tmp_path / "b.zip", "bundle").read_bytes() == first


def test_results_of_runs_are_passed_over(folder):
    for name in ("data/demo/x.nii", "output/y.nii", "app/__pycache__/__main__.cpython-311.pyc"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("")
    assert check_manifest(folder)["format"] == FORMAT


@pytest.mark.parametrize("name", ["parts/__pycache__/z.pyc", "parts/z.pyc", "data/z.pyc"])
def test_compiled_code_that_python_might_run_is_refused(folder, name):
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"")
    with pytest.raises(InputError, match=rf"{name} is not in the manifest, .*__pycache__"):
        check_manifest(folder)


@pytest.mark.parametrize(
    "name", ["../out.txt", "bundle/../../out.txt", "/out.txt", "C:\\out", "\\x"]
)
def test_a_name_that_leads_out_is_refused(folder, tmp_path, name):
    archive = write_zip(folder, tmp_path / "a.zip", "bundle")
    rewrite(archive, lambda entries: entries.update({name: b"x"}))
    refused(archive, tmp_path, "leads out of its folder")
    assert not (tmp_path / "out.txt").exists()


def test_a_link_is_refused(folder, tmp_path):
    archive = write_zip(folder, tmp_path / "a.zip", "bundle")
    with zipfile.ZipFile(archive, "a") as opened:
        link = zipfile.ZipInfo("bundle/link")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
    refused(archive, tmp_path, "leads out of its folder")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda files: files.update({"bundle/model.pt": b"other"}),
            "is not what the manifest says",
        ),
        (lambda files: files.pop("bundle/model.pt"), "model.pt is missing"),
        (lambda files: files.update({"bundle/more.py": b""}), "more.py is not in the manifest"),
        (
            lambda files: files.update({"bundle/parts/__pycache__/a.pyc": b""}),
            "a.pyc is not in the manifest",
        ),
        (lambda files: files.update({"second/more.py": b""}), "is no archive of a bundle"),
        (lambda files: files.pop(f"bundle/{MANIFEST}"), "is no archive of a bundle"),
        (lambda files: files.update({f"bundle/{MANIFEST}": b"[]"}), "no manifest.json that can be"),
        (
            lambda files: files.update({f"bundle/{MANIFEST}": b'{"format": 3, "files": {}}'}),
            "of format 3",
        ),
    ],
)
def test_what_is_not_as_the_manifest_says_is_refused(folder, tmp_path, change, says):
    archive = write_zip(folder, tmp_path / "a.zip", "bundle")
    rewrite(archive, change)
    refused(archive, tmp_path, says)


def test_a_damaged_archive_is_refused_wherever_the_damage_is(folder, tmp_path):
    content = write_zip(folder, tmp_path / "a.zip", "bundle").read_bytes()
    archive = tmp_path / "damaged.zip"
    for damaged in (
        content[: len(content) // 2],
        b"",
        b"text",
        content[:60] + b"\0\1" + content[62:],
    ):
        archive.write_bytes(damaged)
        refused(archive, tmp_path, "cannot be unpacked|not what the manifest says")
    refused(tmp_path / "nothing.zip", tmp_path, "cannot be unpacked")


def test_a_folder_that_is_there_is_left_alone(folder, tmp_path):
    archive = write_zip(folder, tmp_path / "a.zip", "bundle")
    (target(tmp_path) / "bundle").mkdir()
    with pytest.raises(InputError, match="exists"):
        unpack(archive, target(tmp_path))
    assert list((tmp_path / "into" / "bundle").iterdir()) == []


def test_a_manifest_that_names_what_lies_outside_is_refused(folder, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["../outside.txt"] = sha256_of(outside)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="is missing"):
        check_manifest(folder)


def damaged(archive, name, change):
    """Change the bytes of one entry's header in the directory, or of its content."""
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        entry = opened.getinfo(name)
    change(content, entry)
    archive.write_bytes(content)


def encrypt(content, entry):
    """Set the flag of an encrypted entry, in its own header and in the directory."""
    content[entry.header_offset + 6] |= 1
    directory = content.rindex(entry.filename.encode())
    content[directory - 46 + 8] |= 1


def break_the_stream(content, entry):
    """Make the compressed stream begin with a kind of block that there is not."""
    content[entry.header_offset + 30 + len(entry.filename)] = 0b111


@pytest.mark.parametrize("change", [encrypt, break_the_stream])
def test_what_the_decompressor_cannot_read_is_one_line(folder, tmp_path, change):
    archive = write_zip(folder, tmp_path / "a.zip", "bundle")
    damaged(archive, "bundle/model.pt", change)
    refused(archive, tmp_path, "cannot be unpacked")
