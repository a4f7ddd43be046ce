"""Restoring a 64 x 64 x 64 volume: the bundle's way against the plain call of the same network.

Plain: the network as it is usually written (``plain_generator.py``: concatenations, the whole
volume at once), eager, float32, PyTorch's default layout. Ours: the network and the inferer that
the bundle's ``inference.yaml`` makes. Both have the same weights; each runs in a process of its
own, on one thread, whose peak memory is taken; importing is not timed. Times are of the processor,
so that other work on the machine counts little.

Run: ``python -m benchmarks.gan_generator [--channels 24 --growth 12 ...]``
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from benchmarks.measure import REPOSITORY, Timing, in_new_process, save
from benchmarks.plain_generator import PlainGenerator

CONFIG = REPOSITORY / "bundles" / "gan3d_sr_denoise" / "configs" / "inference.yaml"
SIDE, RUNS = 64, 3
PUBLISHED = {"channels": 64, "growth": 64, "num_blocks": 3, "dense_blocks": 3, "convs": 5}
NAMES = {
    "plain": "plain eager call, whole volume",
    "ours": "the bundle's network and inferer",
}
CODE = "from benchmarks.gan_generator import measure; measure({name!r}, {folder!r}, {settings!r})"


def run() -> None:
    """Measure the bundle's generator, and one of the published size."""
    save("gan_generator", {"small": compare(), "published": compare(runs=1, **PUBLISHED)})


def compare(side: int = SIDE, runs: int = RUNS, **network: int) -> dict[str, Any]:
    """Measure each way, and compare with the plain one."""
    settings = {"side": side, "runs": runs, "network": network}
    figures: dict[str, Any] = dict(settings)
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            found = in_new_process(CODE.format(name=name, folder=folder, settings=settings))
            figures[name] = found | {"seconds": vars(Timing.of(found["seconds"]))}
        plain = np.load(Path(folder) / "plain.npy")
        for name in NAMES:
            error = np.load(Path(folder) / f"{name}.npy") - plain
            figures[name]["relative_difference"] = float(
                np.linalg.norm(error) / np.linalg.norm(plain)
            )
    return figures | compared(figures["plain"], figures["ours"])


def compared(plain: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """Return what the plain way costs, over what another does."""
    return {
        "speedup": plain["seconds"]["median"] / other["seconds"]["median"],
        "memory": other["peak_mib"] / plain["peak_mib"],
        "memory_above_start": (other["peak_mib"] - other["start_mib"])
        / (plain["peak_mib"] - plain["start_mib"]),
    }


def measure(name: str, folder: str, settings: dict[str, Any]) -> None:
    """Restore the volume in one way, in this process, and print what it took."""
    torch.set_num_threads(1)
    network, inferer = parts(name, settings["network"])
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand((1, 1, *[settings["side"]] * 3), generator=generator)
    start = memory("VmRSS")
    seconds = []
    with torch.no_grad():
        for _ in range(settings["runs"]):
            begin = time.process_time()
            made = inferer(volume, network)
            seconds.append(time.process_time() - begin)
            np.save(Path(folder) / f"{name}.npy", np.asarray(made))
            del made
    found = {"seconds": seconds, "start_mib": start, "peak_mib": memory("VmHWM")}
    print(json.dumps(found))


def parts(name: str, network: dict[str, int]) -> tuple[Any, Any]:
    """Return the network, with the same random weights in every process, and what runs it."""
    config = ConfigParser()
    config.read_config(str(CONFIG))
    config.update({f"network_def::{key}": value for key, value in network.items()})
    config.update({"device": "$torch.device('cpu')", "network_bytes": 1})
    torch.manual_seed(0)
    if name == "plain":
        return PlainGenerator(config.get_parsed_content("network_def")), call
    restoring = config.get_parsed_content("network")
    return restoring, config.get_parsed_content("inferer")


def call(volume: Tensor, network: Any) -> Any:
    """Call a network."""
    return network(volume)


def memory(name: str) -> float:
    """Return what the kernel says of this process alone, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"{name}:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else float("nan")


def table(figures: dict[str, Any]) -> str:
    """Return the result as a table in Markdown."""
    lines = [
        "| way | processor seconds | peak memory | above the start | relative difference |",
        "|---|---|---|---|---|",
    ]
    for name, text in NAMES.items():
        of = figures[name]
        lines.append(
            f"| {text} | {of['seconds']['median']:.1f} | {of['peak_mib']:.0f} MiB | "
            f"{of['peak_mib'] - of['start_mib']:.0f} MiB | {of['relative_difference']:.1e} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure a network of the size that the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--runs", type=int, default=RUNS)
    for name in ("channels", "growth", "num_blocks", "dense_blocks", "convs"):
        parser.add_argument(f"--{name}", type=int)
    given = {key: value for key, value in vars(parser.parse_args()).items() if value is not None}
    print(table(compare(**given)))


if __name__ == "__main__":
    main()
