"""Package a bundle: checked, exported, with its code and a bill of materials, as one archive."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from custom.bundle.verification.bundle_folder import METADATA, BundleFolder, is_search_space
from custom.bundle.verification.outcome import CheckResult
from custom.bundle.verification.verify import verify_bundle
from custom.deploy.packaging.application_files import APPLICATION, DEPLOY_PINS, write_application
from custom.deploy.packaging.archive import CODE_FILE, FORMAT, MANIFEST, write_zip
from custom.deploy.packaging.archive_readme import archive_readme
from custom.deploy.packaging.bill_of_materials import bill_of_materials
from custom.deploy.packaging.distributions import (
    Package,
    declared_packages,
    package_closure,
    top_level_names,
)
from custom.deploy.packaging.exported_models import Export, export_model, merged_inference
from custom.deploy.packaging.packaged_configs import code_imports, modules_in_configs, write_config
from custom.deploy.packaging.vendored_code import own_tree
from custom.errors import InputError
from custom.files.atomic import check_writable, sha256_of, write_json
from custom.files.temporary import temporary_folder

__all__ = ["NOTICE", "package_bundle"]

NOTICE = "Research use only. Not for diagnosis and not for clinical decisions."
_EXPORTED = (".ts", ".pt2")  # made here, whatever the bundle's folder holds of them


def package_bundle(
    bundle: Path,
    output: Path,
    *,
    quick: bool = False,
    overwrite: bool = False,
    application: str | None = APPLICATION,
    report: Callable[[CheckResult], None] | None = None,
) -> dict[str, Any]:
    """Write a bundle as an archive that runs where this package is not installed.

    Args:
        bundle: The bundle's folder.
        output: The archive, ``.zip``; it appears whole or not at all.
        quick: Whether to leave out the checks that train or restore.
        overwrite: Whether an archive of this name may be replaced.
        application: Module with the MONAI Deploy application; ``None`` leaves it out.
        report: Called with the result of each check.

    Returns:
        The manifest.

    Raises:
        InputError: If the bundle fails a check, needs a package that it does not declare, or the
            archive cannot be written there.
    """
    _check_output(bundle, output, overwrite)
    failed = [
        f"{result.check_id}: {result.message}"
        for result in verify_bundle(bundle, quick=quick, report=report)
        if not result.passed
    ]
    if failed:
        raise InputError(f"{bundle.name} is not packaged: {len(failed)} checks failed: {failed[0]}")
    with temporary_folder("package") as workspace:
        folder = workspace / "archive" / bundle.name
        folder.mkdir(parents=True)
        source = BundleFolder(bundle, workspace)
        manifest = _fill(source, folder, application)
        manifest["checks"] = "quick" if quick else "all"
        # Hashed before the manifest exists, which cannot hold its own hash.
        write_json(folder / MANIFEST, {**manifest, "files": _hashes(folder)})
        write_zip(folder, output, bundle.name)
        return manifest


def _check_output(bundle: Path, output: Path, overwrite: bool) -> None:
    """Refuse a path that the archive cannot be written to, before any work is done."""
    if output.suffix != ".zip":
        raise InputError(f"{output}: give the archive a name that ends with .zip")
    if output.exists() and not (overwrite and output.is_file()):
        raise InputError(f"{output} exists: give --overwrite or another name")
    if output.resolve().is_relative_to(bundle.resolve()):
        raise InputError(f"{output} lies in the bundle itself: write it elsewhere")
    check_writable(output.parent)


def _fill(bundle: BundleFolder, folder: Path, application: str | None) -> dict[str, Any]:
    """Write everything except the manifest, and return its content."""
    metadata = {**bundle.metadata, "bundle_id": bundle.root.name}
    modules = own_tree().reached(modules_in_configs(bundle.configs.values(), own_tree()))
    declared = declared_packages(metadata)
    packages = package_closure(f"{name}=={version}" for name, version in declared.items())
    _check_declared(bundle, modules, packages)
    _copy_files(bundle, folder)
    write_json(folder / METADATA, metadata)
    package = own_tree().copy(modules, folder, f"{bundle.root.name}_parts")
    _write_configs(bundle, folder / "configs", package)
    exports = _export_all(bundle, folder, package)
    requirements = [f"{name}=={version}" for name, version in declared.items()]
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    about = {
        "format": FORMAT,
        "notice": NOTICE,
        "bundle": {key: metadata[key] for key in ("name", "version")} | {"id": bundle.root.name},
        "code": {"package": package},
        "requirements": requirements,
        "exports": [asdict(export) for export in exports],
    }
    if application is not None:
        about["application"] = write_application(
            folder / "app", metadata, bundle.root.name, application
        )
    extras = DEPLOY_PINS if application is not None else ()
    materials = _materials(folder, metadata, packages, list(declared), extras)
    write_json(folder / "sbom.cdx.json", materials)
    (folder / "README.md").write_text(archive_readme(about), encoding="utf-8")
    return about


def _check_declared(
    bundle: BundleFolder, modules: Sequence[str], packages: Mapping[str, Package]
) -> None:
    """Raise if code of the bundle imports a module that no declared package provides."""
    brought = {name for package in packages.values() for name in top_level_names(package)}
    for name, module in own_tree().outside_imports(modules).items():
        if name not in brought and name not in sys.stdlib_module_names:
            raise InputError(
                f"{bundle.root.name}: {module} imports {name!r}: "
                f"declare it under required_packages_version in {METADATA}"
            )


def _copy_files(bundle: BundleFolder, folder: Path) -> None:
    """Copy the files that are packaged unchanged."""
    for file in bundle.files:
        relative = file.relative_to(bundle.root)
        rewritten = file in bundle.config_files or relative == METADATA
        left_out = (
            any(part.startswith(".") for part in relative.parts)
            or file.suffix in _EXPORTED
            or (file.suffix in (".yaml", ".yml") and is_search_space(file))
        )
        if not rewritten and not left_out:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / relative)


def _write_configs(bundle: BundleFolder, folder: Path, package: str) -> None:
    """Write every config with the name of the archive's own package."""
    imports = code_imports(bundle.configs.values(), own_tree())
    for file in bundle.config_files:
        try:
            write_config(file, folder, own_tree(), package, imports)
        except ValueError as error:
            raise InputError(f"{bundle.root.name}: configs/{file.name}: {error}") from error


