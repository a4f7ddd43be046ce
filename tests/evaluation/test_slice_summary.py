import hashlib
import json
import math
import statistics
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from monai.inferers import SimpleInferer
from small_evaluation import metric_rows, write_evaluation

from custom.errors import InputError
from custom.evaluation.restore_with import RestoreWithd
from custom.evaluation.slice_summary import (
    EvaluationSummary,
    format_mean,
    read_metrics,
    summarise,
    summary_table,
)


@pytest.fixture
def rows():
    return metric_rows()


@pytest.fixture
def evaluation(tmp_path):
    return write_evaluation(tmp_path / "evaluate")


def test_means_by_hand(rows):
    summary = summarise(rows)
    assert summary["methods"] == ["input", "bicubic", "model"]
    assert summary["metrics"] == ["mse", "psnr", "ssim"]
    values = [22.0, 23.0, 26.0, 27.0]
    assert summary["overall"]["model"]["psnr"] == {
        "mean": pytest.approx(24.5),
        "std": pytest.approx(statistics.stdev(values)),
        "n": 4,
    }
    assert set(summary["by_plane"]) == {"axial", "coronal"}
    assert summary["by_plane"]["coronal"]["input"]["psnr"]["mean"] == pytest.approx(24.5)
    assert summary["by_animal"]["m1"]["bicubic"]["psnr"]["mean"] == pytest.approx(21.5)
    assert summary["by_region"] == {"head": summary["overall"]}
    assert summary["data_range"]["mean"] == 2


def test_gains_compare_the_same_slices_and_count_up_for_better(rows):
    against = summarise(rows)["model_against"]
    assert set(against) == {"input", "bicubic"}
    gain = against["bicubic"]["psnr"]
    assert (gain["mean"], gain["better"], gain["slices"]) == (pytest.approx(1), 4, 4)
    assert gain["std"] == pytest.approx(0, abs=1e-9)
    assert against["input"]["mse"]["mean"] > 0  # a smaller error is a gain
    for row in rows:
        row["method"] = {"model": "input", "input": "model"}.get(row["method"], row["method"])
    assert summarise(rows)["model_against"]["input"]["psnr"]["better"] == 0


def test_equal_slices_are_counted_and_do_not_spoil_the_mean(rows):
    rows[-1]["psnr"] = math.inf
    psnr = summarise(rows)["overall"]["model"]["psnr"]
    assert psnr["mean"] == pytest.approx((22 + 23 + 26) / 3)
    assert (psnr["n"], psnr["infinite"]) == (3, 1)
    assert "Infinity" not in json.dumps(summarise(rows))


def test_one_slice_has_no_deviation(rows):
    only = [row for row in rows if row["scan"] == "m1_axial" and row["slice"] == 0]
    assert summarise(only)["overall"]["model"]["psnr"]["std"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"mean": 0.03034, "std": 0.001}, "0.0303 ± 0.0010"),
        ({"mean": 31.23456, "std": 1.5}, "31.23 ± 1.50"),
        ({"mean": -0.5, "std": None}, "-0.500"),
        ({"mean": 0.0, "std": 0.0}, "0.000 ± 0.000"),
        ({"mean": None, "std": None}, "-"),
    ],
)
def test_digits(value, text):
    assert format_mean(value) == text


def test_the_table_in_text(rows):
    summary = summarise(rows) | {"split": "test", "slices": {"evaluated": 4, "excluded": 1}}
    lines = summary_table(summary).splitlines()
    assert lines[0].split() == ["MSE", "PSNR", "[dB]", "SSIM"]
    assert [line[:15].strip() for line in lines[2:5]] == ["input (nearest)", "bicubic", "our model"]
    assert "24.50 ± 2.38" in lines[4]
    assert len({line.index("±", 30) for line in lines[2:5]}) == 1, (
        "columns must stand below another"
    )
    assert "4 slices of the split 'test' (1 excluded)" in lines[-1]
    assert "data range max - min" in lines[-1]


