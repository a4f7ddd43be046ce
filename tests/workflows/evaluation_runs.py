"""A small paired dataset, a network of one weight, and an evaluation of it."""

import csv
from pathlib import Path

import numpy as np
import torch

from custom.bundle.launch import run_bundle
from custom.data.datasets.dataset_kinds import PAIRED_STACKS
from custom.data.datasets.dataset_writer import DatasetWriter

BUNDLE = Path(__file__).parents[2] / "bundles" / "micro_mri_denoise"

# restored = 0.8 x + 0.5, in means of the slice
NETWORK = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 1}

AFFINE = np.array([[0.0, 0.2, 0, 1], [0.2, 0, 0, 2], [0, 0, -0.6, 3], [0, 0, 0, 1.0]])


def scans():
    """Three test scans: of two planes, one without regions, one of another size."""
    random = np.random.default_rng(0)
    for animal, plane, shape in (
        ("m1", "axial", (18, 16, 3)),
        ("m1", "coronal", (16, 17, 1)),
        ("m2", "axial", (18, 16, 3)),
    ):
        low = 1000 + 300 * random.standard_normal(shape)
        high = low.repeat(2, 0).repeat(2, 1) + 100 * random.standard_normal(
            (2 * shape[0], 2 * shape[1], shape[2])
        )
        mask = np.zeros(high.shape, np.uint8)
        mask[:6, :6], mask[-6:, -6:] = 1, 2
        yield animal, plane, low, high, None if plane == "coronal" else mask


def evaluate(dataset, weights, output, **overrides):
    given = {"dataset_dir": dataset, "ckpt_path": weights, "output_dir": output}
    given = {name: str(path) for name, path in given.items()}
    run_bundle(
        BUNDLE,
        ["evaluate"],
        given | {"network_def": NETWORK, "device": "$torch.device('cpu')"} | overrides,
    )


def read(path):
    with path.open(newline="") as text:
        return list(csv.DictReader(text))


def write_dataset(folder):
    """Write the scans, one slice of which is excluded, and return the folder."""
    with DatasetWriter(folder, PAIRED_STACKS, "test pairs", "random numbers") as writer:
        for animal, plane, low, high, mask in scans():
            name = f"{animal}_{plane}_head"
            fine = AFFINE @ np.diag([0.5, 0.5, 1, 1])
            where = {"animal": animal, "plane": plane, "region": "head"}
            images = {"image": (low, AFFINE), "label": (high, fine)}
            images |= {} if mask is None else {"mask": (mask, fine)}
            writer.add("test", name, images, **where)
    (folder / "exclusions.csv").write_text("scan,slice,exclude,reason\nm1_axial_head,2,yes,ghost\n")
    return folder


def write_weights(path):
    """Write the network's weights, and return their path."""
    torch.save({"weight": torch.full((1, 1, 1, 1), 0.8), "bias": torch.tensor([0.5])}, path)
    return path
