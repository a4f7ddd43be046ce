"""Write ``summary.json`` of an evaluation: what every study tells, and what it measured."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from custom.evaluation.restore_with import RestoreWithd
from custom.evaluation.summary_parts import about_checkpoint, about_dataset
from custom.files.atomic import write_json
from custom.versions import package_versions

__all__ = ["SummaryWriter"]

logger = logging.getLogger(__name__)

_PACKAGES = ("mri-restoration-bundles", "monai", "torch", "numpy")


class _Table(Protocol):
    """What is asked of the handler that wrote the measures."""

    output_dir: Path


class _Times(Protocol):
    """What is asked of the handler that took the times."""

    rows: list[dict[str, Any]]


TableT = TypeVar("TableT", bound=_Table)


class SummaryWriter(ABC, Generic[TableT]):
    """Write ``summary.json`` beside the tables of an evaluation, and log its result.

    A study names its ``kind``, its ``conventions`` (measure to how it is defined) and the further
    ``packages`` whose versions count, and gives :meth:`measured` and :meth:`as_text`.

    Args:
        table: The measures, after the evaluator has run.
        ckpt_path: Weights that were evaluated.
        dataset_dir: The dataset's folder.
        split: The split that was evaluated.
        times: How long model and other methods took, if that was measured.
        peers: What the evaluator ran besides; of each network among it the weights are named.
        method_names: What methods are called in the report, for example ``{"model": "APDDM"}``.
    """

    kind: ClassVar[str]
    conventions: ClassVar[Mapping[str, str]]
    packages: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        table: TableT,
        ckpt_path: str | Path,
        dataset_dir: str | Path,
        split: str,
        times: _Times | None = None,
        peers: Iterable[Any] = (),
        method_names: Mapping[str, str] | None = None,
    ) -> None:
        self.table = table
        self.ckpt_path = Path(ckpt_path)
        self.dataset_dir = Path(dataset_dir)
        self.split = split
        self.times = times
        self.peers = [peer for peer in peers if isinstance(peer, RestoreWithd)]
        self.method_names = dict(method_names or {})

    @abstractmethod
    def measured(self) -> dict[str, Any]:
        """Return what this study measured, as the file shall hold it."""

    @abstractmethod
    def as_text(self, summary: Mapping[str, Any]) -> str:
        """Return the result for the log.

        Args:
            summary: Content of ``summary.json``.
        """

    @property
    def time_rows(self) -> list[dict[str, Any]]:
        """The times that were taken."""
        return self.times.rows if self.times else []

    def write(self) -> Path:
        """Write the file and return its path."""
        summary = {
            "kind": self.kind,
            "dataset": about_dataset(self.dataset_dir),
            "split": self.split,
            **self.measured(),
            "method_names": self.method_names,
            "conventions": self.conventions,
            "checkpoint": about_checkpoint(self.ckpt_path),
            "peers": {peer.output_key: about_checkpoint(peer.ckpt_path) for peer in self.peers},
            "versions": package_versions((*_PACKAGES, *self.packages)),
            "use": "research use only",
        }
        path = write_json(self.table.output_dir / "summary.json", summary)
        logger.info("%s\n\n%s\n", path, self.as_text(summary))
        return path
