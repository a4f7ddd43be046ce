import json
from types import SimpleNamespace

import pytest
import torch
from monai.inferers import SimpleInferer
from small_dwi_evaluation import metric_rows, write_dwi_evaluation

from custom.errors import InputError
from custom.evaluation.dwi_summary import (
    DwiSummary,
    dwi_table,
    format_small,
    read_dwi_metrics,
    summarise_dwi,
)
from custom.evaluation.restore_with import RestoreWithd
from custom.files.atomic import sha256_of
from custom.report.evaluation_kinds import console_table


@pytest.fixture
def rows(tmp_path):
    return read_dwi_metrics(write_dwi_evaluation(tmp_path))


def test_empty_cells_are_read_as_nothing(rows):
    assert [row["coverage_1sd"] for row in rows] == [None, 0.7] * 3
    assert [row["noise_level"] for row in rows] == [0.2, 0.2, 0.05, 0.05, 0.05, 0.05]
    assert (rows[0]["scan"], rows[0]["method"], rows[0]["voxels"]) == ("s1", "input", 100)


def test_means_by_hand(rows):
    found = summarise_dwi(rows)
    assert found["methods"] == ["input", "model"]
    assert list(found["by_noise_level"]) == ["0.05", "0.2"], "weakest noise first"
    weak = found["by_noise_level"]["0.05"]["input"]["mse"]
    assert weak == {
        "mean": pytest.approx(4e-3),
        "std": pytest.approx(2e-3 * 2**0.5),
        "n": 2,
    }
    assert found["by_noise_level"]["0.2"]["model"]["mse"] == {"mean": 1e-2, "std": None, "n": 1}
    assert found["overall"]["model"]["mse"]["mean"] == pytest.approx(0.25 * 48e-3 / 3)
    assert found["overall"]["model"]["coverage_2sd"]["mean"] == pytest.approx(0.95)
    assert found["overall"]["input"]["coverage_2sd"]["n"] == 0
    assert found["noise_estimate"]["0.05"]["mean"] == pytest.approx(0.055)
    assert found["noise_estimate"]["0.05"]["n"] == 2, "a scan counts once"


def test_a_measure_that_no_method_has_is_left_out(rows):
    for row in rows:
        row["coverage_1sd"] = row["coverage_2sd"] = row["noise_level"] = None
    found = summarise_dwi(rows)
    assert found["metrics"] == ["mse", "nrmse", "d_mse", "d_mae", "md_mae", "fa_mae"]
    assert list(found["by_noise_level"]) == ["unknown"]


def test_the_console_says_the_error_at_each_level(tmp_path):
    summary = json.loads((write_dwi_evaluation(tmp_path) / "summary.json").read_text())
    text = console_table(summary)
    assert text == dwi_table(summary)
    header, rule, noisy, model = text.splitlines()[:4]
    assert [name in header for name in ("MSE at 0.05", "MSE at 0.2", "s/scan")] == [True] * 3
    assert set(rule) == {"-"}
    assert noisy.split()[:3] == ["noisy", "0.004", "0.04"]
    assert model.split()[:4] == ["our", "model", "0.001", "0.01"]
    assert model.split()[-1] == "0.5"


@pytest.mark.parametrize(
    ("mean", "text"), [(None, "-"), (7.123e-5, "7.12e-05"), (0.0, "0"), (0.04, "0.04")]
)
def test_small_numbers_keep_their_digits(mean, text):
    assert format_small({"mean": mean}) == text


def test_the_summary_names_data_weights_and_peers(tmp_path):
    folder, data = tmp_path / "out", tmp_path / "data"
    data.mkdir()
    head = {"name": "heads", "description": "phantoms", "demonstration": True}
    (data / "datalist.json").write_text(json.dumps(head))
    network = torch.nn.Linear(1, 1)
    for name in ("model", "vae"):
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")
    peer = RestoreWithd("image", "vae", network, tmp_path / "vae.pt", SimpleInferer())
    write_dwi_evaluation(folder)
    table = SimpleNamespace(output_dir=folder, noise_sources={"fit residuals"})
    seconds = [{"method": "model", "seconds": value} for value in (1.0, 4.0, 2.0)]
    times = SimpleNamespace(rows=seconds)
    model = tmp_path / "model.pt"
    path = DwiSummary(table, model, data, "test", times, [peer, object()], {"model": "M"}).write()
    summary = json.loads(path.read_text())
    assert path == folder / "summary.json"
    assert summary["kind"] == "dwi evaluation"
    assert summary["dataset"] == {"folder": str(data.resolve()), **head}
    assert (summary["scans"], summary["noise"]) == (3, ["fit residuals"])
    assert summary["checkpoint"]["sha256"] == sha256_of(model)
    assert list(summary["peers"]) == ["vae"]
    assert summary["seconds"]["model"] == {"median": 2.0, "min": 1.0, "max": 4.0}
    assert summary["use"] == "research use only"
    assert summary["versions"]["dipy"]


def test_broken_tables_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_dwi_metrics(tmp_path)
    table = tmp_path / "metrics.csv"
    header = ",".join(metric_rows()[0])
    table.write_text(f"{header}\n")
    with pytest.raises(InputError, match="holds no row"):
        read_dwi_metrics(tmp_path)
    table.write_text(f"{header}\n{'s1,' * 13}s1\n")
    with pytest.raises(InputError, match="no number"):
        read_dwi_metrics(tmp_path)
    table.write_text("scan,mse\ns1,1\n")
    with pytest.raises(InputError, match="lacks the columns"):
        read_dwi_metrics(tmp_path)
