import json
from types import SimpleNamespace

import numpy as np
import torch
from small_evaluation import write_volume_evaluation
from torch import nn

from custom.analysis.gan.patch_collector import Patch
from custom.analysis.gan.volume_diagnostics import VolumeDiagnostics
from custom.evaluation.diagnostics_folder import read_diagnostics


def test_what_is_there_is_drawn(tmp_path):
    write_volume_evaluation(tmp_path)
    table = SimpleNamespace(output_dir=tmp_path)
    random = np.random.default_rng(0)
    cubes = [random.random((4, 4, 4), np.float32) for _ in range(12)]
    patches = SimpleNamespace(patches=[Patch("a", "reference", cube) for cube in cubes])
    extractor = nn.Conv3d(1, 3, 2)
    torch.save({"extractor": extractor.state_dict()}, tmp_path / "last.pt")
    training = tmp_path / "training.csv"
    training.write_text("epoch,train_critic_loss,train_pixel_loss\n1,0.5,0.2\n2,0.7,0.1\n")
    study = VolumeDiagnostics(table, patches, nn.Conv3d(1, 3, 2), tmp_path / "last.pt", training)
    folder = study.write()
    assert [row["file"] for row in read_diagnostics(tmp_path)] == [
        "noise.png",
        "training.png",
        "features.png",
    ]
    numbers = json.loads((folder / "diagnostics.json").read_text())
    assert numbers["noise"]["psnr"]["0.3"] == {"cubic": 27.0, "model": 27.5}
    assert numbers["training"]["epochs"] == 2
    nothing = VolumeDiagnostics(
        table, patches, extractor, tmp_path / "gone.pt", tmp_path / "gone.csv"
    )
    nothing.write()
    assert [row["file"] for row in read_diagnostics(tmp_path)] == ["noise.png"]
