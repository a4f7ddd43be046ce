"""What the page on acquired scans says of the other bundles, from their own measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.acquired_page import verdict
from benchmarks.publishing import markdown

INTERIOR = "psnr_interior"


def mice(results: Path) -> dict[str, str]:
    """Return table and worst case of ``micro_mri_denoise``, of ``benchmarks.acquired_micro``."""
    content = json.loads((results / "acquired_micro.json").read_text(encoding="utf-8"))
    lines, gains = [], []
    for level in content["levels"]:
        inside, best = level["mean"][INTERIOR], level["best"]
        gain = inside["model"] - inside[best]
        worst = level[f"worst over bicubic, {INTERIOR}"]
        gains.append({"mean": gain, "worst": worst})
        cells = [f"{inside['model']:.2f}", f"{inside[best]:.2f}, {best}"]
        lines.append([f"x {level['noise']:g}", *cells, f"{gain:+.2f}", f"{worst:+.2f}"])
    lines.append(["**would I use it?**", "", "", f"**{verdict(gains)}**", ""])
    head = ["noise", "ours", "best classical method", "difference", "worst stack, against bicubic"]
    worst = content["worst"]  # its name ends with the noise
    about = f"{worst['scan']}: ours {worst['gain']:+.2f} dB against {worst['best']}"
    return {"mice": markdown(head, lines), "mice_worst": about}


def diffusion(results: Path) -> dict[str, str]:
    """Return table and worst case of ``dwi_vae``, of ``benchmarks.real_dwi``.

    That benchmark draws the series that was acquired twice.
    """
    content = json.loads((results / "acquired_dwi.json").read_text(encoding="utf-8"))
    lines = [_series(part) for part in content]
    won = sum(part["ours"]["ours"] < min(part["opponents"].values()) for part in content)
    word = "yes" if won == len(content) else "only where it wins"
    lines.append(["**would I use it?**", "", f"**{word}: better on {won} of {len(content)}**", ""])
    head = ["series", "who", "ours / voxel by voxel", "best other method"]
    worst = max(content, key=lambda part: part["ours"]["ours"] / min(part["opponents"].values()))
    condition, _, alone, best = _series(worst)
    about = f"{condition}, ours {alone.split(' ')[0]} against {best}"
    return {"diffusion": markdown(head, lines), "diffusion_worst": about}


def _series(part: dict[str, Any]) -> list[str]:
    """Return the row of a series."""
    best = min(part["opponents"], key=part["opponents"].__getitem__)
    ours = part["ours"]
    alone = f"{ours['ours']:.3f} / {ours['ours_alone']:.3f}"
    return [part["condition"], part["who"], alone, f"{part['opponents'][best]:.3f}, {best}"]
