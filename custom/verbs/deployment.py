"""The verbs that take a bundle out of this repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from custom.bundle.arguments import absolute
from custom.verbs.usage import UsageError, need_values, no_more

__all__ = ["package"]


def package(
    study: str,
    *more: str,
    output: Any = None,
    quick: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a bundle as an archive that runs without this package.

    The bundle is verified first. The archive holds the code that its configs use, the models also
    as TorchScript and torch.export, hashes, a bill of materials and a MONAI Deploy application.

    Args:
        study: Name of a bundle, or path to one.
        more: No further words are accepted.
        output: The archive, X.zip.
        quick: Leave out the checks that train or restore.
        overwrite: Write over an existing archive.
    """
    no_more(more)
    need_values(output=output)
    if output is None:
        raise UsageError("package needs --output X.zip")
    for flag, value in (("quick", quick), ("overwrite", overwrite)):
        if not isinstance(value, bool):
            raise UsageError(f"--{flag} takes no value: see --help")
    from custom.bundle.locate import find_bundle
    from custom.deploy.packaging.package import package_bundle

    archive = Path(absolute(output))
    manifest = package_bundle(
        find_bundle(str(study)), archive, quick=quick, overwrite=overwrite, report=_print_failure
    )
    for export in manifest["exports"]:
        note = f": {export['note']}" if export["note"] else ""
        print(f"{export['model']} as {export['form']}{note or ': ok'}")  # noqa: T201
    print(archive)  # noqa: T201


def _print_failure(result: Any) -> None:
    """Print a check that failed as soon as it is done."""
    if not result.passed:
        print(f"FAILED {result.check_id}: {result.message}", flush=True)  # noqa: T201
