"""Pictures embedded in a page."""

from __future__ import annotations

import base64
from io import BytesIO

from markupsafe import Markup
from matplotlib.figure import Figure

__all__ = ["as_source", "embed"]


def embed(figure: Figure) -> Markup:
    """Return a figure as a data address, so that the page needs no other file."""
    memory = BytesIO()
    figure.savefig(memory, format="png", dpi=110)
    return as_source(memory.getvalue())


def as_source(png: bytes) -> Markup:
    """Return a PNG file as a data address."""
    return Markup("data:image/png;base64,") + base64.b64encode(png).decode("ascii")
