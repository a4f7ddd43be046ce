"""The results page of ``gan3d_sr_denoise``, filled from the summaries of its evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.publishing import markdown, show
from benchmarks.summary_tables import (
    Summary,
    about_data,
    each_table,
    gain_table,
    group_table,
    quality_table,
)
from custom.evaluation.measure import format_value, title
from custom.report.training_curves import OPTIMUM, Curves

TEMPLATE = Path(__file__).with_name("publish_gan.md")
TITLES = {
    "regression": "regression",
    "l1": "absolute difference",
    "features": "with features",
    "disgan": "with features and DISGAN's critic",
    "three_player": "with features and the residual critic",
}


def page(
    real: Summary,
    demo: Summary,
    trainings: Mapping[str, tuple[Mapping[str, Any], Curves]],
    pictures: Mapping[str, Sequence[tuple[str, str]]],
) -> str:
    """Return the page.

    Args:
        real: Summary of the evaluation on real volumes.
        demo: Summary of the evaluation on the demonstration set.
        trainings: Name of a training to the config that ran and its curves.
        pictures: ``real``, ``demo`` and ``training`` to file name and caption of each picture.
    """
    return TEMPLATE.read_text(encoding="utf-8").format(
        degradation=real["facts"]["degradation"],
        trainings=trainings_table(trainings),
        real_data=about_data(real),
        real_quality=quality_table(real),
        real_volumes=each_table(real, "psnr"),
        real_gains=gain_table(real),
        real_psnr=group_table(real, "noise_level", "psnr", "noise"),
        real_ssim=group_table(real, "noise_level", "ssim", "noise"),
        real_lpips=group_table(real, "noise_level", "lpips", "noise"),
        consistency=consistency(real),
        real_pictures=show(pictures["real"]),
        demo_data=about_data(demo),
        demo_quality=quality_table(demo),
        demo_gains=gain_table(demo),
        demo_pictures=show(pictures["demo"]),
        training_pictures=show(pictures["training"]),
    )


def card_tables(real: Summary, demo: Summary) -> str:
    """Return what the model card shows."""
    return (
        f"\n{about_data(real)}\n\n{quality_table(real)}\n\n{gain_table(real)}\n\n"
        f"{about_data(demo)}\n\n{quality_table(demo)}\n\n"
    )


def consistency(summary: Summary) -> str:
    """Say what data consistency changes, at each noise level."""
    names, levels = summary["method_names"], summary["groups"]["noise_level"]
    shown = [
        name for name in ("psnr", "ssim", "kspace_error", "lpips") if name in summary["measures"]
    ]
    if "model_consistent" not in summary["methods"]:
        return "It was not evaluated."
    rows = [
        [
            level,
            *(
                " → ".join(
                    format_value(summary["measures"][name], values[method][name]["mean"])
                    for method in ("model", "model_consistent")
                )
                for name in shown
            ),
        ]
        for level, values in levels.items()
    ]
    head = ["noise", *(title(summary["measures"][name]) for name in shown)]
    text = f"{names['model']}, without → with (strength {summary['facts']['data consistency']}):"
    return f"{text}\n\n{markdown(head, rows)}"


def trainings_table(trainings: Mapping[str, tuple[Mapping[str, Any], Curves]]) -> str:
    """Say what was trained, and where its losses ended."""
    rows = []
    for name, (config, curves) in trainings.items():
        epochs = max(epoch for curve in curves.values() for epoch in curve)
        ends = [_last(curves, f"train_{term}") for term in (*OPTIMUM, "pixel_loss", "feature_loss")]
        critic = str(config.get("critic_def", {}).get("_target_", "")).rpartition(".")[2]
        critic = critic if "train_critic_loss" in curves else "-"
        network = config["network_def"]
        width = str(network.get("channels", network.get("features", "-")))
        rows.append([TITLES[name], width, critic, str(epochs), *ends])
    head = ["training", "features of the network", "critic", "epochs"]
    return markdown([*head, "critic loss", "adversarial loss", "pixel loss", "feature loss"], rows)


def _last(curves: Curves, name: str) -> str:
    """Return the last value of a curve."""
    curve = curves.get(name)
    return f"{curve[max(curve)]:.3f}" if curve else "-"
