"""Archives of bundles: the same bytes for the same content, every hash checked on opening."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from custom.errors import InputError
from custom.files.atomic import atomic_path, sha256_of
from custom.files.temporary import temporary_folder
from custom.files.text_files import read_json

__all__ = [
    "CODE_FILE",
    "FORMAT",
    "MANIFEST",
    "check_manifest",
    "check_size",
    "unpack",
    "write_zip",
]

MANIFEST = "manifest.json"
CODE_FILE = "parts.zip"  # in a TorchScript file, besides the configs: code and the files it needs
FORMAT = 2  # 1: metadata without `maps`, whose further series would be lost in silence
# What Python compiles before a line of the application can tell it not to.
_STARTED = "app/__pycache__/__main__."
# Folders that runs of an unpacked bundle write.
_GROWN = ("data", "output")
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can hold
_PERMISSIONS = 0o100644 << 16
_SIZE_LIMIT = 16 * 2**30  # bytes unpacked: far above any bundle
_MOST_ENTRIES = 10_000
# What file managers of macOS and Windows put into any folder that they show.
_STRAY = re.compile(r"\.DS_Store|\._.*|Thumbs\.db|[Dd]esktop\.ini")
_BROKEN = "make it anew with 'mri-bundles package', or copy it again"


def write_zip(folder: str | Path, path: str | Path, top: str | None = None) -> Path:
    """Write the files of a folder as a zip file, whole or not at all.

    Sorted, with one time and one set of permissions: the same files give the same bytes.

    Args:
        folder: Folder with the files to write.
        path: The zip file.
        top: Name of the one folder in it; without it the files are at the top.
    """
    folder = Path(folder)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        for file in files:
            name = PurePosixPath(top or "", file.relative_to(folder).as_posix()).as_posix()
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr = _PERMISSIONS
            entry.create_system = 3  # Unix; the default depends on the system, the archive must not
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes(), compresslevel=9)
    return Path(path)


def unpack(archive: str | Path, into: str | Path) -> Path:
    """Unpack a bundle's archive and check every file against the manifest.

    Args:
        archive: A file that ``mri-bundles package`` wrote.
        into: Existing folder.

    Returns:
        The bundle's folder; it appears in ``into`` whole or not at all.

    Raises:
        InputError: If it is no such archive, is damaged, holds a name that leads out of its folder,
            or a file that does not match the manifest; or if the folder exists already.
    """
    archive, into = Path(archive), Path(into)
    try:
        with zipfile.ZipFile(archive) as opened:
            check_size(opened, archive, into)
            top = _safe_top(opened, archive)
            if (into / top).exists():
                raise InputError(f"{into / top} exists: give an empty folder to unpack into")
            # Inside of the target: a rename to another file system is a copy, which can break off.
            with temporary_folder("unpacked", into) as temporary:
                opened.extractall(temporary)
                check_manifest(temporary / top, archive, fresh=True)
                (temporary / top).rename(into / top)
    except InputError:
        raise
    except (
        *(OSError, zipfile.BadZipFile, zlib.error, EOFError),
        *(NotImplementedError, RuntimeError, ValueError),
    ) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{archive} cannot be unpacked: {reason}: {_BROKEN}") from error
    return into / top


def check_size(opened: zipfile.ZipFile, archive: Path, into: Path) -> None:
    """Refuse a zip file that unpacks to more than a bundle, or than the disk can hold.

    zipfile unpacks no more of an entry than is declared.

    Raises:
        InputError: With the number of files, or of bytes.
    """
    entries = opened.infolist()
    if len(entries) > _MOST_ENTRIES:
        raise InputError(f"{archive} holds over {_MOST_ENTRIES} files: do not use it")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > _SIZE_LIMIT:
        raise InputError(f"{archive} unpacks to over {_SIZE_LIMIT // 2**30} GB: do not use it")
    if unpacked > shutil.disk_usage(into).free:
        raise InputError(f"{archive} unpacks to {unpacked / 1e9:.1f} GB: {into} has less free")


def check_manifest(
    folder: str | Path, named: str | Path | None = None, *, fresh: bool = False
) -> dict[str, Any]:
    """Check every file of an unpacked bundle against its manifest, and return the manifest.

    Args:
        folder: The bundle's folder.
        named: Name in messages; by default the folder.
        fresh: True if nothing in it has been run yet. Otherwise the folders that its own runs
            write are ignored.

    Raises:
        InputError: If there is no manifest, or one of another format; if a file is missing, does
            not match it, or is not listed.
    """
    folder, named = Path(folder), named or folder
    manifest = _read_manifest(folder, named)
    listed = manifest["files"]
    for name, expected in sorted(listed.items()):
        if not _is_inside(name) or not (folder / name).is_file():
            raise InputError(f"{named}: {name} is missing: {_BROKEN}")
        if sha256_of(folder / name) != expected:
            raise InputError(f"{named}: {name} is not what the manifest says: {_BROKEN}")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        started = not fresh and name.startswith(_STARTED)
        if file.suffix == ".pyc" and name not in listed and not started:
            raise InputError(
                f"{named}: {name} is not in the manifest, and Python would run it: remove the "
                "folders __pycache__, or unpack the archive anew"
            )
        grown = started or name.split("/")[0] in _GROWN or _STRAY.fullmatch(file.name)
        if name != MANIFEST and name not in listed and (fresh or not grown):
            raise InputError(f"{named}: {name} is not in the manifest: {_BROKEN}")
    return manifest


def _read_manifest(folder: Path, named: str | Path) -> dict[str, Any]:
    """Read the manifest of an unpacked bundle, without checking the files."""
    file = folder / MANIFEST
    try:
        manifest = read_json(file)
        found, files = manifest["format"], manifest["files"]
        usable = all(isinstance(value, str) for pair in files.items() for value in pair)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{named} has no {MANIFEST} that can be read: give an archive that "
            "'mri-bundles package' wrote"
        ) from error
    if found != FORMAT or not usable:
        raise InputError(
            f"{named}: its {MANIFEST} is of format {found}, this program reads {FORMAT}: "
            "package the bundle anew"
        )
    return dict(manifest)


def _safe_top(opened: zipfile.ZipFile, archive: Path) -> str:
    """Return the one folder at the top of an archive; refuse entries that would leave it."""
    entries = opened.infolist()
    for entry in entries:
        # A symbolic link leads anywhere, whatever its own name.
        link = (entry.external_attr >> 16) & 0o170000 == 0o120000
        if link or not _is_inside(entry.filename):
            raise InputError(
                f"{archive} holds {entry.filename!r}, which leads out of its folder: do not use it"
            )
    tops = {entry.filename.split("/")[0] for entry in entries}
    if len(tops) != 1 or not any(entry.filename == f"{min(tops)}/{MANIFEST}" for entry in entries):
        raise InputError(
            f"{archive} is no archive of a bundle: give one that 'mri-bundles package' wrote"
        )
    return tops.pop()


def _is_inside(name: str) -> bool:
    """Return True if a name in an archive stays in the folder it is unpacked into."""
    path = PurePosixPath(name)
    # Windows takes a backslash as a separator, and a colon as that of a drive.
    unsafe = "\\" in name or ":" in name or "\0" in name or not path.parts
    return not unsafe and not path.is_absolute() and ".." not in path.parts