def _export_all(bundle: BundleFolder, folder: Path, package: str) -> list[Export]:
    """Export the bundle's model and its variants."""
    (folder / "models").mkdir(exist_ok=True)
    exports = []
    for variant in (None, *bundle.variants):
        one = BundleFolder(bundle.root, bundle.workspace, variant=variant)
        config = json.dumps(merged_inference(one, folder / "configs")).encode()
        carried = {"inference.json": config, CODE_FILE: _parts(one, folder, package)}
        exports += export_model(one, folder / "models", carried)
    return exports


def _parts(bundle: BundleFolder, folder: Path, package: str) -> bytes:
    """Return, as a zip file, the code, the unchanged weights, and further files of a model."""
    from custom.networks.checkpoint_file import record_of

    with temporary_folder("parts") as temporary:
        parts = temporary / "parts"
        shutil.copytree(folder / package, parts / package)
        # The configs go into the TorchScript file merged; here, what lies beside them.
        configs = shutil.ignore_patterns("*.json", "*.yaml")
        shutil.copytree(folder / "configs", parts / "configs", ignore=configs)
        (parts / "models").mkdir()
        for name in bundle.metadata.get("weights", {}).get("beside", {}):
            (parts / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, parts / name)
        if bundle.weights.is_file():
            for file in filter(Path.is_file, (bundle.weights, record_of(bundle.weights))):
                shutil.copyfile(file, parts / "models" / f"model{file.suffix}")
        return write_zip(parts, temporary / CODE_FILE).read_bytes()


def _materials(
    folder: Path,
    metadata: Mapping[str, Any],
    packages: Mapping[str, Package],
    declared: list[str],
    extras: Sequence[str],
) -> dict[str, Any]:
    """Return the bill of materials; every bundle's licence is verified to be Apache-2.0."""
    bundle = {key: str(metadata[key]) for key in ("name", "version", "description")}
    models = (path for path in (folder / "models").iterdir() if path.suffix != ".json")
    files = {f"models/{path.name}": sha256_of(path) for path in models}  # without their records
    about = {**bundle, "id": str(metadata["bundle_id"]), "license": "Apache-2.0"}
    optional = [pin for pin in extras if pin.split("==")[0] not in packages]
    return bill_of_materials(about, packages, declared, files, optional)


def _hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
