from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from custom.analysis.gan.patch_collector import PatchCollector


def engine(**more: Any) -> Any:
    """Voxels that tell where they are, with air in the first half of the first axis."""
    label = torch.arange(24.0 * 20 * 22).reshape(1, 24, 20, 22) + 1e4
    label[:, :12] = 0
    data = {"scan": "a", "label": label, "pred": -label} | more
    return SimpleNamespace(state=SimpleNamespace(batch=[data], output=[{}]))


def test_pairs_of_patches_from_the_foreground() -> None:
    collector = PatchCollector(size=8, each=5)
    collector.collect(engine())
    assert [patch.kind for patch in collector.patches] == ["reference", "model"] * 5
    for reference, restored in zip(collector.patches[::2], collector.patches[1::2], strict=True):
        np.testing.assert_array_equal(restored.values, -reference.values)
        assert reference.values.shape == (8, 8, 8)
        assert (reference.values > 0).mean() >= 0.5
        steps = np.diff(reference.values[reference.values[..., 0].all(axis=1)], axis=2)
        assert (steps == 1).all(), "neighbours in the volume"
    assert len({patch.values[-1, 0, 0] for patch in collector.patches[::2]}) > 1


def test_places_are_the_scans_own() -> None:
    first, again, other = PatchCollector(8, 5), PatchCollector(8, 5), PatchCollector(8, 5)
    first.collect(engine())
    again.collect(engine(scan="b"))
    again.start()
    again.collect(engine())
    other.collect(engine(scan="b", contrast="T2w"))
    values = [np.stack([p.values for p in found.patches]) for found in (first, again, other)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])


def test_groups_noise_and_small_volumes() -> None:
    collector = PatchCollector(8, 1, group_key="contrast")
    collector.collect(engine(contrast="T2w"))
    collector.collect(engine())
    collector.collect(engine(noise_level=0.1))
    assert [patch.group for patch in collector.patches[::2]] == ["T2w", "a"]
    large = PatchCollector(21, 1)
    large.collect(engine())
    assert large.patches == []
    with pytest.raises(ValueError, match="each"):
        PatchCollector(8, 0)
