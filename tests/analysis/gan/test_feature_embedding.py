import logging

import numpy as np
import pytest
import torch
from torch import nn

from custom.analysis.gan.feature_embedding import (
    embed,
    embedding_diagnostic,
    load_extractor,
    neighbour_share,
    patch_features,
)
from custom.analysis.gan.patch_collector import Patch
from custom.errors import InputError


def clusters(apart=20.0):
    """Two clouds of 12 points."""
    points = np.random.default_rng(0).standard_normal((24, 5))
    points[12:] += apart
    return points, ["a"] * 12 + ["b"] * 12


def test_neighbours_of_clouds_that_lie_apart_and_of_one_cloud():
    points, labels = clusters()
    assert neighbour_share(points, labels) == 1.0
    random = np.random.default_rng(1)
    mixed = random.standard_normal((2000, 2))
    share = neighbour_share(mixed, list(random.permutation(["a", "b"] * 1000)))
    assert share == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(2000))


def test_clouds_that_lie_apart_do_so_in_the_plane():
    points, labels = clusters()
    places = embed(points)
    assert places.shape == (24, 2)
    assert neighbour_share(places, labels) == 1.0
    np.testing.assert_array_equal(places, embed(points))


def test_features_are_averaged_over_positions():
    extractor = nn.Conv3d(1, 2, 1)
    with torch.no_grad():
        extractor.weight[:] = torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1, 1)
        extractor.bias[:] = torch.tensor([0.0, 3.0])
    patches = [np.full((4, 4, 4), value, np.float32) for value in (1.0, 5.0, 7.0)]
    patches[0][:2] = 3  # mean 2
    found = patch_features(extractor, patches, batch=2)
    np.testing.assert_allclose(found, [[2, -1], [5, -7], [7, -11]], rtol=1e-6)


def test_what_separates_is_said():
    # Raw patches differ by noise alone; the variance of the noise tells the groups apart.
    class Power(nn.Module):
        def forward(self, x):
            return torch.cat([x.square(), x.abs()], 1)

    random = np.random.default_rng(0)
    patches = [
        Patch(group, kind, (size * random.standard_normal((6, 6, 6))).astype(np.float32))
        for group, size in (("a", 1.0), ("b", 2.0))
        for kind in ("reference", "model")
        for _ in range(8)
    ]
    found = embedding_diagnostic(patches, Power())
    assert found is not None
    assert found.numbers["features of the extractor"]["same_group"] == 1.0
    assert found.numbers["raw patches"]["same_group"] < 0.9
    assert found.numbers["patches"] == 32
    assert [ax.get_title() for ax in found.figure.axes] == list(found.numbers)[:2]
    assert embedding_diagnostic(patches[:9], Power()) is None


def test_weights_come_from_the_training(tmp_path, caplog):
    trained = nn.Linear(2, 2)
    path = tmp_path / "last.pt"
    torch.save({"model": {}, "extractor": trained.state_dict()}, path)
    found = load_extractor(nn.Linear(2, 2), path)
    assert torch.equal(found.weight, trained.weight)
    assert not found.training
    with pytest.raises(InputError, match="another feature extractor"):
        load_extractor(nn.Linear(3, 2), path)
    with caplog.at_level(logging.INFO):
        assert load_extractor(nn.Linear(2, 2), tmp_path / "none.pt") is None
        torch.save({"model": {}}, path)
        assert load_extractor(nn.Linear(2, 2), path) is None
    assert len(caplog.records) == 2
