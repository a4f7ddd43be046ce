"""Settings of the application: choice and restoration of a series."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custom.errors import InputError

__all__ = ["Settings"]

# Handling of a series that is far from the training range.
_OUTSIDE = ("refuse", "warn")


@dataclass(frozen=True)
class Settings:
    """Settings for choosing and restoring a series.

    Attributes:
        rules: File of the rules by which the series is chosen; the default rules if None.
        overlays: Configs of the bundle after ``inference``.
        overrides: Config ids and values.
        outside_range: ``refuse`` or ``warn`` for a series outside the training range; the value of
            the rules if None.
        maps: Maps to deliver as further series, of those that the bundle's metadata state.
        sha256: Hash that the bundle's file must have, checked before anything of it is read.
    """

    rules: Path | None = None
    overlays: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    outside_range: str | None = None
    maps: tuple[str, ...] = ()
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Refuse another word for ``outside_range``."""
        if self.outside_range not in (None, *_OUTSIDE):
            raise InputError(f"outside_range must be one of {_OUTSIDE}, got {self.outside_range!r}")

    @property
    def model(self) -> str:
        """Names of the overlays that select a model variant; empty for the bundle's own model."""
        return ", ".join(Path(name).stem for name in self.overlays)

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings of a container, which has no other way to get them.

        ``RESTORATION_RULES`` (a file), ``RESTORATION_CONFIG`` (overlays, separated by commas),
        ``RESTORATION_OVERRIDES`` (a JSON object), ``RESTORATION_OUTSIDE_RANGE``,
        ``RESTORATION_MAPS`` (separated by commas) and ``RESTORATION_SHA256``.

        Raises:
            InputError: If one cannot be read.
        """
        rules = os.environ.get("RESTORATION_RULES")
        try:
            overrides = json.loads(os.environ.get("RESTORATION_OVERRIDES") or "{}")
            overrides.keys()
        except (ValueError, AttributeError, RecursionError) as error:
            raise InputError("RESTORATION_OVERRIDES must be a JSON object") from error
        maps = os.environ.get("RESTORATION_MAPS", "")
        return cls(
            rules=Path(rules) if rules else None,
            overlays=_words(os.environ.get("RESTORATION_CONFIG", "")),
            overrides=overrides,
            outside_range=os.environ.get("RESTORATION_OUTSIDE_RANGE") or None,
            maps=_words(maps),
            sha256=os.environ.get("RESTORATION_SHA256") or None,
        )


def _words(text: str) -> tuple[str, ...]:
    """Split at commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
