"""What is known of a person and a slice, as tokens for cross attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["CONTEXT", "ContextEncoder"]

CONTEXT = {"sex": (0.5, 0.5), "age": (60.0, 20.0), "group": (0.5, 0.5), "position": (0.0, 1.0)}
"""Entries of a context in their order, with what is taken off and what they are divided by.

Sex and group are 0 or 1, the age is in years, the position of a slice runs from -1 to 1.
"""


class ContextEncoder(nn.Module):
    """One token for each entry of a context; a learned one where it is unknown.

    Args:
        features: Length of a token.

    Shape:
        ``context``: ``(B, 4)`` in the order of :data:`CONTEXT`, NaN where unknown; None: all
        unknown. Output: ``(B, 4, features)``.

    Source:
        docs/methods/brain_3t7t_sr.md, "Network".
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        # Plain numbers: TorchScript would store a buffer among the weights.
        self.centre = [centre for centre, _ in CONTEXT.values()]
        self.width = [width for _, width in CONTEXT.values()]
        self.gain = nn.Parameter(torch.randn(len(CONTEXT), features))
        self.offset = nn.Parameter(torch.randn(len(CONTEXT), features))
        self.unknown = nn.Parameter(torch.randn(len(CONTEXT), features))

    def forward(self, context: Tensor) -> Tensor:
        """Encode a batch of contexts."""
        centre = torch.tensor(self.centre, device=context.device)
        width = torch.tensor(self.width, device=context.device)
        value = ((context - centre) / width).to(self.gain).unsqueeze(-1)
        known = value.isfinite()
        told = torch.where(known, value, 0.0) * self.gain + self.offset
        return torch.where(known, told, self.unknown)
