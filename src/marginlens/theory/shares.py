"""Threshold and names of shares of the norm."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["STATUS_THRESHOLD", "share_status"]

STATUS_THRESHOLD = 1e-7
"""Shares below this count as zero when a feature is called *must*, *may* or *cannot*. Shares are proved
to 1e-8. Over the 585 groups of order at most 64 the smallest share of a *must* feature is .0038; over
all products of two families to order 720 it is 1.0e-5 (in A4xC59)."""


def share_status(least: float, greatest: float) -> Literal["must", "may", "cannot", "unknown"]:
    """*must* if the least share is positive, *cannot* if the greatest is zero, else *may*.

    Parameters
    ----------
    least, greatest
        Bounds of the share over all maximum-margin networks; nan where one is not determined. The
        status is *unknown* if it hangs on that one.

    Examples
    --------
    >>> share_status(0.2, 0.5), share_status(0.0, 0.5), share_status(0.0, 0.0)
    ('must', 'may', 'cannot')
    >>> share_status(0.2, math.nan), share_status(math.nan, 0.5)
    ('must', 'unknown')
    """
    if least > STATUS_THRESHOLD:
        return "must"
    if greatest <= STATUS_THRESHOLD:
        return "cannot"
    return "unknown" if math.isnan(least) or math.isnan(greatest) else "may"
