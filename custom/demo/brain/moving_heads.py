"""Demonstration set of ``motion_cdm``: synthetic heads that move during the scan."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from monai.data import MetaTensor

from custom.data.datasets.dataset_kinds import SAME_GRID_VOLUMES
from custom.demo.brain.brain_volumes import BrainVolumesDemo
from custom.transforms.motion.rigid_motion import RandRigidMotiond

__all__ = ["MovingHeadsDemo"]

_ABOUT = "Synthetic T1-weighted heads made from the ICBM 152 tissue maps, with simulated motion"


class MovingHeadsDemo(BrainVolumesDemo):
    """The heads of :class:`BrainVolumesDemo`, still and read while they move.

    Each ``label`` is a still head, each ``image`` the same, read slice by slice along the last axis
    while it moved rigidly: see :class:`~custom.transforms.motion.rigid_motion.RandRigidMotiond`,
    whose draw depends on the seed and the name of the scan. Training and evaluation simulate
    motion of their own on the still heads.
    """

    version = 1
    kind = SAME_GRID_VOLUMES
    title = "moving heads"
    about: ClassVar = {"full": _ABOUT, "tiny": f"{_ABOUT}, small for tests"}
    subject = "head"

    def _scan(self, job: tuple[int, str]) -> dict[str, Any]:
        """Scan one person who moves."""
        scan = super()._scan(job)
        still, affine = scan["images"]["label"]
        moving = RandRigidMotiond("image", prob_still=0.0, fixed_by=["scan"], seed=self.seed)
        volume = MetaTensor(still.astype(np.float32)[None], affine=torch.from_numpy(affine))
        item = moving({"image": volume, "scan": scan["scan"]})
        moved = item["image"][0].round().clamp(max=np.iinfo(np.int16).max).numpy().astype(np.int16)
        scan["images"] = {"image": (moved, affine), "label": (still, affine)}
        return scan
