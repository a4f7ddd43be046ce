import json
from types import SimpleNamespace

import pytest
import torch
from monai.inferers import SimpleInferer
from small_evaluation import MEASURES, write_evaluation, write_volume_evaluation

from custom.errors import InputError
from custom.evaluation.restore_with import RestoreWithd
from custom.evaluation.summary_file import Summary, summary_text
from custom.evaluation.table import read_rows
from custom.evaluation.units import Slices
from custom.files.atomic import sha256_of


class Part:
    def facts(self):
        return {"noise": "strong"}

    def tables(self, rows):
        return [{"title": "rows", "columns": ["n"], "rows": [[len(rows)]], "caption": ""}]


def test_the_summary_names_data_weights_and_peers(tmp_path):
    folder, data = write_evaluation(tmp_path / "out"), tmp_path / "data"
    data.mkdir()
    head = {"name": "mice", "description": "phantoms", "demonstration": True}
    (data / "datalist.json").write_text(json.dumps(head | {"test": []}))
    network = torch.nn.Linear(1, 1)
    for name in ("model", "unet"):
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")
    peer = RestoreWithd("image", "unet", network, tmp_path / "unet.pt", SimpleInferer())
    units = Slices(["scan", "animal", "plane", "region"])
    units.excluded = {"m1_axial": [3, 4]}
    table = SimpleNamespace(output_dir=folder, units=units, measures=MEASURES, peers=[peer])
    times = [
        {"method": method, "slices": 2, "seconds": seconds}
        for method, seconds in (("unet", 1.0), ("model", 4.0))
    ]
    path = Summary(
        table,
        tmp_path / "model.pt",
        data,
        "test",
        {"model": "M", "nobody": "N"},
        unit="slice",
        subject="animal",
        subject_column="animal",
        groups=["plane"],
        times=SimpleNamespace(rows=times),
        seconds_per="slice",
        facts={"LPIPS": None, "degradation": "linear"},
        parts=[Part()],
        packages=["dipy"],
    ).write()
    summary = json.loads(path.read_text())
    assert path == folder / "summary.json"
    assert summary["kind"] == "evaluation"
    assert summary["dataset"] == {"folder": str(data.resolve()), **head}
    assert summary["counts"] == {"slice": 4, "scan": 2, "animal": 2, "excluded": 2}
    assert summary["checkpoint"]["sha256"] == sha256_of(tmp_path / "model.pt")
    assert summary["peers"]["unet"]["sha256"] == sha256_of(tmp_path / "unet.pt")
    assert summary["method_names"] == {"input": "input", "bicubic": "bicubic", "model": "M"}
    assert summary["seconds"]["model"]["median"] == 2
    assert summary["seconds"]["unet"]["model_ratio"] == 4
    assert summary["facts"] == {
        "degradation": "linear",
        "data_range": "2 on average",
        "excluded slices": "m1_axial: 3, 4",
        "noise": "strong",
    }
    assert summary["tables"][0]["rows"] == [[12]]
    assert {"monai", "torch", "dipy"} <= set(summary["versions"])
    assert summary["use"] == "research use only"


def test_the_result_in_text(tmp_path):
    summary = json.loads((write_volume_evaluation(tmp_path) / "summary.json").read_text())
    head, rule, cubic, model, caption = summary_text(summary).splitlines()
    assert set(rule) == {"-"}
    columns = ["PSNR [dB]", "SSIM", "s/scan", "PSNR, noise_level 0", "PSNR, noise_level 0.3"]
    assert [head.index(name) for name in columns] == sorted(head.index(name) for name in columns)
    assert cubic.split() == [
        "splines",
        *["30.00", "±", "0.00", "0.900", "±", "0.000", "30.00", "27.00"],
    ]
    cells = ["30.50", "±", "2.12", "0.900", "±", "0.000", "0.5", "30.50", "27.50"]
    assert model.split() == ["our", "model", *cells]
    assert cubic.index("30.00", 30) == model.index("30.50", 30), "columns stand below another"
    assert "split 'test' (volume 2, scan 2, person 2)" in caption
    low, high = summary["groups"]["noise_level"].values()
    summary["groups"] = {"plane": {"axial": low, "sagittal": high}}
    assert "plane" not in summary_text(summary), "only levels have columns"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "cannot be read"),
        ("epoch,loss\n1,2\n", "lacks the columns"),
        ("scan,method,mse,psnr,ssim\n", "holds no row"),
        ("scan,method,mse,psnr,ssim\na,input,much,1,1\n", "no number"),
    ],
)
def test_a_broken_table_is_named(tmp_path, text, word):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(InputError, match=word):
        read_rows(tmp_path, ["mse", "psnr", "ssim"])


def test_numbers_and_gaps_are_read(tmp_path):
    (tmp_path / "metrics.csv").write_text("scan,noise,method,mse,lpips\n007,0.1,model,inf,\n")
    (row,) = read_rows(tmp_path, ["mse", "lpips"])
    expected = {"scan": "007", "noise": "0.1", "method": "model", "mse": float("inf")}
    assert row == expected | {"lpips": None}
