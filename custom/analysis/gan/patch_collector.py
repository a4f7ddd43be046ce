"""Collect patches of references and of restored images for a later comparison of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom.analysis.gan.panels import volume_values
from custom.evaluation.table import ItemHandler
from custom.metrics.image_pairs import foreground
from custom.setting_checks import check_whole
from custom.transforms.volume_resolution import text_seed

__all__ = ["Patch", "PatchCollector"]


@dataclass(frozen=True)
class Patch:
    """A cube of a volume.

    Attributes:
        group: Group of the volume: its scan, its contrast, ...
        kind: ``reference`` or ``model``.
        values: ``(size, size, size)``, float32, in units of the foreground mean.
    """

    group: str
    kind: str
    values: NDArray[np.float32]


@dataclass(eq=False)
class PatchCollector(ItemHandler):
    """Keep cubes at the same random places of each reference and of its restoration.

    A place counts if at least half of its voxels are foreground. Only volumes without added noise
    are used; those smaller than a cube are skipped. The places of a scan are the same in
    every run.

    Args:
        size: Voxels along each side.
        each: Most cubes of a volume; fewer if twenty times as many places do not suffice.
        group_key: Key of an item by which volumes are grouped; the scan where an item does not have
            it.
        seed: Seed of the places.

    Raises:
        ValueError: If ``size`` or ``each`` is below 1.
    """

    size: int = 32
    each: int = 40
    group_key: str = "scan"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise if a number is below 1."""
        check_whole("size", self.size, 1)
        check_whole("each", self.each, 1)
        self.start()

    def start(self) -> None:
        """Discard the patches of an earlier run."""
        self.patches: list[Patch] = []

    def keep(self, item: dict[str, Any]) -> None:
        """Keep cubes of a volume."""
        reference, restored = volume_values(item["label"]), volume_values(item["pred"])
        if float(item.get("noise_level", 0.0)) != 0 or min(reference.shape) < self.size:
            return
        scan = str(item.get("scan", ""))
        group = str(item.get(self.group_key, scan))
        # Not hash(), which for text differs from one run of Python to the next.
        random = np.random.default_rng([self.seed, text_seed(scan)])
        inside = foreground(reference)
        kept = 0
        for _ in range(20 * self.each):
            corner = [int(random.integers(0, n - self.size + 1)) for n in reference.shape]
            place = tuple(slice(first, first + self.size) for first in corner)
            if inside[place].mean() < 0.5:
                continue
            # Copies: a view would keep the whole volume in memory.
            self.patches.append(Patch(group, "reference", reference[place].copy()))
            self.patches.append(Patch(group, "model", restored[place].copy()))
            kept += 1
            if kept == self.each:
                return
