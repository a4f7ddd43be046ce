from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusion_series import TABLES, study_protocol, study_table
from monai.data import MetaTensor

from custom.data.inputs.protocol_matching import VolumesBackd, VolumesInOrderd
from custom.physics.diffusion.gradient_table import GradientTable


def test_volumes_come_in_the_models_order_and_go_back(tmp_path: Path) -> None:
    table, order = study_table(), np.random.default_rng(0).permutation(32)
    scan = GradientTable(table.bvals[order], -table.bvecs[order])
    scan.write(tmp_path / "a.bval", tmp_path / "a.bvec")
    image = MetaTensor(torch.from_numpy(order).float().reshape(32, 1, 1, 1), affine=torch.eye(4))
    item = {"image": image, "source": str(tmp_path / "a.nii.gz")}
    found = VolumesInOrderd("image", study_protocol())(item)
    # Volume k of the scan shows measurement order[k], so the values must be sorted.
    assert found["image"].flatten().tolist() == list(range(32))
    torch.testing.assert_close(found["b_rows"], table.b_rows, rtol=0, atol=1e-5)
    assert found["unweighted"].tolist() == table.unweighted.tolist()
    assert [Path(found[key]).name for key in ("bval", "bvec")] == ["a.bval", "a.bvec"]
    back = VolumesBackd(["image", "label"], allow_missing_keys=True)(found)
    assert torch.equal(back["image"], image)


def test_named_tables_win(tmp_path: Path) -> None:
    image = MetaTensor(torch.arange(32.0).reshape(32, 1, 1, 1), affine=torch.eye(4))
    item = {"image": image, "source": str(tmp_path / "a.nii.gz")}
    found = VolumesInOrderd("image", study_protocol(), *map(str, TABLES))(item)
    assert found["bval"] == str(TABLES[0])
    assert torch.equal(found["image"], image)
