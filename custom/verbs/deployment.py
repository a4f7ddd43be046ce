"""The verbs that take a bundle out of this repository, and into a hospital's DICOM files."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom.bundle.arguments import absolute
from custom.bundle.typed_values import device_setting
from custom.errors import InputError
from custom.files.atomic import check_writable

__all__ = ["deploy", "package"]


def package(
    study: str,
    *,
    output: str,
    quick: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a bundle as an archive that runs without this package.

    The bundle is verified first. The archive holds the code that its configs use, the models also
    as TorchScript and torch.export, hashes, a bill of materials and a MONAI Deploy application.

    Args:
        study: Name of a bundle, or path to one.
        output: The archive, X.zip.
        quick: Leave out the checks that train or restore.
        overwrite: Write over an existing archive.
    """
    from custom.bundle.locate import find_bundle
    from custom.deploy.packaging.package import package_bundle
    from custom.files.atomic import sha256_of

    archive = Path(absolute(output))
    manifest = package_bundle(
        find_bundle(study), archive, quick=quick, overwrite=overwrite, report=_print_failure
    )
    for export in manifest["exports"]:
        note = f": {export['note']}" if export["note"] else ""
        print(f"{export['model']} as {export['form']}{note or ': ok'}")  # noqa: T201
    print(f"{sha256_of(archive)}  {archive}")  # noqa: T201  (as sha256sum, which can check it)


def _print_failure(result: Any) -> None:
    """Print a check that failed as soon as it is done."""
    if not result.passed:
        print(f"FAILED {result.check_id}: {result.message}", flush=True)  # noqa: T201


def deploy(
    bundle: str,
    *,
    input: str,  # noqa: A002
    output: str,
    rules: str | None = None,
    config: Sequence[str] = (),
    maps: Sequence[str] = (),
    outside_range: str | None = None,
    device: str | None = None,
    sha256: str | None = None,
    log_level: str = "WARN",
    **overrides: Any,
) -> None:
    """Restore a DICOM MR series into a derived series: the bundle as a MONAI Deploy application.

    Written are OUTPUT/restored/*.dcm, further series for the maps that are asked for,
    OUTPUT/restoration.json, and one line in OUTPUT/audit.jsonl, also for a series that is refused.

    Args:
        bundle: An archive of "mri-bundles package", a bundle's name or folder, or a model.ts out
            of an archive.
        input: Folder of DICOM files, of one series or of several to choose from.
        output: Folder for the derived series.
        rules: JSON or YAML file with the rules for the series to restore; see docs/deploy.md.
        config: Overlay after the bundle's inference config; may be repeated.
        maps: Maps that are written as series, too, of those that the bundle states.
        outside_range: refuse or warn, for a series outside the range of the training data.
        device: Such as cpu or cuda:0; a GPU if there is one.
        sha256: What "package" printed for the archive; checked before anything of it is read.
        log_level: DEBUG, INFO, WARN or ERROR, of the MONAI Deploy SDK.
        overrides: Any id of the bundle's config.
    """
    if not Path(absolute(input)).is_dir():
        raise InputError(f"{input}: no such folder: give the folder of the DICOM files")
    # The SDK's engine logs every exception again; ours is one line.
    quiet = log_level.upper() in ("WARN", "ERROR")
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "CRITICAL" if quiet else log_level.upper())
    warnings.filterwarnings("ignore", message="Current stack size")
    try:
        from custom.deploy.application import RestorationApplication
    except ModuleNotFoundError as error:
        raise InputError(
            f"deploy needs the MONAI Deploy SDK ({error.name} is missing): "
            "pip install 'mri-restoration-bundles[deploy]'"
        ) from error
    from custom.deploy.settings import Settings

    if device is not None:
        overrides["device"] = device_setting(device)
    settings = Settings(
        rules=Path(absolute(rules)) if rules else None,
        overlays=tuple(config),
        overrides=overrides,
        outside_range=outside_range,
        maps=tuple(name for word in maps for name in word.split(",")),
        sha256=sha256,
    )
    check_writable(absolute(output))
    Path(absolute(output)).mkdir(parents=True, exist_ok=True)
    arguments = ["--input", absolute(input), "--output", absolute(output)]
    arguments += ["--model", str(_bundle(bundle)), "--log-level", log_level]
    application = RestorationApplication([sys.executable, "mri-bundles", *arguments], settings)
    _run(application)
    for name, files in application.pipeline.written.items():
        print(f"{name}: {len(files)} images in {files[0].parent}")  # noqa: T201


def _bundle(name: str) -> Path:
    """Return the path of a bundle of any form, or that of a bundle's name."""
    from custom.bundle.locate import find_bundle

    path = Path(absolute(name))
    return path if path.exists() else find_bundle(name)


def _run(application: Any) -> None:
    """Run, and let no error message pass but the user's."""
    from custom.bundle.error_line import user_error

    try:
        application.run()
    except Exception as error:
        refusal = user_error(error)
        if refusal is None:
            # The message of an unexpected error may quote a header.
            raise RuntimeError(f"deploy failed by a {type(error).__name__}") from error
        raise refusal from error
