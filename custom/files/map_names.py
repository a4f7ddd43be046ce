"""Names of maps that are computed from MR images, as headers of any format write them."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["DerivedMaps", "map_name"]

DerivedMaps = Literal["refuse", "allow"]

# What a number follows is something else: `FA 15` is a flip angle, `sub-01` a subject. Words of
# PS3.3 C.8.3.1.1.1 and C.8.13.3.1.1 (as dciodvfy knows them), and of Siemens, Philips, GE, FSL.
_NAME = re.compile(
    r"(?<!\S)(?:"
    r"E?ADC|(?:COL|RGB)?FA(?! \d)|MD(?! \d)|DIFFUSION ANISO|TENSOR(?: B0)?|"
    r"(?:R|REL)?CB[FV]|MTT|TTP|TMAX|PBP|KTRANS|NEI|SCM|TCS|R COEFFICIENT|"
    r"(?:[RT][12]S?|[RT][12] STAR|B[01]|PD|SNR|DENSITY|DIFFUSION|FIELD|METABOLITE) ?MAP|MAP|"
    r"M(?:AX|IN)?(?:_| )?IP|MNIP|PROJECTION(?: IMAGE)?|TEMPERATURE|"
    r"(?:MODULUS )?SUB(?:TRACT(?:ION|ED)?)?(?! \d)|DIVISION|STD ?DEV(?:IATION)?|"
    r"Z ?SCORE|[ZTF] ?(?:STAT|TEST|MAP)"
    r")(?!\S)"
)
# In free text, also a subject and a doctor.
_AMBIGUOUS = ("MD", "SUB")


def map_name(text: str, free: bool = False) -> str | None:
    """Return the name of a computed map in a text; None if it holds none.

    Args:
        text: A value of a header.
        free: It is free text, where ``MD`` and ``SUB`` among other words may be something else.

    Example:
        >>> [map_name(text) for text in ("ep2d_diff_ADC", "T2_STAR_MAP", "z-score", "t1_sag_FA 15")]
        ['ADC', 'T2 STAR MAP', 'Z SCORE', None]
    """
    words = " ".join(re.findall(r"[A-Z0-9]+", text.upper()))
    names = (found.group() for found in _NAME.finditer(words))
    return next(
        (name for name in names if name == words or not free or name not in _AMBIGUOUS), None
    )
