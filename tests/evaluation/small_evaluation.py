import json

from custom.evaluation.panels import FIGURE_COLUMNS
from custom.evaluation.slice_summary import read_metrics, summarise
from custom.evaluation.slice_table import CNR_COLUMNS, SCAN_COLUMNS
from custom.files.csv_table import write_table

COLUMNS = (*SCAN_COLUMNS, "slice", "method", "mse", "psnr", "ssim", "data_range")


def metric_rows():
    """Two animals, two planes, two slices each; the model is 2 dB above the input."""
    rows = []
    for animal, plane, offset in (("m1", "axial", 0.0), ("m2", "coronal", 4.0)):
        scan = f"{animal}_{plane}"
        for method, gain in (("input", 0.0), ("bicubic", 1.0), ("model", 2.0)):
            for index in range(2):
                psnr = 20 + offset + gain + index
                values = (method, 4 * 10 ** (-psnr / 10), psnr, 0.5 + gain / 10, 2.0)
                rows.append(
                    dict(zip(COLUMNS, (scan, animal, plane, "head", index, *values), strict=True))
                )
    return rows


def write_evaluation(folder):
    """Write the folder of an evaluation, as small as can be."""
    write_table(folder / "metrics.csv", COLUMNS, metric_rows())
    row = dict(zip(CNR_COLUMNS, ("m1", "axial", 0, 1.25, 2.5, 3.0, "head"), strict=True))
    write_table(folder / "cnr.csv", CNR_COLUMNS, [row])
    figure = dict(zip(FIGURE_COLUMNS, ("a_slice0.png", "a", "<middle>"), strict=True))
    write_table(folder / "figures" / "figures.csv", FIGURE_COLUMNS, [figure])
    (folder / "figures" / "a_slice0.png").write_bytes(b"\x89PNG figure")
    summary = {
        "kind": "evaluation",
        "dataset": {"folder": "/data", "name": "mice & men", "demonstration": True},
        "split": "test",
        "slices": {"evaluated": 4, "excluded": 1, "excluded_slices": {"m1_axial": [7]}},
        **summarise(read_metrics(folder)),
        "lpips": {"computed": False, "reason": "no backbone weights"},
        "cnr": {
            "slices": 1,
            "mean": {"LR CNR": {"mean": 1.25, "std": None, "n": 1}},
            "left_out": {"no mask file": 3},
        },
        "conventions": {"data_range": "max - min"},
        "checkpoint": {"path": "/m.pt", "sha256": "ab" * 32},
        "versions": {"monai": "1.6.1"},
        "use": "research use only",
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
