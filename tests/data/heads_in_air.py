"""A made-up head in air."""

import numpy as np

OBLIQUE = np.array([[0.9, -0.2, 0.1, 7], [0.25, 1.1, 0, -40], [0, 0.3, 1.2, 21], [0, 0, 0, 1.0]])


def head(shape=(50, 47, 60), seed=0):
    values = np.abs(np.random.default_rng(seed).normal(0, 4, shape)).astype(np.float32)
    values[20:33, 18:30, 22:43] += 500
    values[2, 3, 4] = 900  # a spike in air
    return values
