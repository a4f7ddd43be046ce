"""Find a bundle by its name or path, and its config files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from custom.errors import InputError, did_you_mean

__all__ = ["all_bundles", "find_bundle", "find_config"]

_METADATA = Path("configs") / "metadata.json"


def all_bundles() -> list[Path]:
    """Return every bundle folder: those below the working folder, else the repository's."""
    repository = Path(__file__).resolve().parents[2]
    for root in (Path.cwd(), *Path.cwd().parents, repository):
        found = sorted(path.parents[1] for path in (root / "bundles").glob(f"*/{_METADATA}"))
        if found:
            return found
    return []


def find_bundle(study: str) -> Path:
    """Return the folder of a bundle by its name, an unambiguous prefix of one, or a path to it.

    Raises:
        InputError: If there is no such bundle, or several begin so.
    """
    path = Path(study)
    if (path / _METADATA).is_file():
        return path.resolve()
    bundles = all_bundles()
    exact = [bundle for bundle in bundles if bundle.name == study]
    matches = exact or [bundle for bundle in bundles if study and bundle.name.startswith(study)]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(bundle.name for bundle in matches or bundles) or "none found"
    problem = "names several bundles" if matches else "is no bundle"
    like = "" if matches else did_you_mean(study, [bundle.name for bundle in bundles])
    raise InputError(f"{study!r} {problem}{like}: give a name or a path to a bundle ({names})")


def find_config(bundle: Path, names: Sequence[str]) -> list[str]:
    """Return config files by name (``tuned``), file name, or path.

    Names are of files in ``configs/``, with or without ``.yaml`` or ``.json``.

    Raises:
        InputError: If a file does not exist.
    """
    files = []
    for name in names:
        own = [bundle / "configs" / f"{name}{suffix}" for suffix in (".yaml", ".json", "")]
        # A user's file named "train" must not hide the bundle's config.
        candidates = (Path(name), *own) if Path(name).name != name else (*own, Path(name))
        file = next((path for path in candidates if path.is_file()), None)
        if file is None:
            stems = {path.stem for path in (bundle / "configs").glob("*.[yj]*")} - {_METADATA.stem}
            raise InputError(
                f"no config {name!r} in {bundle.name}{did_you_mean(name, stems)}: there are "
                f"{', '.join(sorted(stems))}"
            )
        files.append(str(file.resolve()))
    return files
