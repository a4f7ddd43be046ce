import json
from types import SimpleNamespace

import pytest
import torch
from monai.inferers import SimpleInferer
from small_volume_evaluation import metric_rows, write_volume_evaluation

from custom.errors import InputError
from custom.evaluation.restore_with import RestoreWithd
from custom.evaluation.volume_summary import (
    VolumeSummary,
    read_volume_metrics,
    summarise_volumes,
    volume_table,
)
from custom.files.atomic import sha256_of
from custom.report.evaluation_kinds import console_table


@pytest.fixture
def rows(tmp_path):
    return read_volume_metrics(write_volume_evaluation(tmp_path))


def test_means_and_gains_by_hand(rows):
    found = summarise_volumes(rows)
    assert found["methods"] == ["cubic", "model"]
    assert found["metrics"] == [
        "psnr",
        "ssim",
        "psnr_foreground",
        "ssim_foreground",
        "nrmse",
        "kspace_error",
    ], "LPIPS was not measured"
    assert list(found["by_noise_level"]) == ["0", "0.3"]
    assert found["overall"]["model"]["psnr"] == {
        "mean": pytest.approx(30.5),
        "std": pytest.approx(3 / 2**0.5),
        "n": 2,
    }
    assert found["by_noise_level"]["0.3"]["cubic"]["psnr"]["mean"] == pytest.approx(27)
    assert found["by_scan"]["v2"]["model"]["psnr"] == pytest.approx(29)
    gain = found["model_against"]["cubic"]["psnr"]
    assert gain["mean"] == pytest.approx(0.5)
    assert (gain["better"], gain["volumes"]) == (1, 2)


def test_less_error_is_a_gain(rows):
    for row in rows:
        row["nrmse"] = 0.1 if row["method"] == "cubic" else 0.07
    gain = summarise_volumes(rows)["model_against"]["cubic"]["nrmse"]
    assert gain["mean"] == pytest.approx(0.03)
    assert gain["better"] == 2


def test_a_perfect_volume_can_be_written(rows):
    rows[1]["psnr"] = float("inf")
    found = summarise_volumes(rows)
    json.dumps(found, allow_nan=False)
    assert found["overall"]["model"]["psnr"]["infinite"] == 1
    assert found["model_against"]["cubic"]["psnr"]["volumes"] == 1


def test_the_console_says_all_measures_and_the_noise(tmp_path):
    summary = json.loads((write_volume_evaluation(tmp_path) / "summary.json").read_text())
    text = console_table(summary)
    assert text == volume_table(summary)
    header, rule, cubic, model, caption = text.splitlines()
    assert all(name in header for name in ("PSNR [dB]", "SSIM", "k-space error", "PSNR at 0.3"))
    assert set(rule) == {"-"}
    cells = ["splines", "30.00", "0.900", "24.00", "0.800", "0.1", "0.02", "27.00"]
    assert cubic.split() == cells
    assert model.split() == ["our", "model", "30.50", "0.900", "24.50", *cells[4:7], "27.50", "0.5"]
    assert "2 volumes" in caption
    assert "linear" in caption


def test_the_summary_names_data_weights_and_peers(tmp_path):
    folder, data = tmp_path / "out", tmp_path / "data"
    data.mkdir()
    (data / "datalist.json").write_text(json.dumps({"name": "heads"}))
    network = torch.nn.Linear(1, 1)
    for name in ("model", "disgan"):
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")
    peer = RestoreWithd("image", "disgan", network, tmp_path / "disgan.pt", SimpleInferer())
    write_volume_evaluation(folder)
    table = SimpleNamespace(output_dir=folder)
    times = SimpleNamespace(rows=[{"method": "model", "seconds": s} for s in (1.0, 4.0, 2.0)])
    model = tmp_path / "model.pt"
    path = VolumeSummary(
        table, model, data, "test", "kspace", 0.5, times, [peer, object()], {"model": "M"}
    ).write()
    summary = json.loads(path.read_text())
    assert summary["kind"] == "volume evaluation"
    assert summary["degradation"] == "kspace"
    assert summary["data_consistency"] == 0.5
    assert summary["checkpoint"]["sha256"] == sha256_of(model)
    assert list(summary["peers"]) == ["disgan"]
    assert summary["seconds"]["model"] == {"median": 2.0, "min": 1.0, "max": 4.0}
    assert summary["lpips"]["computed"] is False
    assert "lpips_weights" in summary["lpips"]["reason"]


def test_broken_tables_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_volume_metrics(tmp_path)
    table = tmp_path / "metrics.csv"
    header = ",".join(metric_rows()[0])
    table.write_text(f"{header}\n")
    with pytest.raises(InputError, match="holds no row"):
        read_volume_metrics(tmp_path)
    table.write_text(f"{header}\n{'v1,' * 11}v1\n")
    with pytest.raises(InputError, match="no number"):
        read_volume_metrics(tmp_path)
    table.write_text("scan,psnr\nv1,1\n")
    with pytest.raises(InputError, match="lacks the columns"):
        read_volume_metrics(tmp_path)
