"""The results page of ``gan3d_sr_denoise``, filled from the summaries of its evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.publishing import markdown
from custom.evaluation.measure import best_method, format_value, title
from custom.report.training_curves import OPTIMUM, Curves

TEMPLATE = Path(__file__).with_name("publish_gan.md")
Summary = Mapping[str, Any]
TITLES = {"three_player": "three-player GAN", "disgan": "DISGAN"}


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
        pictures: ``real``, ``demo`` and ``study`` to file name and caption of each picture.
    """
    return TEMPLATE.read_text(encoding="utf-8").format(
        degradation=real["facts"]["degradation"],
        trainings=trainings_table(trainings),
        real_data=about_data(real),
        real_quality=quality_table(real),
        real_volumes=volumes_table(real),
        real_gains=gains(real),
        real_psnr=noise_table(real, "psnr"),
        real_ssim=noise_table(real, "ssim"),
        real_lpips=noise_table(real, "lpips") if "lpips" in real["measures"] else "",
        consistency=consistency(real),
        real_pictures=show(pictures["real"]),
        demo_data=about_data(demo),
        demo_quality=quality_table(demo),
        demo_gains=gains(demo),
        demo_pictures=show(pictures["demo"]),
        study_pictures=show(pictures["study"]),
    )


def card_tables(real: Summary, demo: Summary) -> str:
    """Return what the model card shows."""
    return (
        f"\n{about_data(real)}\n\n{quality_table(real)}\n\n{gains(real)}\n\n"
        f"{about_data(demo)}\n\n{quality_table(demo)}\n\n"
    )


def about_data(summary: Summary) -> str:
    """Say in a line what was evaluated."""
    about = summary["dataset"]
    told = about.get("description") or about.get("name", "")
    lpips = " LPIPS was not measured: no backbone file."
    lpips = "" if "lpips" in summary["measures"] else lpips
    volumes = summary["counts"]["volume"]
    plural = "" if volumes == 1 else "s"
    return (
        f"{told}: {volumes} volume{plural} of the split `{summary['split']}`, means, "
        f"noise {next(iter(summary['groups']['noise_level']))}.{lpips}"
    )


def quality_table(summary: Summary) -> str:
    """Return all measures without noise: a line a method, the best in bold."""
    names, measures = summary["method_names"], summary["measures"]
    values = summary["overall"]
    times = summary["seconds"]
    rows = [
        [
            names[method],
            *(_cell(measures[name], values, method, name) for name in measures),
            f"{times[method]['median']:.3g}" if method in times else "",
        ]
        for method in summary["methods"]
    ]
    return markdown(["method", *map(title, measures.values()), "s/volume"], rows)


def noise_table(summary: Summary, measure: str) -> str:
    """Return one measure by noise level: a line a method, the best in bold."""
    levels, names = summary["groups"]["noise_level"], summary["method_names"]
    about = summary["measures"][measure]
    rows = [
        [
            names[method],
            *(_cell(about, values, method, measure) for values in levels.values()),
        ]
        for method in summary["methods"]
    ]
    return markdown([title(about), *(f"noise {level}" for level in levels)], rows)


def volumes_table(summary: Summary) -> str:
    """Return the PSNR of each volume: a line a volume, a column a method."""
    names, methods = summary["method_names"], summary["methods"]
    rows = []
    for scan, values in summary["each"].items():
        wrapped = {method: {"psnr": {"mean": row["psnr"]}} for method, row in values.items()}
        cells = [_cell(summary["measures"]["psnr"], wrapped, method, "psnr") for method in methods]
        rows.append([scan, *cells])
    return markdown(["PSNR [dB]", *(names[method] for method in methods)], rows)


def gains(summary: Summary) -> str:
    """Say by how much the model is ahead of each method, and on how many volumes."""
    names = summary["method_names"]
    lines = []
    for method, found in summary["model_against"].items():
        psnr, ssim = found["psnr"], found["ssim"]
        if psnr["mean"] is None:
            continue
        lines.append(
            f"- Against {names[method]}: {psnr['mean']:+.2f} dB (better on "
            f"{psnr['better']} of {psnr['of']} volumes), SSIM {ssim['mean']:+.4f} (better on "
            f"{ssim['better']})."
        )
    return f"{names['model']}:\n\n" + "\n".join(lines)


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
        seconds = sum(curves.get("seconds", {}).values())
        ends = [_last(curves, f"train_{term}") for term in (*OPTIMUM, "pixel_loss", "feature_loss")]
        critic = str(config.get("critic_def", {}).get("_target_", "")).rpartition(".")[2]
        width = str(config["network_def"].get("channels", "-"))
        rows.append([TITLES[name], width, critic, str(epochs), f"{seconds / 60:.0f}", *ends])
    head = ["training", "generator channels", "critic", "epochs", "minutes"]
    return markdown([*head, "critic loss", "adversarial loss", "pixel loss", "feature loss"], rows)


def show(pictures: Sequence[tuple[str, str]]) -> str:
    """Return pictures with their captions."""
    return "\n\n".join(f"{caption}\n\n![{file}](../images/{file})" for file, caption in pictures)


def _last(curves: Curves, name: str) -> str:
    """Return the last value of a curve."""
    curve = curves.get(name)
    return f"{curve[max(curve)]:.3f}" if curve else "-"


def _cell(about: Mapping[str, Any], values: Mapping[str, Any], method: str, name: str) -> str:
    """Return a mean, in bold if it is the best."""
    means = {one: of[name]["mean"] for one, of in values.items()}
    text, best = format_value(about, means[method]), best_method(about, means)
    return f"**{text}**" if best and means[method] == means[best] else text
