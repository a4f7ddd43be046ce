import numpy as np
import pytest
import torch
from slice_scans import METHODS, read, run, scan

from custom.analysis.micro_mri.contrast_table import CNR_COLUMNS, ContrastTable
from custom.evaluation.image_measures import mse
from custom.evaluation.table import QualityTable
from custom.evaluation.units import Slices


def measured(scans, folder, **further):
    """Return the table of a run."""
    units = Slices(["scan", "animal", "plane", "region"])
    table = QualityTable(folder, units, METHODS | further, [mse()])
    contrast = ContrastTable(table)
    run(scans, table, contrast)
    return contrast


def test_contrast_to_noise_in_the_layout_of_the_source(tmp_path):
    mask = torch.zeros(1, 32, 28, 3, dtype=torch.uint8)
    mask[:, :8, :8, :2] = 1
    mask[:, 16:, 16:, 1:] = 2
    item, raw = scan(mask=mask)
    contrast = measured([item], tmp_path)
    (row,) = read(tmp_path / "cnr.csv")
    assert tuple(row) == CNR_COLUMNS
    assert (row["Mouse"], row["Plane"], row["Slice"], row["Region"]) == ("m1", "axial", "1", "head")
    for column, key in {"LR CNR": "input", "DL CNR": "model", "HR CNR": "high"}.items():
        image = raw[key][..., 1]
        roi, background = image[:8, :8], image[16:, 16:]
        expected = (roi.mean() - background.mean()) / background.std()
        assert float(row[column]) == pytest.approx(expected, rel=1e-5)
    assert contrast.left_out == {"no background drawn": 1, "no region of interest drawn": 1}
    (text,) = contrast.facts().values()
    assert text == "1 of slices: no background drawn; 1 of slices: no region of interest drawn"


def test_a_further_method_has_a_ratio_of_its_own(tmp_path):
    mask = torch.zeros(1, 32, 28, 3, dtype=torch.uint8)
    mask[:, :8, :8], mask[:, 16:, 16:] = 1, 2
    (batch, output), _ = scan(mask=mask)
    output["smooth"] = 2 * output["label"]  # the ratio does not depend on the gain
    output["smooth"][:, 16:, 16:, 2] = 0.5  # no noise is left: no ratio
    contrast = measured([(batch, output)], tmp_path, smooth="smooth")
    rows = read(tmp_path / "cnr.csv")
    assert tuple(rows[0]) == (*CNR_COLUMNS, "smooth CNR")
    assert [row["smooth CNR"] for row in rows] == [rows[0]["HR CNR"], rows[1]["HR CNR"], ""]
    assert all(float(row["DL CNR"]) for row in rows)
    assert not contrast.left_out
    (told,) = contrast.tables([])
    ratios = [float(row["HR CNR"]) for row in rows]
    reference, smooth = told["rows"][2:]
    assert reference == [
        "HR",
        pytest.approx(np.mean(ratios)),
        pytest.approx(np.std(ratios, ddof=1)),
        3,
    ]
    assert (smooth[0], smooth[3]) == ("smooth", 2)


def test_without_a_mask_there_is_no_ratio(tmp_path):
    contrast = measured([scan()[0]], tmp_path)
    assert read(tmp_path / "cnr.csv") == contrast.tables([]) == []
    assert contrast.left_out == {"no mask file": 3}
    with pytest.raises(ValueError, match="'input'"):
        ContrastTable(QualityTable(tmp_path, Slices(["scan"]), {"model": "pred"}, []))
