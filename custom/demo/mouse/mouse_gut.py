"""Loops of small and large bowel packed into the abdomen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from custom.demo.shapes import Capsule
from custom.demo.slab import Slab

__all__ = ["Gut"]

Array = NDArray[np.float32]

_LOOPS = 80
_CONTENTS = ("chyme", "faeces", "fluid", "chyme", "gas", "faeces", "chyme")


class Gut:
    """Loops of bowel: each loop is a chain of straight pieces with one content.

    Loops displace each other: a point belongs to the piece whose surface is nearest, so loops
    meet along a thin wall as packed tubes do.

    Args:
        rng: Random generator of the animal.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.pieces: list[tuple[Capsule, int]] = []
        self.contents: list[str] = []
        for number in range(_LOOPS):
            point = np.array([rng.uniform(-9, 9), rng.uniform(-1.5, 7.5), rng.uniform(-28.0, -7.0)])
            heading = rng.standard_normal(3)
            caecum = number == 0
            radius = 2.3 if caecum else float(rng.uniform(0.8, 1.3))
            content = "food" if caecum else _CONTENTS[int(rng.integers(len(_CONTENTS)))]
            self.contents.append(content)
            for _ in range(4):
                heading = heading + 1.1 * rng.standard_normal(3)
                # Turn back towards the middle of the belly.
                heading -= 0.08 * (point - (0.0, 2.5, -17.0))
                after = point + heading / np.linalg.norm(heading) * rng.uniform(1.8, 3.2)
                self.pieces.append((Capsule(point, after, radius), number))
                point = after

    def paint(self, slab: Slab, cavity: Array) -> None:
        """Paint the loops into the abdominal cavity.

        Args:
            slab: The slab, already filled with the fat between loops.
            cavity: Distance to the space that the bowel may fill, on the slab.
        """
        nearest = np.full(slab.x.shape, 9.0, dtype=np.float32)
        second = nearest.copy()
        owner = np.full(slab.x.shape, 255, dtype=np.uint8)
        frame = replace(slab, fields={"nearest": nearest, "second": second}, codes=owner)
        for piece, number in self.pieces:
            part = piece.crop(frame, 0.6)
            if part is not None:
                _claim(part, piece.distance(part), number)
        wall = np.maximum(nearest - 0.2, (nearest - second) / 2 + 0.03)
        wall = np.maximum(wall, cavity)
        slab.paint("gut wall", wall)
        folds = 0.08 * np.abs(slab.fields["lobules"])
        lumen = wall + 0.27 + folds
        names = sorted(set(self.contents))
        kinds = np.full(256, 255, dtype=np.uint8)
        kinds[: len(self.contents)] = [names.index(name) for name in self.contents]
        kind = kinds[owner]
        for number, name in enumerate(names):
            slab.paint(name, np.where(kind == number, lumen, 9.0))
        # The bright mucosa lines each lumen.
        slab.paint("fluid", np.abs(lumen + 0.02) - 0.03)


def _claim(part: Slab, distance: Array, number: int) -> None:
    """Assign a loop the points that its piece is nearest to, keeping the next loop's distance.

    Pieces of one loop do not displace each other: there is no wall between them.
    """
    nearest, second = part.fields["nearest"], part.fields["second"]
    closer = distance < nearest
    other = part.codes != number
    np.copyto(second, nearest, where=closer & other)
    np.minimum(second, distance, out=second, where=~closer & other)
    np.copyto(nearest, distance, where=closer)
    np.copyto(part.codes, np.uint8(number), where=closer)
