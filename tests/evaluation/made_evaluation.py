"""The folder of an evaluation, as small as can be: a summary, one figure."""

import copy
import json

from custom.evaluation.panels import FIGURE_COLUMNS
from custom.files.csv_table import write_table


def _about(label, unit, better, digits):
    told = f"how {label} is defined"
    return {"label": label, "unit": unit, "better": better, "digits": digits, "convention": told}


def _values(psnr, mse, covered):
    """Mean and deviation of the measures of one method over four slices."""
    return {
        name: {"mean": mean, "std": std, "n": 4 if mean is not None else 0}
        for name, mean, std in (
            ("psnr", psnr, 0.5),
            ("mse", mse, mse / 8),
            ("cover", covered, None),
        )
    }


def _gain(mean, better, ci95):
    return {
        "mean": mean,
        "std": 0.1,
        "n": 4,
        "better": better,
        "of": 4,
        "subjects": 3,
        "ci95": ci95,
    }


_CLEAN = {
    "input": _values(20.0, 0.16, None),
    "vae": _values(24.0, 0.01, 0.5),
    "model": _values(24.5, 0.04, 0.7),
}
_NOISY = {
    "input": _values(10.0, 0.5, None),
    "vae": _values(14.0, 0.2, 0.4),
    "model": _values(13.0, 0.25, 0.6),
}
SUMMARY = {
    "kind": "evaluation",
    "unit": "slice",
    "subject": "animal",
    "dataset": {"folder": "/data", "name": "mice & men", "demonstration": True},
    "split": "test",
    "counts": {"slice": 4, "scan": 2, "animal": 3, "excluded": 1},
    "methods": ["input", "vae", "model"],
    "method_names": {"input": "noisy", "vae": "VAE", "model": "APDDM"},
    "measures": {
        "psnr": _about("PSNR", "dB", "higher", 2),
        "mse": _about("MSE", "", "lower", None),
        "cover": _about("truth within 1 sd", "", "target", 3),
    },
    "overall": _CLEAN,
    "groups": {"noise_level": {"0": _CLEAN, "0.3": _NOISY}, "plane": {"axial": _CLEAN}},
    "each": {
        "m1": {"input": {"psnr": 1.0}, "vae": {"psnr": 3.0}, "model": {"psnr": 2.0}},
        "m2": {name: {"psnr": None} for name in ("input", "vae", "model")},
    },
    "model_against": {
        "input": {"psnr": _gain(4.5, 4, [4.0, 5.0]), "mse": _gain(0.12, 4, None), "cover": None},
        "vae": {"psnr": _gain(0.5, 3, [-0.25, 1.0]), "mse": _gain(-0.03, 0, None), "cover": None},
    },
    "seconds": {
        "model": {"median": 1.5, "min": 0.1, "max": 5.0, "scans": 2},
        "vae": {"median": 0.25, "min": 0.1, "max": 5.0, "scans": 2, "model_ratio": 6.0},
    },
    "seconds_per": "slice",
    "conventions": {"data_range": "max - min"},
    "facts": {"excluded slices": "m1: 7"},
    "tables": [
        {
            "title": "Ratios",
            "columns": ["Mouse", "CNR"],
            "rows": [["m1", "1.25"], ["m2", None]],
            "caption": "Two <slices>.",
        }
    ],
    "checkpoint": {"path": "/m.pt", "sha256": "ab" * 32},
    "peers": {"vae": {"path": "/v.pt", "sha256": "cd" * 32}},
    "versions": {"monai": "1.6.1"},
    "use": "research use only",
}


def write_made_evaluation(folder, **changed):
    """Write the folder; the summary with some of its values changed."""
    figure = dict(zip(FIGURE_COLUMNS, ("m1.png", "m1", "m1: <middle>"), strict=True))
    write_table(folder / "figures" / "figures.csv", FIGURE_COLUMNS, [figure])
    (folder / "figures" / "m1.png").write_bytes(b"\x89PNG figure")
    (folder / "metrics.csv").write_text("scan,method\n")
    summary = copy.deepcopy(SUMMARY) | changed
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
