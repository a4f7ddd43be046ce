"""Forms of a bundle: archive, folder or TorchScript file; each is opened as a folder."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custom.bundle.metadata_entries import ResultMap, result_maps
from custom.bundle.typed_values import in_expression
from custom.deploy.packaging.archive import CODE_FILE, MANIFEST, check_manifest, check_size, unpack
from custom.errors import InputError
from custom.files.atomic import check_sha256, sha256_of
from custom.files.text_files import read_metadata

__all__ = ["OpenBundle", "importable", "open_bundle"]

_METADATA = Path("configs") / "metadata.json"
# Exceptions of a damaged file in the readers of zip files and of torch.
_DAMAGED = (
    *(OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError),
    *(RuntimeError, ValueError, KeyError, pickle.UnpicklingError, AttributeError, TypeError),
)


@dataclass(frozen=True)
class OpenBundle:
    """A bundle that can be run.

    Attributes:
        root: Its folder.
        form: ``archive``, ``folder`` or ``torchscript``.
        metadata: Its metadata.
        sha256: Hash of the archive or file; of a folder, that of its manifest or else of its
            configs and models.
        overrides: Config ids that this form needs set.
    """

    root: Path
    form: str
    metadata: Mapping[str, Any]
    sha256: str
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> dict[str, str]:
        """Id, version and hash, for logs and headers."""
        return {
            "id": str(self.metadata.get("bundle_id", self.root.name)),
            "version": str(self.metadata["version"]),
            "sha256": self.sha256,
        }

    @property
    def maps(self) -> dict[str, ResultMap]:
        """The maps that the bundle may write beside a restored image."""
        return result_maps(self.metadata)


def open_bundle(path: str | Path, workspace: Path, sha256: str | None = None) -> OpenBundle:
    """Open a bundle of any form; nothing in it is run.

    Args:
        path: An archive that ``mri-bundles package`` wrote, a bundle's folder, a TorchScript file
            out of an archive, or a folder that holds exactly one of these.
        workspace: Empty folder that stays until the bundle has been run.
        sha256: Hash of the archive or TorchScript file, checked before anything of it is read.

    Raises:
        InputError: If it is none of these, or its content does not match its hashes.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such bundle: give an archive, a folder or a model.ts")
    if path.is_dir():
        return _from_folder(path, workspace, sha256)
    if sha256 is not None:
        check_sha256(path, sha256)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _DAMAGED as error:
        raise InputError(
            f"{path}: no bundle, or damaged: give an archive (.zip), a folder or a model.ts"
        ) from error
    # A TorchScript file is a zip file too; torch keeps what is added to it under extra/.
    if any("/extra/" in name for name in names):
        return _from_torchscript(path, workspace)
    root = unpack(path, workspace)
    return OpenBundle(root, "archive", _about(root), sha256_of(path))


@contextmanager
def importable(bundle: OpenBundle) -> Iterator[None]:
    """Let a bundle's own code be imported, and forget it afterwards.

    The code of an archive has a unique package name, so that it does not collide with that of
    another bundle; it is removed from the imported modules because its folder may be deleted.
    """
    root = str(bundle.root)
    sys.path.insert(0, root)
    # Compiled code in an unpacked bundle would be refused at its next opening.
    compiles, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = compiles
        sys.path.remove(root)
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and Path(file).is_relative_to(root):
                del sys.modules[name]


def _from_folder(path: Path, workspace: Path, sha256: str | None) -> OpenBundle:
    """Open a bundle's folder, or the one bundle in a folder."""
    if not (path / _METADATA).is_file():
        inner = [
            entry
            for entry in sorted(path.iterdir())
            if (entry / _METADATA).is_file()
            or (entry.is_file() and entry.suffix in (".zip", ".ts"))
        ]
        if len(inner) != 1:
            found = ", ".join(entry.name for entry in inner) or "none"
            raise InputError(f"{path}: must be a bundle or hold exactly one, it holds {found}")
        return open_bundle(inner[0], workspace, sha256)
    if sha256 is not None:
        raise InputError(f"{path}: a folder has no SHA-256: give the archive itself")
    root = path.resolve()
    if (root / MANIFEST).is_file():
        check_manifest(root)
        return OpenBundle(root, "folder", _about(root), sha256_of(root / MANIFEST))
    return OpenBundle(root, "folder", _about(root), _sha256_of_folder(root))


def _from_torchscript(path: Path, workspace: Path) -> OpenBundle:
    """Write the content of a TorchScript file as a bundle's folder."""
    root = workspace / path.stem
    try:
        _lay_out(path, root)
        # Checksums fit a file that was altered and zipped anew, too.
        if not _holds_its_weights(root / "models"):
            raise ValueError("its weights are not those that it carries")
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: damaged, or no models/*.ts out of an archive that 'mri-bundles package' "
            f"wrote ({type(error).__name__}: {reason}): take it out of the archive again"
        ) from error
    file = in_expression(str(root / "models" / "model.ts"))
    network = f"$torch.jit.load({file}, map_location=@device)"
    return OpenBundle(root, "torchscript", _about(root), sha256_of(path), {"network": network})


def _lay_out(path: Path, root: Path) -> None:
    """Write configs, code, weights and the TorchScript file itself into a folder."""
    (root / "configs").mkdir(parents=True)
    with zipfile.ZipFile(path) as archive:
        check_size(archive, path, root)
        broken = archive.testzip()  # torch does not verify the checksums
        if broken is not None:
            raise zipfile.BadZipFile(f"{broken} is not what was written")
        for name in archive.namelist():
            if "/extra/" in name:
                # Its name alone: a renamed file keeps the folder of its old name.
                (root / "configs" / Path(name).name).write_bytes(archive.read(name))
    code = root / "configs" / CODE_FILE
    with zipfile.ZipFile(code) as parts:
        check_size(parts, path, root)
        parts.extractall(root)  # zipfile takes '..' and absolute names out
    code.unlink()
    shutil.copyfile(path, root / "models" / "model.ts")


def _holds_its_weights(models: Path) -> bool:
    """Return True if a TorchScript file and the weights it carries are the same, bit for bit."""
    import torch

    from custom.networks.checkpoint_file import read_checkpoint

    scripted = torch.jit.load(str(models / "model.ts"), "cpu")  # type: ignore[no-untyped-call]
    carried = read_checkpoint(models / "model.pt")
    # Bytes, not ==: a NaN differs from itself, and 0 equals -0.
    one, other = (
        {name: (value.dtype, value.shape, value.numpy().tobytes()) for name, value in state.items()}
        for state in (scripted.state_dict(), carried)
    )
    return one == other


def _about(root: Path) -> dict[str, Any]:
    """Return a bundle's metadata; logs and headers need its version after the work is done."""
    return read_metadata(root / _METADATA, "version")


def _sha256_of_folder(root: Path) -> str:
    """Return a hash of the names and contents of configs and models."""
    digest = hashlib.sha256()
    # Model cards and what runs have written do not change a result.
    for folder in ("configs", "models"):
        for file in sorted(path for path in (root / folder).rglob("*") if path.is_file()):
            digest.update(f"{file.relative_to(root).as_posix()} {sha256_of(file)}\n".encode())
    return digest.hexdigest()
