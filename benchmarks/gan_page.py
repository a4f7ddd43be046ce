"""The results page of ``gan3d_sr_denoise``, filled from the summaries of its evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.publishing import markdown
from custom.evaluation.names import (
    format_measure,
    higher_is_better,
    measure_name,
    method_name,
)
from custom.report.training_curves import OPTIMUM, Curves

TEMPLATE = Path(__file__).with_name("publish_gan.md")
Summary = Mapping[str, Any]


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
        degradation=real["degradation"],
        trainings=trainings_table(trainings),
        real_data=about_data(real),
        real_quality=quality_table(real),
        real_volumes=volumes_table(real),
        real_gains=gains(real),
        real_psnr=noise_table(real, "psnr"),
        real_ssim=noise_table(real, "ssim"),
        real_lpips=noise_table(real, "lpips") if "lpips" in real["metrics"] else "",
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
    lpips = "" if summary["lpips"]["computed"] else " LPIPS was not measured: no backbone file."
    plural = "" if summary["scans"] == 1 else "s"
    return (
        f"{told}: {summary['scans']} volume{plural} of the split `{summary['split']}`, means, "
        f"noise {summary['lowest_noise']}.{lpips}"
    )


def quality_table(summary: Summary) -> str:
    """Return all measures without noise: a line a method, the best in bold."""
    names, metrics = summary["method_names"], summary["metrics"]
    values = summary["overall"]
    times = summary["seconds"]
    rows = [
        [
            method_name(method, names),
            *(_cell(values, summary["methods"], method, name) for name in metrics),
            f"{times[method]['median']:.3g}" if method in times else "",
        ]
        for method in summary["methods"]
    ]
    return markdown(["method", *map(measure_name, metrics), "s/volume"], rows)


def noise_table(summary: Summary, measure: str) -> str:
    """Return one measure by noise level: a line a method, the best in bold."""
    levels, names = summary["by_noise_level"], summary["method_names"]
    rows = [
        [
            method_name(method, names),
            *(_cell(values, summary["methods"], method, measure) for values in levels.values()),
        ]
        for method in summary["methods"]
    ]
    return markdown([measure_name(measure), *(f"noise {level}" for level in levels)], rows)


def volumes_table(summary: Summary) -> str:
    """Return the PSNR of each volume: a line a volume, a column a method."""
    names, methods = summary["method_names"], summary["methods"]
    rows = []
    for scan, values in summary["by_scan"].items():
        wrapped = {method: {"psnr": {"mean": row["psnr"]}} for method, row in values.items()}
        rows.append([scan, *(_cell(wrapped, methods, method, "psnr") for method in methods)])
    return markdown(["PSNR [dB]", *(method_name(method, names) for method in methods)], rows)


def gains(summary: Summary) -> str:
    """Say by how much the model is ahead of each method, and on how many volumes."""
    names = summary["method_names"]
    lines = []
    for method, found in summary["model_against"].items():
        psnr, ssim = found["psnr"], found["ssim"]
        if psnr["mean"] is None:
            continue
        lines.append(
            f"- Against {method_name(method, names)}: {psnr['mean']:+.2f} dB (better on "
            f"{psnr['better']} of {psnr['volumes']} volumes), SSIM {ssim['mean']:+.4f} (better on "
            f"{ssim['better']})."
        )
    return f"{method_name('model', names)}:\n\n" + "\n".join(lines)


def consistency(summary: Summary) -> str:
    """Say what data consistency changes, at each noise level."""
    names, levels = summary["method_names"], summary["by_noise_level"]
    shown = [
        name for name in ("psnr", "ssim", "kspace_error", "lpips") if name in summary["metrics"]
    ]
    if "model_consistent" not in summary["methods"]:
        return "It was not evaluated."
    rows = [
        [
            level,
            *(
                f"{_value(values['model'], name)} → {_value(values['model_consistent'], name)}"
                for name in shown
            ),
        ]
        for level, values in levels.items()
    ]
    head = ["noise", *map(measure_name, shown)]
    text = (
        f"{method_name('model', names)}, without → with (strength {summary['data_consistency']}):"
    )
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
        rows.append([method_name(name), width, critic, str(epochs), f"{seconds / 60:.0f}", *ends])
    head = ["training", "generator channels", "critic", "epochs", "minutes"]
    return markdown([*head, "critic loss", "adversarial loss", "pixel loss", "feature loss"], rows)


def show(pictures: Sequence[tuple[str, str]]) -> str:
    """Return pictures with their captions."""
    return "\n\n".join(f"{caption}\n\n![{file}](../images/{file})" for file, caption in pictures)


def _last(curves: Curves, name: str) -> str:
    """Return the last value of a curve."""
    curve = curves.get(name)
    return f"{curve[max(curve)]:.3f}" if curve else "-"


def _value(row: Mapping[str, Any], name: str) -> str:
    """Return a mean, or a dash."""
    mean = row[name]["mean"]
    return "-" if mean is None else format_measure(name, mean)


def _cell(values: Mapping[str, Any], methods: Sequence[str], method: str, name: str) -> str:
    """Return a mean, in bold if it is the best."""
    known = {one: values[one][name]["mean"] for one in methods}
    known = {one: mean for one, mean in known.items() if mean is not None}
    text = _value(values[method], name)
    if method not in known:
        return text
    best = (max if higher_is_better(name) else min)(known.values())
    return f"**{text}**" if known[method] == best else text
