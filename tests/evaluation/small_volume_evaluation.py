"""The folder of an evaluation on volumes, as small as can be."""

import json

from custom.evaluation.panels import FIGURE_COLUMNS
from custom.evaluation.volume_summary import read_volume_metrics, summarise_volumes
from custom.evaluation.volume_table import ABOUT_COLUMNS, MEASURES
from custom.files.csv_table import write_table


def metric_rows():
    """Two volumes at two levels; the model gains 2 dB on the first, and loses 1 dB on the other."""
    rows = []
    for scan, gain in (("v1", 2.0), ("v2", -1.0)):
        for level in (0.0, 0.3):
            for method in ("cubic", "model"):
                psnr = 30.0 - 10 * level + (gain if method == "model" else 0.0)
                about = (scan, "", level, method)
                values = (psnr, 0.9, psnr - 6, 0.8, 0.1, 0.02, "")
                columns = (*ABOUT_COLUMNS, *MEASURES)
                row = dict(zip(columns, (*about, *values), strict=True))
                rows.append({**row, "data_range": 3.0})
    return rows


def write_volume_evaluation(folder):
    """Write the folder."""
    write_table(folder / "metrics.csv", (*ABOUT_COLUMNS, *MEASURES, "data_range"), metric_rows())
    figure = dict(zip(FIGURE_COLUMNS, ("v1.png", "v1", "first"), strict=True))
    write_table(folder / "figures" / "figures.csv", FIGURE_COLUMNS, [figure])
    (folder / "figures" / "v1.png").write_bytes(b"\x89PNG figure")
    summary = {
        "kind": "volume evaluation",
        "dataset": {"folder": "/data", "name": "heads & tails", "demonstration": True},
        "split": "test",
        "scans": 2,
        "degradation": "linear",
        "data_consistency": 1.0,
        **summarise_volumes(read_volume_metrics(folder)),
        "method_names": {"cubic": "splines"},
        "seconds": {"model": {"median": 0.5, "min": 0.25, "max": 1.0}},
        "lpips": {"computed": False, "reason": "no backbone"},
        "conventions": {"psnr": "of the whole volume"},
        "checkpoint": {"path": "/m.pt", "sha256": "ab" * 32},
        "peers": {"disgan": {"path": "/d.pt", "sha256": "cd" * 32}},
        "versions": {"monai": "1.6.1"},
        "use": "research use only",
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
