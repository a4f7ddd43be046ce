"""The learned perceptual metric LPIPS, from a backbone file on disk."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from custom.errors import InputError
from custom.metrics.image_pairs import double_pair, positive_range
from custom.networks.checkpoint_file import read_checkpoint

__all__ = ["PerceptualDistance", "slicewise_distance"]

_SMALLEST = 32  # pixels; AlexNet's five stages reduce a smaller slice to nothing
_AT_ONCE = 8  # slices of a volume, which bounds the memory
# By AlexNet's number of a convolution, which the file has, LPIPS's stage that holds it.
_STAGES = {0: "slice1", 3: "slice2", 6: "slice3", 8: "slice4", 10: "slice5"}


class PerceptualDistance(nn.Module):
    """LPIPS with the AlexNet backbone, between grey slices of a known range.

    Grey values are brought to -1 ... 1 by the reference's minimum and the data range, clipped,
    and repeated into three channels. 0 means equal; lower is better. The backbone was trained on
    photographs: a hint about texture, not a proof of fidelity.

    Args:
        weights: State dictionary of torchvision's AlexNet, ``alexnet-owt-*.pth``, or of its
            features, from ``mri-bundles backbone alexnet``. LPIPS's own linear weights come with
            its package. Nothing is downloaded.

    Shape:
        ``predicted``, ``reference``: ``(B, 1, H, W)``, at least 32 x 32 pixels; ``data_range``:
        ``()`` or ``(B,)``; output: ``(B,)``.

    Raises:
        InputError: If the packages of the extra ``perceptual`` are missing, or the file is
            missing or not AlexNet's state dictionary.

    Source:
        Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as
        a perceptual metric", 2018.
    """

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        state = _read_backbone(Path(weights))
        self.distance = _untrained_lpips()
        for index, stage in _STAGES.items():
            layer = getattr(self.distance.net, stage).get_submodule(str(index))
            try:
                layer.load_state_dict(
                    {name: state[f"features.{index}.{name}"] for name in ("weight", "bias")}
                )
            except (KeyError, RuntimeError) as error:
                raise InputError(
                    f"lpips_weights {weights} is not the state dictionary of torchvision's "
                    f"AlexNet: features.{index} is missing or of another shape"
                ) from error
        self.distance.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, predicted: Tensor, reference: Tensor, data_range: float | Tensor) -> Tensor:
        """Return the distance of each slice."""
        if predicted.shape != reference.shape or min(reference.shape[2:]) < _SMALLEST:
            raise ValueError(
                f"predicted and reference must be of one shape and at least {_SMALLEST} x "
                f"{_SMALLEST} pixels, got {tuple(predicted.shape)} and {tuple(reference.shape)}"
            )
        low = reference.flatten(1).amin(1).reshape(-1, 1, 1, 1)
        width = torch.as_tensor(data_range).to(reference).reshape(-1, 1, 1, 1)
        pair = [
            (((image - low) / width).clamp(0, 1) * 2 - 1).float().expand(-1, 3, -1, -1)
            for image in (predicted, reference)
        ]
        value: Tensor = self.distance(*pair)
        return value.reshape(-1)


def slicewise_distance(
    predicted: Tensor,
    reference: Tensor,
    data_range: float | Tensor,
    distance: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """Return the mean of a distance such as LPIPS over the slices of the last axis.

    Slices in which the reference is constant do not count: there is no texture to compare.

    Args:
        predicted: Volumes to judge.
        reference: Volumes to compare with.
        data_range: Data range in the units of the volumes; one number, or one a volume.
        distance: Distance of slices ``(B, 1, H, W)``, given the data range ``(B,)``.

    Shape:
        Volumes: ``(B, 1, D, H, W)``; output: ``(B,)``, float64.

    Raises:
        ValueError: If shapes differ, ``data_range`` is not positive, or every slice is constant.
    """
    predicted, reference = double_pair(predicted, reference)
    ranges = positive_range(data_range, predicted).expand(len(predicted))
    found = []
    for first, second, width in zip(predicted, reference, ranges, strict=True):
        slices = [volume.movedim(-1, 0).float() for volume in (first, second)]
        used = torch.nonzero(slices[1].amax((1, 2, 3)) > slices[1].amin((1, 2, 3))).flatten()
        if not len(used):
            raise ValueError("reference must not be constant in every slice")
        parts = [
            distance(slices[0][part], slices[1][part], width.float().expand(len(part)))
            for part in torch.split(used, _AT_ONCE)
        ]
        found.append(torch.cat(parts).double().mean())
    return torch.stack(found)


def _read_backbone(path: Path) -> dict[str, Tensor]:
    """Read a state dictionary without running code from the file."""
    if not path.is_file():
        raise InputError(
            f"lpips_weights {path} does not exist: give torchvision's file or that of "
            "mri-bundles backbone alexnet, or go without by --lpips_weights null"
        )
    named = re.search(r"-([0-9a-f]{8,64})\.pth$", path.name)  # torchvision's names end in a hash
    remedy = "take torchvision's file again, or go without by --lpips_weights null"
    state: dict[str, Tensor] = read_checkpoint(
        path, what="lpips_weights", remedy=remedy, sha256=named[1] if named else None
    )
    return state


def _untrained_lpips() -> Any:
    """Build LPIPS with its own linear weights and a backbone still to be filled."""
    try:
        import lpips
    except ImportError as error:
        raise InputError(
            "lpips_weights needs the packages lpips and torchvision: "
            "pip install 'mri-restoration-bundles[perceptual]'"
        ) from error
    # pnet_rand, so that nothing is downloaded; its draws must not shift the run's own.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings(
            "ignore", message="The parameter 'pretrained'", category=UserWarning
        )
        warnings.filterwarnings("ignore", message="Arguments other than", category=UserWarning)
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
