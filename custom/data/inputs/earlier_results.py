"""Results of earlier runs: what they look like, and whether one can stand for a new restoration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from custom.data.inputs.provenance import ProvenanceSidecar, sha256_of_input
from custom.data.inputs.result_names import RESTORED, sidecar_of
from custom.files.atomic import sha256_of
from custom.files.text_files import read_json

__all__ = ["inputs_of_results", "is_result", "result_fault"]


def is_result(path: str | Path, maps: Sequence[str] = ()) -> bool:
    """Return True if a file is a restored image or a map of one.

    A restored image is known by its name: without a sidecar it was cut short, and is no image to
    restore either. A map is one that the sidecar lists; where the sidecar is missing, one of
    ``maps`` beside a restored image.

    Args:
        path: The file.
        maps: Names of maps.
    """
    path = Path(path)
    stem, _, name = path.name.removesuffix(".nii.gz").rpartition("_")
    if not path.name.endswith(".nii.gz") or not stem:
        return False
    if f"_{name}" == RESTORED:
        return True
    restored = path.with_name(f"{stem}{RESTORED}.nii.gz")
    try:
        written = read_json(sidecar_of(restored))[name]["file"]
    except (OSError, ValueError, KeyError, TypeError):
        return name in maps and restored.exists() and not sidecar_of(restored).exists()
    return bool(written == path.name)


def result_fault(
    source: Path,
    output: Path,
    written: Sequence[str],
    provenance: ProvenanceSidecar | None = None,
) -> str | None:
    """Return why an earlier result is not what a new run would give, or None.

    Args:
        source: The input.
        output: The earlier result, with a sidecar.
        written: Names of further files that may be written with it, its maps and copies.
        provenance: What the new run restores with; None: any.
    """
    try:
        content: Any = read_json(sidecar_of(output))
        entries = [content["output"], *(content[name] for name in written if name in content)]
        files = {entry["file"]: entry["sha256"] for entry in entries}
        made_of = content["input"]["sha256"]
        other = [] if provenance is None else provenance.differences(content, source)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"its sidecar {sidecar_of(output).name} is damaged"
    for name, digest in files.items():
        file = output.with_name(name)
        if not file.is_file() or sha256_of(file) != digest:
            return f"{name} is missing or was changed since"
    if made_of != sha256_of_input(source):
        return "it was made of another input"
    return f"it was made with {', '.join(other)}" if other else None


def inputs_of_results(folder: Path, but: Collection[Path] = ()) -> dict[Path, tuple[str, str]]:
    """Return the restored images of a folder, with name and SHA-256 of the input of each.

    Args:
        folder: The folder, which need not be there. A result with a damaged sidecar is left out.
        but: Further results to leave out.
    """
    found = {}
    for output in sorted({*folder.glob(f"*{RESTORED}.nii.gz")} - {*but}):
        try:
            made_of = read_json(sidecar_of(output))["input"]
            found[output] = str(made_of["file"]), str(made_of["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
