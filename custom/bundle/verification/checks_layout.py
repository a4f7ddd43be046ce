"""Checks of a bundle's files and of its model card."""

from __future__ import annotations

import re

from custom.bundle.verification.bundle_folder import METADATA, BundleFolder
from custom.bundle.verification.outcome import CheckFailed

__all__ = ["card_sections", "data_license", "file_sizes", "license_file", "required_files"]

REQUIRED_FILES = (
    METADATA.as_posix(),
    "configs/train.yaml",
    "configs/evaluate.yaml",
    "configs/inference.yaml",
    "configs/tiny.yaml",
    "docs/README.md",
)
CARD = "docs/README.md"
# Required topics of a model card, and patterns of their headings.
CARD_SECTIONS = {
    "intended use": r"overview|intended use",
    "data": r"\bdata\b|data set|dataset",
    "architecture": r"architecture|network",
    "training": r"training",
    "performance": r"performance|results",
    "usage commands": r"usage|commands|how to",
    "limitations": r"limitations",
    "failure cases": r"failure cases",
    "licence": r"licen[cs]e",
    "references": r"references",
}
MAX_FILE_MB = 25  # the Model Zoo's limit for files in its repository
_APACHE = ("Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS")


def required_files(bundle: BundleFolder) -> None:
    """The metadata, the three workflows, their overlay for tests and the model card exist."""
    missing = [name for name in REQUIRED_FILES if not (bundle.root / name).is_file()]
    if missing:
        raise CheckFailed(f"missing: {', '.join(missing)}")


def license_file(bundle: BundleFolder) -> None:
    """The code's licence is the whole text of Apache-2.0."""
    text = bundle.read_text("LICENSE")
    absent = [phrase for phrase in _APACHE if phrase not in text]
    if absent:
        raise CheckFailed(f"LICENSE is not the whole Apache-2.0 text: it lacks {absent[0]!r}")


def data_license(bundle: BundleFolder) -> None:
    """The licence of the data, and so of the weights trained on them, is stated."""
    if not bundle.read_text("docs/data_license.txt").strip():
        raise CheckFailed("docs/data_license.txt is empty: say under which terms the data are used")


def file_sizes(bundle: BundleFolder) -> None:
    """No file is too large for a git repository."""
    for path in bundle.files:
        size = path.stat().st_size / 2**20
        if size > MAX_FILE_MB:
            name = path.relative_to(bundle.root)
            raise CheckFailed(f"{name} has {size:.1f} MB, at most {MAX_FILE_MB} MB are allowed")


def card_sections(bundle: BundleFolder) -> None:
    """The model card has every section, each with text, a command and the research-only line."""
    card = bundle.read_text(CARD)
    sections = _sections(card)
    for name, pattern in CARD_SECTIONS.items():
        bodies = [body for title, body in sections if re.search(pattern, title, re.IGNORECASE)]
        if not bodies:
            raise CheckFailed(f"{CARD} has no section on {name}")
        if not any(body.strip() for body in bodies):
            raise CheckFailed(f"{CARD}: the section on {name} is empty")
    if "monai.bundle run" not in card:
        raise CheckFailed(f"{CARD} shows no 'python -m monai.bundle run' command")
    if "research use only" not in card.lower():
        raise CheckFailed(f"{CARD} does not say 'research use only'")


def _sections(markdown: str) -> list[tuple[str, str]]:
    """Split a Markdown text into titles and what stands below each, subsections included."""
    prose = re.sub(
        r"^```.*?^```", lambda block: block[0].replace("#", ""), markdown, flags=re.M | re.S
    )
    found = list(re.finditer(r"^(#{1,6})\s+(.+)$", prose, re.MULTILINE))
    sections = []
    for index, heading in enumerate(found):
        level = len(heading[1])
        later = (other for other in found[index + 1 :] if len(other[1]) <= level)
        end = next((other.start() for other in later), len(prose))
        sections.append((heading[2], prose[heading.end() : end]))
    return sections