def test_the_table_in_text_has_names_and_times_if_there_are_any(rows):
    summary = summarise(rows) | {"split": "test", "slices": {"evaluated": 4, "excluded": 1}}
    summary["method_names"] = {"model": "APDDM", "bicubic": "cubic"}
    summary["seconds_per_slice"] = {"model": {"median": 1.23456}}
    lines = summary_table(summary).splitlines()
    assert lines[0].split()[-1] == "s/slice"
    assert [line[:15].strip() for line in lines[2:5]] == ["input (nearest)", "cubic", "APDDM"]
    assert lines[4].split()[-1] == "1.23"
    assert lines[3].split()[-1] == "0.000", "a method without a time has an empty cell"


def test_what_is_written_says_where_it_comes_from(evaluation, tmp_path):
    dataset = tmp_path / "data"
    dataset.mkdir()
    (dataset / "datalist.json").write_text('{"name": "mice", "demonstration": true, "test": []}')
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    peer_weights = tmp_path / "peer.pt"
    torch.save(torch.nn.Conv2d(1, 1, 1).state_dict(), peer_weights)
    table = SimpleNamespace(
        output_dir=evaluation,
        excluded={"m1_axial": [3, 4]},
        cnr_left_out=Counter({"no mask file": 2}),
    )
    cnr = (evaluation / "cnr.csv").read_text().splitlines()
    lines = [f"{cnr[0]},unet CNR", f"{cnr[1]},4", f"{cnr[1]},"]  # one slice without a ratio
    (evaluation / "cnr.csv").write_text("\n".join(lines))
    rows = [
        {"scan": "a", "slices": 2, "method": name, "seconds_per_slice": seconds}
        for name, seconds in {"unet": 0.5, "model": 2.0}.items()
    ]
    peer = RestoreWithd("image", "unet", torch.nn.Conv2d(1, 1, 1), peer_weights, SimpleInferer())
    path = EvaluationSummary(
        table,
        weights,
        dataset,
        "test",
        times=SimpleNamespace(rows=rows),
        peers=[peer, abs],  # whatever restores nothing has no weights
        method_names={"model": "APDDM"},
    ).write()
    summary = json.loads(path.read_text())
    assert summary["dataset"]["name"] == "mice"
    assert summary["dataset"]["demonstration"] is True
    assert summary["slices"] == {
        "evaluated": 4,
        "excluded": 2,
        "excluded_slices": {"m1_axial": [3, 4]},
    }
    assert summary["checkpoint"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert summary["peers"] == {
        "unet": {
            "path": str(peer_weights),
            "sha256": hashlib.sha256(peer_weights.read_bytes()).hexdigest(),
        }
    }
    assert summary["method_names"] == {"model": "APDDM"}
    assert summary["seconds_per_slice"]["unet"]["model_ratio"] == 4
    assert summary["cnr"]["mean"]["DL CNR"] == {"mean": 2.5, "std": 0, "n": 2}
    assert summary["cnr"]["mean"]["unet CNR"] == {"mean": 4, "std": None, "n": 1}
    assert summary["cnr"]["left_out"] == {"no mask file": 2}
    assert summary["lpips"]["computed"] is False
    assert "lpips_weights" in summary["lpips"]["reason"]
    assert summary["conventions"]["data_range"].startswith("max - min")
    assert {"monai", "torch", "dipy"} <= set(summary["versions"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("epoch,loss\n1,2\n", "lacks"),
        ("scan,animal,plane,region,slice,method,mse,psnr,ssim,data_range\n", "no row"),
        (
            "scan,animal,plane,region,slice,method,mse,psnr,ssim,data_range\n"
            "a,b,c,d,0,input,much,1,1,1\n",
            "no number",
        ),
    ],
)
def test_a_broken_table_is_named(tmp_path, text, word):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(InputError, match=word):
        read_metrics(tmp_path)
