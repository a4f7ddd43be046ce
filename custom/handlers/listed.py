"""List a handler that has an id of its own in a config."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["listed"]

Handler = TypeVar("Handler")


def listed(handler: Handler) -> Handler:
    """Return the handler itself.

    A handler that is also saved needs an id, yet MONAI's ``check_properties`` reads a ``_target_``
    in each entry of ``train::handlers`` and stumbles over a plain ``'@early_stopping'``. So::

        - _target_: custom.handlers.listed.listed
          handler: '@early_stopping'

    Args:
        handler: Any handler.

    >>> listed(3)
    3
    """
    return handler
