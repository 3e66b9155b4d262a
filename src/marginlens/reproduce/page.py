"""Shared parts of the result pages of sweeps and studies."""

from __future__ import annotations

from marginlens.verdict import Verdict

__all__ = ["claim_lines"]


def claim_lines(verdict: Verdict) -> list[str]:
    """Return the claims as a section of Markdown."""
    lines = [
        "## Expectations",
        "",
        "| | expected | predicted | measured | tolerance | source |",
        "|---|---|---|---|---|---|",
    ]
    for claim in verdict.claims:
        mark = ("holds" if claim.holds else "**does not hold**") + (
            "" if claim.promised else ", not guaranteed"
        )
        if claim.predicted is None and not claim.tolerance:
            mark = "measured"
        cells = [
            "–" if value is None else f"{value:.4g}" for value in (claim.predicted, claim.measured)
        ]
        bound = (
            f"at least {claim.tolerance:g}" if claim.predicted is None else f"{claim.tolerance:g}"
        )
        lines.append(
            f"| {mark} | {claim.statement} | {' | '.join(cells)} | {bound} | {claim.source} |"
        )
    return lines
