"""Verify a bundle: every check, from the files to the runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from custom.bundle.verification import (
    checks_config,
    checks_files,
    checks_network,
    checks_resume,
    checks_run,
    checks_workflows,
)
from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.outcome import CheckFailed, CheckResult, one_line, quiet
from custom.errors import InputError
from custom.files.temporary import temporary_folder

__all__ = ["CHECKS", "Check", "run_check", "verify_bundle"]


@dataclass(frozen=True)
class Check:
    """One check that every bundle must pass.

    Attributes:
        check_id: ``<group>.<name>``; the group ``run`` trains or restores and takes seconds.
        function: Returns if the bundle passes, raises :class:`CheckFailed` if not.
        needs: Checks that must pass first; without them this one would only repeat their failure.
    """

    check_id: str
    function: Callable[[BundleFolder], None]
    needs: tuple[str, ...] = ()

    @property
    def of_variants(self) -> bool:
        """True if it also runs for every further model that the metadata list."""
        group = self.check_id.split(".")[0]
        return group in ("net", "weights", "run") or self.check_id in _ALSO_OF_VARIANTS


_ALSO_OF_VARIANTS = (
    *("meta.schema", "meta.training_range", "meta.zoo_fields"),
    *("config.zoo_key_names", "config.one_network", "config.properties"),
)
_READABLE = ("layout.required_files", "config.no_duplicate_keys", "config.parse")
_BUILDS = (*_READABLE, "config.targets")
_RUNS = (*_BUILDS, "config.zoo_key_names", "config.properties")

CHECKS = (
    Check("layout.required_files", checks_files.required_files),
    Check("layout.license", checks_files.license_file),
    Check("layout.data_license", checks_files.data_license),
    Check("layout.file_sizes", checks_files.file_sizes),
    Check("card.sections", checks_files.card_sections, ("layout.required_files",)),
    Check("meta.schema", checks_files.schema, ("layout.required_files",)),
    Check("meta.zoo_fields", checks_files.zoo_fields, ("meta.schema",)),
    Check("meta.version_changelog", checks_files.version_changelog, ("meta.schema",)),
    Check("meta.training_range", checks_files.training_range, ("meta.schema",)),
    Check("meta.packages", checks_files.packages, ("meta.schema",)),
    Check("config.no_duplicate_keys", checks_config.no_duplicate_keys, ("layout.required_files",)),
    Check("config.parse", checks_config.parse, ("config.no_duplicate_keys",)),
    Check("config.maps", checks_files.maps, (*_READABLE, "meta.schema")),
    Check("config.numbers", checks_config.numbers, _READABLE),
    Check("config.no_absolute_paths", checks_config.no_absolute_paths, (*_READABLE, "meta.schema")),
    Check("config.targets", checks_config.targets, _READABLE),
    Check("config.zoo_key_names", checks_config.zoo_key_names, _READABLE),
    Check("config.one_network", checks_config.one_network, _READABLE),
    Check("config.properties", checks_workflows.properties, (*_RUNS[:-1], "meta.schema")),
    Check("config.overlays", checks_workflows.overlays, _RUNS),
    Check("net.in_out", checks_network.in_out, (*_BUILDS, "meta.schema")),
    Check("weights.load", checks_network.load_weights, _BUILDS),
    Check("weights.hash", checks_network.weights_hash, ("meta.schema",)),
    Check(
        "weights.torchscript",
        checks_network.torchscript,
        (*_BUILDS, "net.in_out", "weights.load"),
    ),
    Check("run.train", checks_run.train, _RUNS),
    Check("run.evaluate", checks_run.evaluate, _RUNS),
    Check("run.infer_oblique", checks_run.infer_oblique, _RUNS),
    Check("run.deterministic", checks_run.deterministic, (*_RUNS, "run.train")),
    Check("run.resume", checks_resume.resume, (*_RUNS, "run.train")),
    Check("run.bad_inputs", checks_run.bad_inputs, _RUNS),
)


def verify_bundle(
    bundle_dir: str | Path,
    only: Sequence[str] | None = None,
    quick: bool = False,
    demo_dir: str | Path | None = None,
    report: Callable[[CheckResult], None] | None = None,
    variants: bool = True,
) -> list[CheckResult]:
    """Run the checks on a bundle; nothing is written into its folder.

    Args:
        bundle_dir: The bundle's folder.
        only: Ids of checks, or of groups (``meta``); by default all.
        quick: Whether to leave out the group ``run``.
        demo_dir: Folder of the small demonstration set; by default it is made anew.
        report: Called with each result at once, since all checks together take a minute.
        variants: Whether to check the further models of the bundle, too.

    Returns:
        One result a check, in order; those of a variant are named ``<variant>: <check>``. A check
        whose needs failed counts as failed, and says so.

    Raises:
        InputError: If ``bundle_dir`` is no folder or ``only`` names an unknown check.
    """
    if not Path(bundle_dir).is_dir():
        raise InputError(f"{bundle_dir} is no folder: give the folder of a bundle")
    with temporary_folder("verify") as workspace:
        checks = _selected(only, quick)
        bundle = BundleFolder(bundle_dir, workspace, demo_dir)
        results = []
        for result in chain(
            _results(bundle, checks), _variant_results(bundle, checks) if variants else ()
        ):
            results.append(result)
            if report is not None:
                report(result)
        return results


def _variant_results(bundle: BundleFolder, checks: Sequence[Check]) -> Iterator[CheckResult]:
    """Run the checks of every further model of the bundle."""
    try:
        names = bundle.variants
    except CheckFailed:
        return  # metadata that cannot be read are reported by another check
    own = [check for check in checks if check.of_variants]
    for name in names:
        folder = bundle.new_folder(name)
        folder.mkdir(parents=True)
        variant = BundleFolder(bundle.root, folder, bundle.demo_dir, name)
        for result in _results(variant, own):
            yield replace(result, check_id=f"{name}: {result.check_id}")


def run_check(check: Check, bundle: BundleFolder) -> CheckResult:
    """Run one check independently of the others; any exception is a failure with one line."""
    started = time.perf_counter()
    message = ""
    try:
        with quiet():
            check.function(bundle)
    except CheckFailed as error:
        message = str(error)
    except Exception as error:  # a broken bundle can fail in any way
        message = one_line(error)
    return CheckResult(check.check_id, not message, message, time.perf_counter() - started)


def _selected(only: Sequence[str] | None, quick: bool) -> list[Check]:
    """Return the selected checks."""
    known = {name for check in CHECKS for name in (check.check_id, check.check_id.split(".")[0])}
    unknown = sorted(set(only or ()) - known)
    if unknown:
        raise InputError(f"unknown check {unknown[0]!r}: there are {', '.join(sorted(known))}")
    return [
        check
        for check in CHECKS
        if (only is None or {check.check_id, check.check_id.split(".")[0]} & set(only))
        and not (quick and check.check_id.startswith("run."))
    ]


def _results(bundle: BundleFolder, checks: Sequence[Check]) -> Iterator[CheckResult]:
    """Run checks in order; leave out those whose needs have failed."""
    failed: set[str] = set()
    for check in checks:
        missing = [name for name in check.needs if name in failed]
        if missing:
            result = CheckResult(check.check_id, False, f"not run: {missing[0]} failed", 0.0)
        else:
            result = run_check(check, bundle)
        if not result.passed:
            failed.add(check.check_id)
        yield result
