"""Restore with another trained network beside the model that is evaluated."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.inferers import Inferer
from monai.networks.utils import eval_mode
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from torch import Tensor, nn

from custom.inferers.timed_inferer import TimedInferer
from custom.metrics.image_pairs import plain
from custom.networks.saved_weights import load_weights

__all__ = ["RestoreWithd"]


class RestoreWithd(MapTransform):
    """Restore the model's input with a peer: another trained network, in the same run.

    The peer gets the same image as the model, so both are measured on the same slices in
    the same units. The weights are loaded at once, so that faulty weights are reported before
    anything is restored.

    Stores the restored image under ``output_key``, and under ``f"{output_key}_seconds"`` the time
    it took, as
    :class:`~custom.inferers.timed_inferer.TimedInferer` measures it.

    Args:
        keys: The model's input; one key.
        output_key: The peer's name.
        network: The peer's network.
        ckpt_path: The peer's weights.
        inferer: Inferer of the peer.
        device: Device of the peer; that of the model if times are to be compared.
        extra_keys: Further arguments of the inferer, each with the key of its value in the data; as
            MONAI's ``PrepareBatchExtraInput`` has it.
        trained_for: Settings that the weights must have been trained for, as those of the model.

    Shape:
        Image: ``(C, X, Y)``, or ``(C, X, Y, S)`` with the slices last, as the inferer takes it with
        a batch axis before it; restored: what the inferer returns, without that axis.

    Raises:
        ValueError: If ``keys`` are several.
        InputError: If the weights are missing, unreadable, or those of another network.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_key: str,
        network: nn.Module,
        ckpt_path: str | Path,
        inferer: Inferer,
        device: str | torch.device = "cpu",
        extra_keys: Mapping[str, str] | None = None,
        trained_for: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys must be one key, got {self.keys}")
        self.output_key = output_key
        self.ckpt_path = Path(ckpt_path)
        self.inferer = TimedInferer(inferer)
        self.device = torch.device(device)
        self.extra_keys = dict(extra_keys or {})
        self.network = network.to(self.device)
        setting = f"other weights for {output_key!r}"
        load_weights(ckpt_path, network, self.device, setting, trained_for)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Restore the image."""
        image = data[self.keys[0]]
        extra = {name: self._batch(data[key]) for name, key in self.extra_keys.items()}
        with eval_mode(self.network):
            restored = self.inferer(self._batch(image), self.network, **extra)
        return {
            **data,
            self.output_key: convert_to_dst_type(restored[0], image)[0],
            f"{self.output_key}_seconds": self.inferer.seconds,
        }

    def _batch(self, values: Tensor) -> Tensor:
        """Return values as a batch of one, on the peer's device."""
        return plain(values).to(self.device).unsqueeze(0)
