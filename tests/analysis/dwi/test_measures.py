from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusion_series import make_series, restored_item, study_table, volumes_first
from monai.inferers import SimpleInferer

from custom.analysis.dwi.measures import dwi_measures
from custom.analysis.dwi.true_voxels import Series, TrueVoxels
from custom.errors import InputError
from custom.evaluation.restore_with import RestoreWithd
from custom.evaluation.table import QualityTable
from custom.metrics.dwi_quality import refit_tensors

SERIES = make_series((9, 8, 7), sigma=0.1)
TABLE = study_table()
COLUMNS = {
    "scan": "scan",
    "subject": "subject",
    "noise_level": "true_noise_level",
    "noise_estimate": "noise_level",
}


def item(**more: Any) -> dict[str, Any]:
    return restored_item(SERIES, **more)


def measure(
    tmp_path: Any, *items: dict[str, Any], methods: Any = None, **settings: Any
) -> dict[tuple[str, str], dict[str, str]]:
    methods = methods or {"model": "pred", "input": "image"}
    units = Series(COLUMNS, settings.pop("deviations", None))
    folder = tmp_path / "out"
    table = QualityTable(folder, units, methods, dwi_measures(), **settings)
    for data in items:
        table.collect(SimpleNamespace(state=SimpleNamespace(batch=[data], output=[{}])))
    table.write()
    with (folder / "metrics.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert tuple(rows[0])[: len(COLUMNS) + 2] == (*COLUMNS, "voxels", "method")
    return {(row["scan"], row["method"]): row for row in rows}


def test_the_truth_itself_has_no_error(tmp_path: Any) -> None:
    rows = measure(tmp_path, item())
    for name in ("mse", "nrmse", "d_mse", "d_mae", "md_mae", "fa_mae"):
        assert float(rows["head", "model"][name]) == pytest.approx(0, abs=1e-6)
        assert float(rows["head", "input"][name]) > 1e-3
    assert list(rows) == [("head", "input"), ("head", "model")], "the model comes last"


def test_signals_are_in_units_of_the_voxels_own_s0(tmp_path: Any) -> None:
    # A fixed share of each voxel's S0: in any other unit the error would not be that.
    off = volumes_first(SERIES.clean + 0.03 * (SERIES.s0 * SERIES.inside)[..., None])
    row = measure(tmp_path, item(pred=off))["head", "model"]
    assert float(row["mse"]) == pytest.approx(0.03**2, rel=1e-5)
    size = (SERIES.clean / SERIES.s0[..., None])[SERIES.inside]
    assert float(row["nrmse"]) == pytest.approx(0.03 / np.sqrt((size**2).mean()), rel=1e-5)
    assert int(row["voxels"]) == SERIES.inside.sum()


def test_noise_of_a_known_level(tmp_path: Any) -> None:
    random = np.random.default_rng(0)
    noise = 0.02 * SERIES.s0[..., None] * random.standard_normal(SERIES.clean.shape)
    row = measure(tmp_path, item(pred=volumes_first(SERIES.clean + noise)))["head", "model"]
    count = SERIES.inside.sum() * 32
    assert float(row["mse"]) == pytest.approx(0.02**2, abs=5 * 0.02**2 * np.sqrt(2 / count))


def test_outside_of_the_mask_nothing_counts(tmp_path: Any) -> None:
    wild = volumes_first(np.where(SERIES.inside[..., None], SERIES.clean, np.nan))
    assert float(measure(tmp_path, item(pred=wild))["head", "model"]["mse"]) < 1e-12
    less = SERIES.inside & (np.arange(9) < 4)[:, None, None]
    data = item() | {"image_mask": torch.from_numpy(less)[None]}
    del data["mask"]
    assert int(measure(tmp_path, data)["head", "model"]["voxels"]) == less.sum()


def test_without_s0_the_unweighted_truth_is_the_unit(tmp_path: Any) -> None:
    data = item()
    del data["s0"]
    unit = SERIES.clean[..., TABLE.unweighted].mean(-1)[SERIES.inside]
    voxels = TrueVoxels(data)
    np.testing.assert_allclose(voxels.scale[:, 0], unit, rtol=1e-6)
    np.testing.assert_allclose(
        voxels.signals, SERIES.clean[SERIES.inside] / unit[:, None], rtol=1e-5
    )


def test_tensors_are_those_of_the_item_else_refitted(tmp_path: Any) -> None:
    refitted = TrueVoxels(item()).tensors
    signals = torch.from_numpy((SERIES.clean / SERIES.s0[..., None])[SERIES.inside])
    torch.testing.assert_close(refitted, refit_tensors(signals, TABLE.b_rows), rtol=0, atol=1e-5)
    shifted = torch.zeros(6, 9, 8, 7, dtype=torch.float64)
    shifted[:, torch.from_numpy(SERIES.inside)] = refitted.T + 0.05
    row = measure(tmp_path, item(tensor=shifted))["head", "model"]
    assert float(row["d_mse"]) == pytest.approx(0.05**2, rel=1e-3)
    assert float(row["d_mae"]) == pytest.approx(0.05, rel=1e-3)
    assert float(row["md_mae"]) == pytest.approx(0.05, rel=1e-3)


def test_coverage_where_there_are_deviations(tmp_path: Any) -> None:
    off = 0.03 * (SERIES.s0 * SERIES.inside)[..., None]
    half = (np.arange(32) % 2 == 0) * 0.02 + 0.02  # of S0: 0.04 and 0.02, in turn
    data = item(
        pred=volumes_first(SERIES.clean + off),
        uncertainty=volumes_first(half * SERIES.s0[..., None]),
    )
    rows = measure(tmp_path, data, deviations={"model": "uncertainty"})
    row = rows["head", "model"]
    assert (float(row["coverage_1sd"]), float(row["coverage_2sd"])) == (0.5, 1.0)
    assert rows["head", "input"]["coverage_1sd"] == "", "no number where there is none"


def test_what_is_known_of_the_scan_stands_in_its_row(tmp_path: Any) -> None:
    known = {"subject": "s7", "true_noise_level": torch.tensor(0.1), "noise_level": 0.11}
    rows = measure(tmp_path, item(**known), item(scan="other"))
    row = rows["head", "input"]
    assert (row["subject"], row["noise_level"], row["noise_estimate"]) == ("s7", "0.1", "0.11")
    assert rows["other", "input"]["noise_level"] == ""


def test_networks_beside_the_model_are_methods(tmp_path: Any) -> None:
    network = torch.nn.Conv3d(32, 32, 1)
    torch.save(network.state_dict(), tmp_path / "peer.pt")
    peer = RestoreWithd("image", "peer", network, tmp_path / "peer.pt", SimpleInferer())
    rows = measure(tmp_path, item(peer=volumes_first(SERIES.noisy)), peers=[peer, object()])
    assert list(rows) == [("head", "input"), ("head", "peer"), ("head", "model")]
    assert rows["head", "peer"]["mse"] == rows["head", "input"]["mse"]


def test_what_cannot_be_measured_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="methods must have 'model'"):
        measure(tmp_path, item(), methods={"input": "image"})
    doubled = volumes_first(SERIES.clean).repeat(2, 1, 1, 1)
    with pytest.raises(ValueError, match=r"model must give .*: part deviations off"):
        measure(tmp_path, item(pred=doubled))
    with pytest.raises(InputError, match="model gives values that are not finite for head"):
        measure(tmp_path, item(pred=volumes_first(SERIES.clean * np.nan)))
    with pytest.raises(InputError, match="head has no voxel to evaluate"):
        measure(tmp_path, item(mask=torch.zeros(1, 9, 8, 7)))


def test_estimates_of_the_noise_are_told_by_its_true_level() -> None:
    rows = [
        {"scan": scan, "method": method, "noise_level": level, "noise_estimate": estimate}
        for scan, level, estimate in (
            ("a", "0.2", "0.22"),
            ("b", "0.05", "0.05"),
            ("c", "0.05", "0.06"),
            ("d", "", ""),
        )
        for method in ("input", "model")
    ]
    (told,) = Series(COLUMNS).tables(rows)
    assert told["rows"] == [
        ["unknown", None, None, 0],
        ["0.05", pytest.approx(0.055), pytest.approx(0.005 * 2**0.5), 2],
        ["0.2", pytest.approx(0.22), None, 1],
    ], "a scan counts once"
    with pytest.raises(KeyError):
        dwi_measures("mse", "rmse")
