"""Correcting a 256 x 256 x 170 head, a slice and a training step, against other networks.

The head is restored by the command line in a process of its own, after a small volume that takes
the imports. Slices are corrected by the parts that ``inference.yaml`` and its overlays make. A
training step is one of ``train.yaml`` and its overlays, with its simulation, on the small
demonstration set. All weights but the shipped ones are random, which costs the same.

Run: ``OMP_NUM_THREADS=1 python -m benchmarks.motion_restoration``
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor

from benchmarks.measure import REPOSITORY, Timing, repeat, save
from benchmarks.restoring_process import measure_restoring
from custom.demo.brain.moving_heads import MovingHeadsDemo
from custom.files.nifti_volume import write_volume

BUNDLE = REPOSITORY / "bundles" / "motion_cdm"
HEAD, SMALL = (256, 256, 170), (64, 64, 4)
PLANE, SLICES = (256, 256), 4
WARM_UP, STEPS = 1, 3
COMMAND_LINE = """
from custom.cli import main
def restore(file, folder):
    main(["restore", "motion_cdm", "--input", file, "--output", folder, "--device", "cpu"])
restore({small!r}, {beside!r})
imported, begin = memory(), time.process_time()
restore(source, target)
"""
MONAI = {
    "monai_small": {"channels": (32, 64, 64), "attention_levels": (False, False, False)},
    "monai": {"channels": (64, 128, 128), "attention_levels": (False, False, True)},
}
NAMES = {
    "one_step": "ours, one step",
    "further_step": "each further step",
    "further_sample": "each further sample of one step",
    "regression": "plain regression: the same U-Net, called once, no deviation",
    "gan": "3D GAN, as many voxels",
    "resshift": "ResShift, 4 steps",
    "cdm_published": "published diffusion, one of its 1000 steps",
    "monai_small": "one step of MONAI's DiffusionModelUNet, channels 32, 64, 64",
    "monai": "one step of MONAI's DiffusionModelUNet, channels 64, 128, 128, attention",
}
TRAININGS = {"train": "ours", "gan": "3D GAN", "cdm_published": "published diffusion"}


def run() -> dict[str, Any]:
    """Measure all, and compare."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        figures = {"head": head(Path(folder)), "training": trainings(Path(folder))}
    figures["slice"] = {name: vars(timing) for name, timing in slices().items()}
    save("motion_restoration", figures)
    return figures


def head(folder: Path, shape: tuple[int, ...] = HEAD) -> dict[str, Any]:
    """Restore a head in one step."""
    files = {"head": shape, "small": SMALL}
    for name, size in files.items():
        axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
        inside = sum(axis**2 for axis in axes) < 0.8
        values = np.random.default_rng(0).rayleigh(20, size) + 800 * inside
        write_volume(folder / f"{name}.nii.gz", values.astype(np.float32), np.eye(4))
    code = COMMAND_LINE.format(small=str(folder / "small.nii.gz"), beside=str(folder / "beside"))
    figures, _ = measure_restoring(code, folder / "head.nii.gz", folder / "out", runs=1)
    return figures | {"shape": list(shape), "seconds": figures["seconds"].median}


def slices() -> dict[str, Timing]:
    """Return the seconds a slice of each way."""
    made = {
        "one_step": of_config(),
        "further_step": further(of_config(), of_config(steps=3), 2),
        "further_sample": further(of_config(), of_config(samples=3), 2),
        "regression": bare(network_of(deviation_features=None), SLICES, 4),
        "gan": of_config("gan", tile="whole"),
        "resshift": of_config("resshift"),
        "cdm_published": further(
            of_config("cdm_published", steps=1), of_config("cdm_published", steps=3), 2
        ),
    }
    for name, settings in MONAI.items():
        network = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=2,
            out_channels=1,
            num_res_blocks=1,
            norm_num_groups=8,
            num_head_channels=32,
            **settings,
        )
        made[name] = bare(network.to(memory_format=torch.channels_last), 1, 2)
    return made


