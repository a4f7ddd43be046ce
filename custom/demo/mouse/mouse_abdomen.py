"""Liver, stomach, spleen, kidneys, bladder and the abdominal cavity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom.demo.mouse.mouse_gut import Gut
from custom.demo.mouse.mouse_thorax import Thorax
from custom.demo.shapes import Capsule, Ellipsoid, paint_shells, tube_distance
from custom.demo.slab import Slab

__all__ = ["Abdomen"]

Array = NDArray[np.float32]

_WALL_MM = 1.9


class Abdomen:
    """Organs below the diaphragm.

    Args:
        rng: Random generator of the animal.
        thorax: The animal's thorax, which gives the diaphragm.
    """

    def __init__(self, rng: np.random.Generator, thorax: Thorax) -> None:
        self.thorax = thorax
        shift = rng.normal(0.0, 0.5, (8, 3))
        size = np.clip(rng.normal(1.0, 0.07, 8), 0.85, 1.15)
        self.kidneys = [
            Ellipsoid(
                np.array(centre) + 0.7 * shift[row],
                np.array((2.75, 2.7, 4.9)) * size[row],
                8.0,
            )
            for row, centre in enumerate(((5.3, -2.2, -9.5), (-5.3, -2.0, -12.8)))
        ]
        self.liver_edge_mm = float(-8.0 + shift[2, 0])
        self.stomach = Ellipsoid(
            np.array((-4.6, 1.6, -5.6)) + shift[3],
            np.array((4.0, 3.4, 2.9)) * size[3],
            20.0,
        )
        self.stomach_content = str(rng.choice(["food", "food", "chyme"]))
        self.gallbladder = Ellipsoid(
            np.array((1.4, 4.4, -2.8)) + shift[4], np.array((0.9, 1.1, 1.6)) * size[4]
        )
        tip = np.array((-8.2, 3.4, -9.5)) + shift[5]
        self.spleen = [
            Capsule((-6.6, -3.2, -4.6), (-8.4, 0.2, -7.0), 0.9 * size[5], 1.25 * size[5]),
            Capsule((-8.4, 0.2, -7.0), tip, 1.25 * size[5], 0.9 * size[5]),
        ]
        self.bladder = Ellipsoid(
            np.array((0.0, 4.2, -26.5)) + shift[6],
            np.array((2.7, 2.4, 2.9)) * rng.uniform(0.7, 1.2),
        )
        self.gut = Gut(rng)

    def paint(self, slab: Slab) -> None:
        """Paint the abdomen into a slab that has its body wall and thorax."""
        part = slab.crop((-12.0, -9.0, -45.0), (12.0, 11.0, 6.0))
        if part is None:
            return
        above = self.thorax.diaphragm(part)
        wall = np.maximum(part.fields["body"] + _WALL_MM, above)
        cavity = np.maximum(wall, -3.0 - part.y - 0.45 * np.abs(part.x))
        part.paint("muscle", cavity - 0.2)
        part.paint("fat", cavity)
        lobules = np.abs(part.fields["lobules"]) * 0.8 - 0.025
        part.paint("gut wall", np.maximum(lobules, cavity))
        vessels = tube_distance(part.fields["tubes 1"], part.fields["tubes 2"], 1.1, 0.07)
        part.paint("flowing blood", np.maximum(vessels, cavity))
        _paint_wall_layers(part)
        self.gut.paint(part, cavity + 0.35)
        _paint_retroperitoneum(part)
        self._paint_liver(part, cavity)
        self._paint_stomach(part, cavity)
        self._paint_spleen(part, cavity)
        paint_shells(
            part, self.bladder, ("fat", 0.6), ("gut wall", 0.32), ("fluid", 0.0), margin_mm=0.7
        )
        for number, kidney in enumerate(self.kidneys):
            _paint_kidney(part, kidney, 1 if number else -1)

    def _paint_liver(self, slab: Slab, cavity: Array) -> None:
        """Paint the lobes, the fissures between them, their vessels and the gallbladder."""
        part = slab.crop((-12.0, -8.0, -14.0), (12.0, 10.0, 6.0))
        if part is None:
            return
        cavity = slab.under(part, cavity)
        waves = 1.1 * part.fields["septa"]
        edge = self.liver_edge_mm + 0.35 * np.abs(part.x + 2.0) + waves
        outline = np.maximum(cavity + 0.12, (edge - part.z) * 0.8)
        part.paint("fat", outline - 0.05)
        part.paint("liver", outline)
        first, second = part.fields["tubes 1"], part.fields["tubes 2"]
        deep = outline + 0.3
        # Portal tracts are bright around a dark lumen; hepatic veins are flow voids only.
        calibre = 0.07 * part.fields["fat"]
        portal = tube_distance(first, second, 1.1, 0.16) - calibre
        part.paint("gut wall", np.maximum(portal - 0.08, deep))
        part.paint("flowing blood", np.maximum(portal, deep))
        veins = tube_distance(first - 0.9, second + 0.7, 1.1, 0.14) + calibre
        part.paint("flowing blood", np.maximum(veins, deep))
        fissure = np.abs(part.fields["fissures"]) * 3.2 - 0.05
        part.paint("fat", np.maximum(fissure, outline))
        for end in ((3.4, 2.6, -2.5), (-3.2, 3.0, -1.6), (0.6, 4.0, -1.0)):
            paint_shells(part, Capsule((0.7, 0.2, -0.5), end, 0.5, 0.22), ("flowing blood", 0.0))
        paint_shells(part, self.gallbladder, ("gut wall", 0.12), ("fluid", 0.0), margin_mm=0.2)

    def _paint_stomach(self, slab: Slab, cavity: Array) -> None:
        """Paint the stomach's wall in layers, its folds and its content."""
        part = self.stomach.crop(slab, 0.3)
        if part is None:
            return
        outline = np.maximum(self.stomach.distance(part), slab.under(part, cavity) + 0.4)
        part.paint("fat", outline - 0.15)
        part.paint("gut wall", outline)
        part.paint("muscle", np.abs(outline + 0.12) - 0.06)
        folds = 0.16 * np.abs(part.fields["lobules"])
        lumen = outline + 0.42 + folds
        part.paint("fluid", lumen)
        part.paint(self.stomach_content, lumen + 0.09)
        gas = np.maximum(lumen + 0.3, np.float32(self.stomach.centre[1] + 1.9) - part.y)
        part.paint("gas", gas)

    def _paint_spleen(self, slab: Slab, cavity: Array) -> None:
        """Paint the spleen along the left flank."""
        for piece in self.spleen:
            part = piece.crop(slab, 0.2)
            if part is not None:
                room = slab.under(part, cavity) + 0.25
                outline = np.maximum(piece.distance(part), room)
                part.paint("fat", outline - 0.12)
                part.paint("spleen", outline)
                pulp = tube_distance(part.fields["lobules"], part.fields["septa"], 0.9, 0.1)
                part.paint("gland", np.maximum(pulp, outline + 0.3))


