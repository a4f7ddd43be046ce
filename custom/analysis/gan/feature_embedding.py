"""Embedding of patches and of their extracted features in the plane (t-SNE)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from custom.analysis.gan.patch_collector import Patch
from custom.errors import InputError
from custom.evaluation.diagnostics_folder import Diagnostic
from custom.evaluation.drawing import COLOURS, empty_figure, legend_below

__all__ = [
    "draw_embedding",
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


def load_extractor(
    network: nn.Module, checkpoint: str | Path | None, name: str = "extractor"
) -> nn.Module | None:
    """Load the weights that a training checkpoint holds of its feature extractor.

    Args:
        network: The extractor, without weights.
        checkpoint: ``last.pt`` of a training; ``None`` for none.
        name: Key of the extractor in the checkpoint.

    Returns:
        The extractor, or ``None``, with a line in the log, where there is no such file or it holds
        no extractor.

    Raises:
        InputError: If the weights are those of another extractor.
    """
    if checkpoint is None or not Path(checkpoint).is_file():
        logger.info("no picture of features: there is no training checkpoint %s", checkpoint)
        return None
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if name not in state:
        logger.info("no picture of features: %s holds no %s", checkpoint, name)
        return None
    try:
        network.load_state_dict(state[name])
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
    found = []
    with torch.no_grad():
        for first in range(0, len(patches), batch):
            cubes = torch.from_numpy(np.stack(patches[first : first + batch])).unsqueeze(1)
            features = extractor(cubes.to(device))
            found.append(features.double().flatten(2).mean(2).cpu())
    return np.asarray(torch.cat(found).numpy())


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
    centred = centred / (centred.std() or 1.0)
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

    Args:
        patches: References and restorations.
        extractor: With its weights.
        seed: Seed of the embeddings.

    Returns:
        ``None``, with a line in the log, where there are too few patches.
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
    figure = draw_embedding(
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


def draw_embedding(
    places: dict[str, NDArray[Any]], groups: Sequence[str], kinds: Sequence[str]
) -> Figure:
    """Draw points in the plane, a panel for each space.

    Args:
        places: Name of a space to ``(n, 2)``.
        groups: Group of each point, shown by its colour.
        kinds: Kind of each point; the first kind is filled, others are open.
    """
    figure = empty_figure(4.4 * len(places), 4.5)
    axes = np.atleast_1d(figure.subplots(1, len(places)))
    for ax, (title, points) in zip(axes, places.items(), strict=True):
        _scatter(ax, points, groups, kinds)
        ax.set_title(title, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
    longest = max(map(len, ax.get_legend_handles_labels()[1]))
    legend_below(figure, axes, 2 if longest > _LONG_NAME else 4)
    return figure


def _scatter(ax: Axes, points: NDArray[Any], groups: Sequence[str], kinds: Sequence[str]) -> None:
    """Draw the points of one space."""
    filled = kinds[0]
    for number, group in enumerate(dict.fromkeys(groups)):
        colour = COLOURS[number % len(COLOURS)]
        for kind in dict.fromkeys(kinds):
            chosen = [g == group and k == kind for g, k in zip(groups, kinds, strict=True)]
            ax.scatter(
                points[chosen, 0],
                points[chosen, 1],
                s=16,
                facecolors=colour if kind == filled else "none",
                edgecolors=colour,
                linewidths=0.8,
                label=f"{group}, {kind}",
            )