def of_config(*overlays: str, **settings: Any) -> Timing:
    """Return the seconds a slice of the network and inferer of ``inference.yaml``."""
    config = settings_of("inference", *overlays)
    config.update({"device": "$torch.device('cpu')", "network_bytes": 1, **settings})
    network = config.get_parsed_content("network").eval()
    inferer = config.get_parsed_content("inferer")
    stack = torch.rand(1, 1, *PLANE, SLICES)
    if "gan" in overlays:  # a cube rather than a slab, and as many voxels
        stack = stack.reshape(1, 1, PLANE[0] // 4, PLANE[1] // 4, 16 * SLICES)
    with torch.no_grad():
        return a_slice(lambda: inferer(stack, network), SLICES)


def network_of(**settings: Any) -> torch.nn.Module:
    """Return the network of ``inference.yaml`` with other settings."""
    config = settings_of("inference")
    config.update({f"network_def::{key}": value for key, value in settings.items()})
    config["device"] = "$torch.device('cpu')"
    made: torch.nn.Module = config.get_parsed_content("network")
    return made


def bare(network: torch.nn.Module, count: int, channels: int) -> Timing:
    """Return the seconds a slice of a plain call."""
    images, position = torch.rand(count, channels, *PLANE), torch.ones(count)
    images = images.to(memory_format=torch.channels_last)
    with torch.no_grad():
        return a_slice(lambda: network.eval()(images, position), count)


def a_slice(work: Callable[[], Tensor], count: int) -> Timing:
    """Time what corrects several slices."""
    whole = repeat(work, 2)
    return Timing(*(seconds / count for seconds in vars(whole).values()))


def further(few: Timing, many: Timing, number: int) -> Timing:
    """Return what each of a number of further steps takes."""
    pairs = zip(vars(few).values(), vars(many).values(), strict=True)
    return Timing(*((after - before) / number for before, after in pairs))


def trainings(folder: Path) -> dict[str, dict[str, float]]:
    """Return the seconds of a training step, with its share of the simulation."""
    demo = MovingHeadsDemo(folder / "demo", size="tiny").ensure()
    return {name: vars(training_step(name, demo, folder / name)) for name in TRAININGS}


def training_step(name: str, demo: Path, output: Path) -> Timing:
    """Return the seconds of a step of ``train.yaml`` with an overlay."""
    files = dict.fromkeys(["train", name])
    work = ConfigWorkflow(
        config_file=[str(BUNDLE / "configs" / f"{file}.yaml") for file in files],
        workflow_type="train",
        logging_file=False,
        bundle_root=str(BUNDLE),
        dataset_dir=str(demo),
        output_dir=str(output),
        use_mlflow=False,
        device="$torch.device('cpu')",
        steps_per_epoch=WARM_UP + STEPS + 1,
        max_epochs=1,
        min_epochs=1,
        val_interval=2,
    )
    work.initialize()
    trainer, marks = work.parser.get_parsed_content("trainer"), []
    # CPU seconds of all threads: the next batch is simulated in another one.
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: marks.append(time.process_time()))
    trainer.run()
    return Timing.of(np.diff(marks)[WARM_UP:].tolist())


def settings_of(*names: str) -> ConfigParser:
    """Read configs of the bundle."""
    config = ConfigParser()
    config.read_config([str(BUNDLE / "configs" / f"{name}.yaml") for name in names])
    return config


def table(figures: dict[str, Any]) -> str:
    """Return the seconds a slice and a training step."""
    lines = ["| a slice of 256 x 256 | CPU seconds, median (range) | over one step of ours |"]
    lines.append("|---|---|---|")
    lines += rows(figures["slice"], NAMES, "one_step")
    lines += ["", "| a training step, with its simulation | CPU seconds | over ours |"]
    lines.append("|---|---|---|")
    return "\n".join(lines + rows(figures["training"], TRAININGS, "train"))


def rows(found: dict[str, Any], names: dict[str, str], first: str) -> list[str]:
    """Return a row for each time, and how many times the first it is."""
    return [
        f"| {title} | {of['median']:.3f} ({of['lowest']:.3f} to {of['highest']:.3f}) | "
        f"{of['median'] / found[first]['median']:.2f} |"
        for of, title in ((found[name], title) for name, title in names.items())
    ]


if __name__ == "__main__":
    print(table(run()))