def _paint_wall_layers(slab: Slab) -> None:
    """Separate the abdominal wall's muscles (oblique, transverse) by thin fat."""
    body = slab.fields["body"]
    layer = np.abs(body + 1.5) - 0.035
    inside = np.maximum(layer, slab.z - 1.0)
    slab.paint("fat", np.maximum(inside, -4.0 - slab.y))


def _paint_retroperitoneum(slab: Slab) -> None:
    """Paint psoas muscles, aorta and caval vein before the spine."""
    for side in (-1, 1):
        psoas = Capsule((side * 2.0, -2.5, -8.0), (side * 2.9, -1.9, -32.0), 1.0, 1.7)
        paint_shells(slab, psoas, ("fat", 0.2), ("muscle", 0.0))
    for vessel, flow in (
        (Capsule((-0.6, -1.9, 9.0), (-0.4, -1.6, -36.0), 0.55), "flowing blood"),
        (Capsule((0.7, 0.2, -3.0), (0.9, -1.3, -9.0), 0.65), "flowing blood"),
        (Capsule((0.9, -1.3, -9.0), (0.8, -1.5, -36.0), 0.65), "slow blood"),
    ):
        paint_shells(slab, vessel, ("fat", 0.3), ("gut wall", 0.08), (flow, 0.0), margin_mm=0.4)


def _paint_kidney(slab: Slab, kidney: Ellipsoid, hilum: int) -> None:
    """Paint a kidney in its layers.

    Args:
        slab: The slab.
        kidney: Its outline.
        hilum: 1 if its hilum looks to the animal's right, -1 if to the left.
    """
    part = kidney.crop(slab, 0.8)
    if part is None:
        return
    x, y, z = kidney.local(part)
    inwards = x * hilum
    notch = np.sqrt((inwards - np.float32(kidney.radii[0] + 0.3)) ** 2 + y**2 + (0.6 * z) ** 2)
    outline = np.maximum(kidney.distance(part), 1.1 - notch)
    outline = np.maximum(outline, part.fields["body"] + 1.8)
    part.paint("fat", outline - 0.3)
    part.paint("skin", outline - 0.07)
    part.paint("kidney cortex", outline)
    ripple = 0.16 * part.fields["lobules"]
    part.paint("outer medulla", outline + 1.15 + ripple)
    part.paint("kidney cortex", outline + 1.75 + ripple)
    part.paint("inner medulla", outline + 1.95 + ripple / 2)
    arcuate = tube_distance(part.fields["tubes 1"], part.fields["lobules"], 1.3, 0.1)
    part.paint("flowing blood", np.maximum(arcuate, np.abs(outline + 1.1) - 0.2))
    # Pelvis: urine about the papilla, fat and vessels in the sinus.
    calyx = np.hypot(np.hypot(inwards - 1.25, y), z * 0.45)
    part.paint("fluid", np.abs(calyx - 0.75) - 0.09)
    part.paint("fat", np.maximum(calyx - 0.55, -inwards + 1.35))
    vein = np.hypot(y, z) - 0.3
    along = np.abs(inwards - np.float32(kidney.radii[0])) - 0.8
    part.paint("flowing blood", np.maximum(vein, along))
