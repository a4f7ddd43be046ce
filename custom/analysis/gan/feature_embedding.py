"""Embedding of patches and of their extracted features in the plane (t-SNE)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from custom.analysis.gan.patch_collector import Patch
from custom.errors import InputError
from custom.evaluation.diagnostics_folder import Diagnostic
from custom.evaluation.drawing import COLOURS, empty_figure, legend_below
from custom.networks.checkpoint_file import read_checkpoint

__all__ = [
    "embed",
    "embedding_diagnostic",
    "load_extractor",
    "neighbour_share",
    "patch_features",
]

logger = logging.getLogger(__name__)

_LONG_NAME = 24  # characters; four of them side by side would be cut off
_FEWEST = 10  # patches; an embedding of fewer shows nothing
_NEIGHBOURS = 5


def load_extractor(network: nn.Module, checkpoint: str | Path | None) -> nn.Module | None:
    """Load the weights that a training checkpoint, ``last.pt``, holds of its feature extractor.

    Returns:
        The extractor, or ``None``, with a line in the log, where there is no such file or it holds
        no ``extractor``.

    Raises:
        InputError: If the weights are those of another extractor.
    """
    if checkpoint is None or not Path(checkpoint).is_file():
        logger.info("no picture of features: there is no training checkpoint %s", checkpoint)
        return None
    state = read_checkpoint(checkpoint, what="training checkpoint")
    if "extractor" not in state:
        logger.info("no picture of features: %s holds no extractor", checkpoint)
        return None
    try:
        network.load_state_dict(state["extractor"])
    except RuntimeError as error:
        raise InputError(
            f"{checkpoint} holds another feature extractor than the config's extractor_def: "
            f"give the config of its training"
        ) from error
    return network.eval()


def patch_features(
    extractor: nn.Module, patches: Sequence[NDArray[np.float32]], batch: int = 8
) -> NDArray[np.float64]:
    """Return the mean over positions of each patch's features.

    Args:
        extractor: Gives ``(B, F, *)`` for ``(B, 1, *)``.
        patches: ``(size, size, size)`` each.
        batch: Patches at once.

    Returns:
        ``(n, F)``.
    """
    device = next((weight.device for weight in extractor.parameters()), torch.device("cpu"))
    cubes = torch.from_numpy(np.stack(patches)).unsqueeze(1)
    with torch.no_grad():
        features = (extractor(some.to(device)).double() for some in torch.split(cubes, batch))
        return np.asarray(torch.cat([some.flatten(2).mean(2).cpu() for some in features]))


def embed(values: NDArray[Any], seed: int = 0) -> NDArray[np.float64]:
    """Return positions in the plane by t-SNE (scikit-learn), started from principal components.

    Features are first scaled to zero mean and a deviation of one over all features together.

    Args:
        values: ``(n, F)``, ``n`` at least 4.
        seed: Seed of the embedding.

    Returns:
        ``(n, 2)``.

    Source:
        van der Maaten, Hinton, "Visualizing data using t-SNE", 2008.
    """
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]

    centred = np.asarray(values, dtype=np.float64)
    centred = centred - centred.mean(0)
    # One factor for all: each scaled alone, features that hardly vary would count as much.
    centred = centred / (centred.std() or 1.0)
    # scikit-learn's default, which must stay below the number of points.
    perplexity = min(30.0, (len(centred) - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(centred)
    return np.asarray(found, dtype=np.float64)


def neighbour_share(values: NDArray[Any], labels: Sequence[str], count: int = _NEIGHBOURS) -> float:
    """Return the share of each point's nearest neighbours that has its label.

    Measured in the space of ``values``, not in a picture of it.

    Args:
        values: ``(n, F)``.
        labels: One label for each point.
        count: Neighbours, fewer than points.
    """
    from sklearn.neighbors import NearestNeighbors  # type: ignore[import-untyped]

    found = NearestNeighbors(n_neighbors=count).fit(values).kneighbors(return_distance=False)
    known = np.asarray(labels)
    return float((known[found] == known[:, None]).mean())


def embedding_diagnostic(
    patches: Sequence[Patch], extractor: nn.Module, seed: int = 0
) -> Diagnostic | None:
    """Return the picture of raw patches beside that of their features, and its numbers.

    Where there are too few patches, ``None`` with a line in the log.
    """
    if len(patches) < _FEWEST:
        logger.info("no picture of features: %d patches are too few", len(patches))
        return None
    cubes = [patch.values for patch in patches]
    spaces = {
        "raw patches": np.stack([cube.ravel() for cube in cubes]).astype(np.float64),
        "features of the extractor": patch_features(extractor, cubes),
    }
    groups, kinds = [p.group for p in patches], [p.kind for p in patches]
    numbers: dict[str, Any] = {
        name: {
            "same_group": neighbour_share(values, groups),
            "same_kind": neighbour_share(values, kinds),
        }
        for name, values in spaces.items()
    }
    figure = _draw_embedding(
        {name: embed(values, seed) for name, values in spaces.items()}, groups, kinds
    )
    told = "; ".join(
        f"{name}: {share['same_group']:.0%} of a patch's {_NEIGHBOURS} nearest neighbours are of "
        f"its own volume, {share['same_kind']:.0%} of its own kind"
        for name, share in numbers.items()
    )
    return Diagnostic(
        "features",
        "What the feature extractor tells apart",
        f"t-SNE of {len(patches)} patches, from the reference (filled) and from the model (open); "
        f"a colour is a volume. {told}. Distances between clusters mean nothing.",
        figure,
        numbers | {"patches": len(patches)},
    )


def _draw_embedding(
    places: dict[str, NDArray[Any]], groups: Sequence[str], kinds: Sequence[str]
) -> Figure:
    """Draw points in the plane, a panel for each space.

    Points are ``(n, 2)``; a colour is a group, the first kind is filled, others are open.
    """
    figure = empty_figure(4.4 * len(places), 4.5)
    axes = np.atleast_1d(figure.subplots(1, len(places)))
    colours = dict(zip(dict.fromkeys(groups), cycle(COLOURS), strict=False))
    both = list(zip(groups, kinds, strict=True))
    clouds = [(group, kind) for group in colours for kind in dict.fromkeys(kinds)]
    for ax, (title, points) in zip(axes, places.items(), strict=True):
        for group, kind in clouds:
            ax.scatter(
                *points[[pair == (group, kind) for pair in both]].T,
                s=16,
                facecolors=colours[group] if kind == kinds[0] else "none",
                edgecolors=colours[group],
                linewidths=0.8,
                label=f"{group}, {kind}",
            )
        ax.set_title(title, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
    longest = max(len(f"{group}, {kind}") for group, kind in clouds)
    legend_below(figure, axes, 2 if longest > _LONG_NAME else 4)
    return figure
