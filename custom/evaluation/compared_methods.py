"""Which methods an evaluation compares, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from custom.evaluation.restore_with import RestoreWithd

__all__ = ["compared_methods"]


def compared_methods(methods: Mapping[str, str], peers: Iterable[Any] = ()) -> dict[str, str]:
    """Return name and key of every method: classical ones, networks run besides, the model last.

    Args:
        methods: Name of a method to the key of its images in the batch or the output; ``model``,
            and what is made of its result, as ``model_consistent``, come last.
        peers: What the evaluator ran besides; the networks among it are methods too.

    Raises:
        ValueError: If ``methods`` lacks ``model``.
    """
    if "model" not in methods:
        raise ValueError(f"methods must have 'model', got {sorted(methods)}")
    named = {peer.output_key: peer.output_key for peer in peers if isinstance(peer, RestoreWithd)}
    own = {name: key for name, key in methods.items() if _own(name)}
    return {**{name: key for name, key in methods.items() if name not in own}, **named, **own}


def _own(method: str) -> bool:
    """Say whether a method is the model, or made of what it gave."""
    return method == "model" or method.startswith("model_")
