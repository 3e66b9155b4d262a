"""When a share of the norm counts as zero, and what a feature is called."""

from __future__ import annotations

from typing import Literal

__all__ = ["STATUS_THRESHOLD", "share_status"]

STATUS_THRESHOLD = 1e-6
"""Shares below this count as zero when a feature is called *must*, *may* or *cannot*. Over the 585
groups of order at most 64 the smallest share of a *must* feature is .0038 and computed zeros are below
1e-9, so nothing lies near the threshold."""


def share_status(least: float, greatest: float) -> Literal["must", "may", "cannot"]:
    """*must* if the least share is positive, *cannot* if the greatest is zero, else *may*.

    Examples
    --------
    >>> share_status(0.2, 0.5), share_status(0.0, 0.5), share_status(0.0, 0.0)
    ('must', 'may', 'cannot')
    """
    if least > STATUS_THRESHOLD:
        return "must"
    return "cannot" if greatest <= STATUS_THRESHOLD else "may"
