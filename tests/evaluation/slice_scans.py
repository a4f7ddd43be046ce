"""Scans of slices as an evaluator hands them over."""

import csv

import numpy as np
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

METHODS = {"input": "image", "model": "pred"}


def scan(name="m1_axial_head", depth=3, seed=0, **more):
    """One scan as the evaluator hands it over: a batch item and its output."""
    random = np.random.default_rng(seed)
    high = 100 + 50 * random.random((16, 14, depth)).repeat(2, 0).repeat(2, 1)
    low = high + 8 * random.standard_normal(high.shape)
    pred = high + 3 * random.standard_normal(high.shape)
    factors = low.mean((0, 1))
    stacks = {
        key: MetaTensor(
            torch.from_numpy(stack / factors)[None],
            affine=torch.diag(torch.tensor([0.1, 0.2, 0.6, 1.0])),
        )
        for key, stack in {"image": low, "label": high, "pred": pred}.items()
    }
    batch = {"scan": name, "animal": "m1", "plane": "axial", "region": "head"}
    batch |= {"image": stacks["image"], "image_scale": torch.from_numpy(factors), **more}
    output = {"label": stacks["label"], "pred": stacks["pred"]}
    return (batch, output), {"input": low, "model": pred, "high": high}


def run(scans, *handlers):
    engine = Engine(lambda engine, _: [scans[engine.state.iteration - 1][1]])
    for handler in handlers:
        handler.attach(engine)
    engine.run([[batch] for batch, _ in scans])


def read(path):
    with path.open(newline="") as text:
        return list(csv.DictReader(text))
