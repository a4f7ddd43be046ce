"""The folders of evaluations, as small as can be."""

import json

from custom.evaluation.image_measures import mse, psnr, ssim
from custom.evaluation.panels import FIGURE_COLUMNS
from custom.evaluation.summary import summarise
from custom.evaluation.table import read_rows
from custom.files.csv_table import write_table

MEASURES = [mse(), psnr(), ssim()]
VOLUME_MEASURES = [psnr(), ssim()]
NAMES = {"input": "input (nearest)", "model": "our model"}


def metric_rows():
    """Two animals, two planes, two slices each; the model is 2 dB above the input."""
    rows = []
    for animal, plane, offset in (("m1", "axial", 0.0), ("m2", "coronal", 4.0)):
        about = {"scan": f"{animal}_{plane}", "animal": animal, "plane": plane, "region": "head"}
        for method, gain in (("input", 0.0), ("bicubic", 1.0), ("model", 2.0)):
            for index in range(2):
                psnr = 20 + offset + gain + index
                values = {"mse": 4 * 10 ** (-psnr / 10), "psnr": psnr, "ssim": 0.5 + gain / 10}
                row = {**about, "slice": str(index), "method": method, **values}
                rows.append(row | {"data_range": 2.0})
    return rows


def volume_rows():
    """Two volumes at two levels; the model gains 2 dB on the first, and loses 1 dB on the other."""
    rows = []
    for scan, gain in (("v1", 2.0), ("v2", -1.0)):
        for level in (0.0, 0.3):
            for method in ("cubic", "model"):
                psnr = 30.0 - 10 * level + (gain if method == "model" else 0.0)
                about = {"scan": scan, "subject": "", "noise_level": f"{level:g}"}
                rows.append(about | {"method": method, "psnr": psnr, "ssim": 0.9})
    return rows


def write_evaluation(folder):
    """Write the folder of an evaluation of slices."""
    groups, unit = ("plane", "region", "animal"), ("scan", "slice")
    return _write(
        folder,
        metric_rows(),
        {"measures": MEASURES, "groups": groups, "unit": unit, "subject": "animal"},
        {
            "unit": "slice",
            "subject": "animal",
            "counts": {"slice": 4, "scan": 2, "animal": 2, "excluded": 1},
            "method_names": {"bicubic": "bicubic", **NAMES},
            "facts": {"excluded slices": "m1_axial: 7", "LPIPS": "no backbone weights"},
            "tables": [
                {
                    "title": "Contrast to noise",
                    "columns": ["image", "mean", "deviation", "slices"],
                    "rows": [["LR", 1.25, None, 1]],
                    "caption": "of the regions",
                }
            ],
        },
    )


def write_volume_evaluation(folder):
    """Write the folder of an evaluation of volumes."""
    return _write(
        folder,
        volume_rows(),
        {
            "measures": VOLUME_MEASURES,
            "groups": ("noise_level",),
            "unit": ("scan", "noise_level"),
            "lowest": "noise_level",
            "each": "scan",
        },
        {
            "unit": "volume",
            "subject": "person",
            "counts": {"volume": 2, "scan": 2, "person": 2},
            "method_names": {"cubic": "splines", "model": "our model"},
            "facts": {"degradation": "linear", "data consistency": "1.0"},
            "tables": [],
        },
    )


def _write(folder, rows, how, told):
    """Write tables, one figure and the summary."""
    write_table(folder / "metrics.csv", tuple(rows[0]), rows)
    figure = dict(zip(FIGURE_COLUMNS, ("a_slice0.png", "a", "<middle>"), strict=True))
    write_table(folder / "figures" / "figures.csv", FIGURE_COLUMNS, [figure])
    (folder / "figures" / "a_slice0.png").write_bytes(b"\x89PNG figure")
    measured = read_rows(folder, [measure.name for measure in how["measures"]])
    summary = {
        "kind": "evaluation",
        "dataset": {"folder": "/data", "name": "mice & men", "demonstration": True},
        "split": "test",
        **summarise(measured, **how),
        "seconds": {"model": {"median": 0.5, "min": 0.25, "max": 1.0, "scans": 3}},
        "seconds_per": "scan",
        "conventions": {"data range": "max - min"},
        "checkpoint": {"path": "/m.pt", "sha256": "ab" * 32},
        "peers": {},
        "versions": {"monai": "1.6.1"},
        "use": "research use only",
    }
    (folder / "summary.json").write_text(json.dumps(summary | told))
    return folder
