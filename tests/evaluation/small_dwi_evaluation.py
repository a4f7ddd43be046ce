"""The folder of an evaluation on diffusion series, as small as can be."""

import json

from custom.evaluation.dwi_summary import read_dwi_metrics, summarise_dwi
from custom.evaluation.dwi_table import ABOUT_COLUMNS, MEASURES
from custom.evaluation.panels import FIGURE_COLUMNS
from custom.files.csv_table import write_table


def metric_rows():
    """Three scans at two levels; the model's error is a quarter of the input's, and covered."""
    rows = []
    for scan, level, error in (("s1", 0.2, 4e-2), ("s2", 0.05, 2e-3), ("s3", 0.05, 6e-3)):
        for method, share in (("input", 1.0), ("model", 0.25)):
            covered = (0.7, 0.95) if method == "model" else ("", "")
            about = (scan, "", level, 1.1 * level, 100, method)
            values = (share * error, 0.1, 0.02, 0.1, 0.05, 0.04, *covered)
            rows.append(dict(zip((*ABOUT_COLUMNS, *MEASURES), (*about, *values), strict=True)))
    return rows


def write_dwi_evaluation(folder):
    """Write the folder."""
    write_table(folder / "metrics.csv", (*ABOUT_COLUMNS, *MEASURES), metric_rows())
    figure = dict(zip(FIGURE_COLUMNS, ("s1.png", "s1", "middle"), strict=True))
    write_table(folder / "figures" / "figures.csv", FIGURE_COLUMNS, [figure])
    (folder / "figures" / "s1.png").write_bytes(b"\x89PNG figure")
    summary = {
        "kind": "dwi evaluation",
        "dataset": {"folder": "/data", "name": "heads & tails", "demonstration": True},
        "split": "test",
        "scans": 3,
        **summarise_dwi(read_dwi_metrics(folder)),
        "noise": ["fit residuals"],
        "method_names": {"input": "noisy"},
        "seconds": {"model": {"median": 0.5, "min": 0.25, "max": 1.0}},
        "conventions": {"mse": "of all voxels"},
        "checkpoint": {"path": "/m.pt", "sha256": "ab" * 32},
        "peers": {"vae": {"path": "/v.pt", "sha256": "cd" * 32}},
        "versions": {"monai": "1.6.1"},
        "use": "research use only",
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
