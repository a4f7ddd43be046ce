"""Inputs of a restoration: the images to restore, the names of the results, the refusals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.engines import Evaluator
from tqdm import tqdm

from custom.data.inputs.each_input import fault_of, run_each
from custom.data.inputs.earlier_results import inputs_of_results, result_fault
from custom.data.inputs.image_search import find_images
from custom.data.inputs.provenance import ProvenanceSidecar, sha256_of_input
from custom.data.inputs.result_names import (
    RESTORED,
    copy_of,
    hidden_name,
    map_of,
    name_in_folder,
    numbered,
    sidecar_of,
    unique_names,
)
from custom.errors import InputError, causes
from custom.files.atomic import check_writable
from custom.files.image_faults import is_label_file
from custom.files.reader import format_of

__all__ = ["InputSelection"]

logger = logging.getLogger(__name__)


class InputSelection:
    """Screen all inputs first, so that one bad input does not stop the others.

    Args:
        inputs: A file, a folder to search, or a list of both.
        output_dir: Folder of the results, ``<name>_restored.nii.gz`` with a JSON sidecar, and
            ``<name>_noise.nii.gz`` if there is a map of the noise.
        check: Raises :class:`~custom.errors.InputError` for an image that must be refused.
        overwrite: Whether to write over existing results.
        skip_existing: Whether to leave out inputs that were restored before, under whatever name:
            that depends on what else is restored. A result of another input, configuration or
            weights, or one that was changed since, is refused; one without a sidecar was cut short,
            and is made again.
        maps: Names of the maps that a run may write beside a result, ``<name>_<map>.nii.gz``.
        copies: Suffixes of the files that it copies, ``<name>_restored.<suffix>``.
        also_read: Further files that the run reads, none of which may be replaced; entries that are
            no text are ignored.
        provenance: What the run restores with, to compare with earlier results.
        no_names: Whether results are named by the hash of their input in place of its name, which
            may be that of a person.

    Raises:
        InputError: If there are no inputs, both ``overwrite`` and ``skip_existing`` are set, or
            ``output_dir`` is a file.
    """

    def __init__(
        self,
        inputs: str | Path | Sequence[str | Path] | None,
        output_dir: str | Path,
        check: Callable[[Path], None],
        overwrite: bool = False,
        skip_existing: bool = False,
        maps: Sequence[str] = (),
        copies: Sequence[str] = (),
        also_read: Sequence[Any] = (),
        provenance: ProvenanceSidecar | None = None,
        no_names: bool = False,
    ) -> None:
        if overwrite and skip_existing:
            raise InputError("--overwrite and --skip_existing exclude each other: give one")
        self.output_dir = Path(output_dir).expanduser().resolve()
        if self.output_dir.exists() and not self.output_dir.is_dir():
            raise InputError(f"output_dir {self.output_dir} is a file: give a folder")
        if inputs is None:
            raise InputError("no input: give --input FILE_OR_FOLDER")
        listed = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        self.inputs = [Path(str(name)).expanduser() for name in listed]
        self.check = check
        self.overwrite = overwrite
        self.skip_existing = skip_existing
        self.maps = tuple(maps)
        self.copies = tuple(copies)
        self.also_read = [Path(n).expanduser() for n in also_read if isinstance(n, (str, Path))]
        self.provenance = provenance
        self.no_names = no_names
        self.refused: list[str] = []
        self.skipped: list[Path] = []
        self.failed = 0
        self._unexpected: Exception | None = None

    @cached_property
    def items(self) -> list[dict[str, str]]:
        """The images to restore: ``image`` and ``source``, its path, and ``output``, the result's.

        The first access checks all inputs; :meth:`finish` says which are refused.

        Raises:
            InputError: If nothing can be written to the output's folder.
        """
        check_writable(self.output_dir)
        paths = self._paths()
        names = self._hashes(list(paths)) if self.no_names else unique_names(list(paths))
        outputs = [self.output_dir / f"{name}{RESTORED}.nii.gz" for name in names]
        # Without those of this run's names: where inputs are equal, each keeps its own result.
        earlier = inputs_of_results(self.output_dir, outputs) if self.skip_existing else {}
        read = {_place(path) for path in [*paths, *self.also_read]}
        items = []
        for path, output in tqdm(
            list(zip(paths, outputs, strict=True)), "Checking inputs", leave=False, disable=None
        ):
            try:
                if self._restored_before(path, output, earlier):
                    self.skipped.append(path)
                    continue
                self._check_output(output, read)
                self.check(path)
            except InputError as error:
                if paths[path] and is_label_file(path):
                    logger.warning("passed over: %s: a mask or label map", path)
                else:
                    self._refuse(error)
            except OSError as error:
                self._refuse(InputError(f"{error.filename or path}: {error.strerror or error}"))
            else:
                items.append({"image": str(path), "source": str(path), "output": str(output)})
        if self.refused and items:
            logger.warning("%d inputs are refused; %d to restore", len(self.refused), len(items))
        if self.skipped:
            versions = ", ".join(
                sorted(self.provenance.earlier_versions if self.provenance else ())
            )
            logger.warning(
                "%d of %d inputs were restored before%s and are skipped; %d to restore",
                len(self.skipped),
                len(paths),
                f", some by version {versions} of the bundle (--overwrite: anew)" * bool(versions),
                len(items),
            )
        return items

    def restore(self, evaluator: Evaluator) -> None:
        """Run an evaluator over the images; where one fails, the others are restored.

        Args:
            evaluator: Its loader has a dataset of :attr:`items`.
        """
        run_each(evaluator, self.items, self._fail)

    def finish(self) -> None:
        """Log the folder of the results.

        Raises:
            InputError: With one line for each image that is not restored, if there is any.
            Exception: What ended the restoration of the only one, if it is no fault of the user's.
        """
        restored = len(self.items) - self.failed
        if restored or not (self.refused or self.skipped):
            logger.info("%d images restored to %s", restored, self.output_dir)
        if self._unexpected is not None and len(self.refused) == 1:
            raise self._unexpected
        if self.refused:
            raise InputError("\n".join(self.refused)) from self._unexpected

    def _paths(self) -> dict[Path, bool]:
        """Return each input once, and whether it was found in a folder."""
        found: dict[Path, tuple[Path, bool]] = {}
        for name in self.inputs:
            named = format_of(name) is not None or not name.is_dir()
            try:
                paths = [name] if named else find_images(name, self.maps, self._refuse)
            except InputError as error:
                self._refuse(error)
                continue
            for path in paths:
                found.setdefault(_place(path), (path.absolute(), not named))
        return dict(found.values())

    def _hashes(self, paths: Sequence[Path]) -> list[str]:
        """Return names that tell nothing of the inputs' own; equal inputs are numbered."""
        found = []
        for path in paths:
            try:
                found.append(hidden_name("", sha256_of_input(path)))
            except (OSError, InputError):
                found.append("unreadable")  # its check says why
        return numbered(found)

    def _restored_before(
        self, path: Path, output: Path, earlier: dict[Path, tuple[str, str]]
    ) -> bool:
        """Return True if a result need not be made again; refuse to take another one for it.

        ``earlier`` are results of other names, see :func:`inputs_of_results`; the one that stands
        for this input is taken out.
        """
        if not self.skip_existing:
            return False
        written = (*self.maps, *self.copies)
        own = output.exists() and sidecar_of(output).exists()
        fault = result_fault(path, output, written, self.provenance) if own else None
        if own and fault is None:
            return True
        digest = sha256_of_input(path) if earlier else ""
        names = [hidden_name(path.name, digest), *([] if self.no_names else [name_in_folder(path)])]
        for other in [
            o for o, (name, made_of) in earlier.items() if made_of == digest and name in names
        ]:
            if result_fault(path, other, written, self.provenance) is None:
                logger.info("%s: restored before, as %s", path, other.name)
                del earlier[other]
                return True
        if fault is not None:
            raise InputError(
                f"{output}: exists already, but {fault}: use --overwrite or another folder"
            )
        return False

    def _check_output(self, output: Path, read: Collection[Path]) -> None:
        """Refuse to overwrite a result without ``overwrite``, and an input in any case."""
        files = [output, *(map_of(output, name) for name in self.maps)]
        files += [copy_of(output, name) for name in self.copies]
        for file in files:
            if _place(file) in read:
                raise InputError(
                    f"{file}: the result would replace an input: choose another folder"
                )
        # An interrupted run can be continued: then the result is missing, but never a map alone.
        replaceable = self.overwrite or (self.skip_existing and output.exists())
        existing = [file for file in files if file.exists()]
        if existing and not replaceable:
            raise InputError(
                f"{existing[0]}: exists already: use --overwrite, --skip_existing or another folder"
            )

    def _fail(self, item: Mapping[str, str], error: Exception) -> None:
        """Keep why an image could not be restored."""
        self.failed += 1
        source = item["source"]
        fault = fault_of(error, lambda: self.check(Path(source)))
        if fault is None:
            self._unexpected = self._unexpected or error
            last = list(causes(error))[-1]
            fault = f"{type(last).__name__}: {last}".splitlines()[0]
        named = source in fault or item["output"] in fault
        self._refuse(InputError(fault if named else f"{source}: {fault}"))

    def _refuse(self, error: InputError) -> None:
        """Keep a refusal for the end, where it is said once."""
        self.refused.append(str(error))


def _place(path: Path) -> Path:
    """Return where a file lies, under its own name: links to one file are different inputs."""
    return path.parent.resolve() / path.name
