"""Liver, stomach, spleen, kidneys, bladder and the abdominal cavity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom.demo.mouse.mouse_gut import Gut
from custom.demo.mouse.mouse_thorax import Thorax
from custom.demo.shapes import Capsule, Ellipsoid, tube_distance
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
        wall = np.maximum(part.fields["body"] + np.float32(_WALL_MM), above)
        cavity = np.maximum(wall, np.float32(-3.0) - part.y - np.float32(0.45) * np.abs(part.x))
        part.paint("muscle", cavity - np.float32(0.2))
        part.paint("fat", cavity)
        lobules = np.abs(part.fields["lobules"]) * np.float32(0.8) - np.float32(0.025)
        part.paint("gut wall", np.maximum(lobules, cavity))
        vessels = tube_distance(part.fields["tubes 1"], part.fields["tubes 2"], 1.1, 0.07)
        part.paint("flowing blood", np.maximum(vessels, cavity))
        self._paint_wall_layers(part)
        self.gut.paint(part, cavity + np.float32(0.35))
        self._paint_retroperitoneum(part, cavity)
        self._paint_liver(part, cavity)
        self._paint_stomach(part, cavity)
        self._paint_spleen(part, cavity)
        self._paint_bladder(part)
        for number, kidney in enumerate(self.kidneys):
            _paint_kidney(part, kidney, 1 if number else -1)

    def _paint_wall_layers(self, slab: Slab) -> None:
        """Separate the abdominal wall's muscles (oblique, transverse) by thin fat."""
        body = slab.fields["body"]
        layer = np.abs(body + np.float32(1.5)) - np.float32(0.035)
        inside = np.maximum(layer, slab.z - np.float32(1.0))
        slab.paint("fat", np.maximum(inside, np.float32(-4.0) - slab.y))

    def _paint_retroperitoneum(self, slab: Slab, cavity: Array) -> None:
        """Paint psoas muscles, aorta and caval vein before the spine."""
        for side in (-1, 1):
            psoas = Capsule((side * 2.0, -2.5, -8.0), (side * 2.9, -1.9, -32.0), 1.0, 1.7)
            part = psoas.crop(slab)
            if part is not None:
                part.paint("fat", psoas.distance(part) - np.float32(0.2))
                part.paint("muscle", psoas.distance(part))
        for vessel, flow in (
            (Capsule((-0.6, -1.9, 9.0), (-0.4, -1.6, -36.0), 0.55), "flowing blood"),
            (Capsule((0.7, 0.2, -3.0), (0.9, -1.3, -9.0), 0.65), "flowing blood"),
            (Capsule((0.9, -1.3, -9.0), (0.8, -1.5, -36.0), 0.65), "slow blood"),
        ):
            part = vessel.crop(slab, 0.4)
            if part is not None:
                part.paint("fat", vessel.distance(part) - np.float32(0.3))
                part.paint("gut wall", vessel.distance(part) - np.float32(0.08))
                part.paint(flow, vessel.distance(part))

    def _paint_liver(self, slab: Slab, cavity: Array) -> None:
        """Paint the lobes, the fissures between them, their vessels and the gallbladder."""
        part = slab.crop((-12.0, -8.0, -14.0), (12.0, 10.0, 6.0))
        if part is None:
            return
        cavity = slab.under(part, cavity)
        waves = np.float32(1.1) * part.fields["septa"]
        edge = np.float32(self.liver_edge_mm) + np.float32(0.35) * np.abs(part.x + 2.0) + waves
        outline = np.maximum(cavity + np.float32(0.12), (edge - part.z) * np.float32(0.8))
        part.paint("fat", outline - np.float32(0.05))
        part.paint("liver", outline)
        first, second = part.fields["tubes 1"], part.fields["tubes 2"]
        deep = outline + np.float32(0.3)
        # Portal tracts are bright around a dark lumen; hepatic veins are flow voids only.
        calibre = np.float32(0.07) * part.fields["fat"]
        portal = tube_distance(first, second, 1.1, 0.16) - calibre
        part.paint("gut wall", np.maximum(portal - np.float32(0.08), deep))
        part.paint("flowing blood", np.maximum(portal, deep))
        veins = (
            tube_distance(first - np.float32(0.9), second + np.float32(0.7), 1.1, 0.14) + calibre
        )
        part.paint("flowing blood", np.maximum(veins, deep))
        fissure = np.abs(part.fields["fissures"]) * np.float32(3.2) - np.float32(0.05)
        part.paint("fat", np.maximum(fissure, outline))
        for end in ((3.4, 2.6, -2.5), (-3.2, 3.0, -1.6), (0.6, 4.0, -1.0)):
            branch = Capsule((0.7, 0.2, -0.5), end, 0.5, 0.22)
            tip = branch.crop(part)
            if tip is not None:
                tip.paint("flowing blood", branch.distance(tip))
        bag = self.gallbladder.crop(part, 0.2)
        if bag is not None:
            bag.paint("gut wall", self.gallbladder.distance(bag) - np.float32(0.12))
            bag.paint("fluid", self.gallbladder.distance(bag))

    def _paint_stomach(self, slab: Slab, cavity: Array) -> None:
        """Paint the stomach's wall in layers, its folds and its content."""
        part = self.stomach.crop(slab, 0.3)
        if part is None:
            return
        outline = np.maximum(
            self.stomach.distance(part), slab.under(part, cavity) + np.float32(0.4)
        )
        part.paint("fat", outline - np.float32(0.15))
        part.paint("gut wall", outline)
        part.paint("muscle", np.abs(outline + np.float32(0.12)) - np.float32(0.06))
        folds = np.float32(0.16) * np.abs(part.fields["lobules"])
        lumen = outline + np.float32(0.42) + folds
        part.paint("fluid", lumen)
        part.paint(self.stomach_content, lumen + np.float32(0.09))
        gas = np.maximum(lumen + np.float32(0.3), np.float32(self.stomach.centre[1] + 1.9) - part.y)
        part.paint("gas", gas)

    def _paint_spleen(self, slab: Slab, cavity: Array) -> None:
        """Paint the spleen along the left flank."""
        for piece in self.spleen:
            part = piece.crop(slab, 0.2)
            if part is not None:
                room = slab.under(part, cavity) + np.float32(0.25)
                outline = np.maximum(piece.distance(part), room)
                part.paint("fat", outline - np.float32(0.12))
                part.paint("spleen", outline)
                pulp = tube_distance(part.fields["lobules"], part.fields["septa"], 0.9, 0.1)
                part.paint("gland", np.maximum(pulp, outline + np.float32(0.3)))

    def _paint_bladder(self, slab: Slab) -> None:
        """Paint the bladder's wall and urine."""
        part = self.bladder.crop(slab, 0.7)
        if part is not None:
            outline = self.bladder.distance(part)
            part.paint("fat", outline - np.float32(0.6))
            part.paint("gut wall", outline - np.float32(0.32))
            part.paint("fluid", outline)


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
    inwards = x * np.float32(hilum)
    notch = np.sqrt((inwards - np.float32(kidney.radii[0] + 0.3)) ** 2 + y**2 + (0.6 * z) ** 2)
    outline = np.maximum(kidney.distance(part), np.float32(1.1) - notch)
    outline = np.maximum(outline, part.fields["body"] + np.float32(1.8))
    part.paint("fat", outline - np.float32(0.3))
    part.paint("skin", outline - np.float32(0.07))
    part.paint("kidney cortex", outline)
    ripple = np.float32(0.16) * part.fields["lobules"]
    part.paint("outer medulla", outline + np.float32(1.15) + ripple)
    part.paint("kidney cortex", outline + np.float32(1.75) + ripple)
    part.paint("inner medulla", outline + np.float32(1.95) + ripple / 2)
    arcuate = tube_distance(part.fields["tubes 1"], part.fields["lobules"], 1.3, 0.1)
    part.paint("flowing blood", np.maximum(arcuate, np.abs(outline + np.float32(1.1)) - 0.2))
    # Pelvis: urine about the papilla, fat and vessels in the sinus.
    calyx = np.hypot(np.hypot(inwards - np.float32(1.25), y), z * np.float32(0.45))
    part.paint("fluid", np.abs(calyx - np.float32(0.75)) - np.float32(0.09))
    part.paint("fat", np.maximum(calyx - np.float32(0.55), -inwards + np.float32(1.35)))
    vein = np.hypot(y, z) - np.float32(0.3)
    along = np.abs(inwards - np.float32(kidney.radii[0])) - np.float32(0.8)
    part.paint("flowing blood", np.maximum(vein, along))
