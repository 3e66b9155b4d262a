"""The verdict on one network: claims, premises, and the outcome in a sentence."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from marginlens.display import Displayed, Shown
from marginlens.verdict.claims import Claim, Status
from marginlens.verdict.premises import Premise

__all__ = ["MARKS", "Verdict"]

MARKS: dict[Status, str] = {
    "passes": "✓",
    "contradicted": "✗",
    "premise not met": "○",
    "not covered": "·",
    "unknown": "?",
}
"""One character for each status."""

_EXIT_CODES: dict[Status, int] = {"contradicted": 1, "premise not met": 3, "unknown": 3}


@dataclass(frozen=True)
class Verdict(Displayed):
    """All claims about one network.

    Attributes
    ----------
    task
        The task's name.
    margin_ratio
        Measured normalized margin over the maximum, None where the maximum is unknown.
    training_seconds
        Time that training took.
    claims
        The claims.
    premises
        Conditions under which the theory guarantees the claims, each with whether it is met.
    summary
        The outcome in a sentence or two that need no other knowledge; what to do about it, if
        something is to be done.
    portable_summary
        The same with ``FOLDER`` in place of the run's folder, as files have it: a run may be moved.
    """

    task: str
    margin_ratio: float | None
    training_seconds: float | None
    claims: tuple[Claim, ...]
    premises: tuple[Premise, ...] = ()
    summary: str = ""
    portable_summary: str = ""

    def __post_init__(self) -> None:
        """Count the claims where no summary is given."""
        if not self.summary:
            object.__setattr__(self, "summary", self.count)

    @property
    def holds(self) -> bool:
        """Whether every guaranteed claim holds."""
        return all(claim.holds for claim in self.claims if claim.promised)

    @property
    def status(self) -> Status:
        """Outcome of all claims: the worst of the claims' that a theorem covers."""
        found = {claim.status for claim in self.claims}
        if any(premise.name == "finite" and not premise.met for premise in self.premises):
            return "premise not met"
        order: tuple[Status, ...] = ("contradicted", "premise not met", "unknown", "passes")
        for status in order:
            if status in found:
                return status
        return "not covered"

    @property
    def exit_code(self) -> int:
        """0 if nothing fails, 1 if a claim is contradicted, 3 if a premise is not met or not known."""
        return _EXIT_CODES.get(self.status, 0)

    @property
    def mood(self) -> str:
        """``"good"``, ``"bad"`` or ``"neutral"``: the colour that pages show the outcome in."""
        return {"passes": "good", "contradicted": "bad"}.get(self.status, "neutral")

    @property
    def count(self) -> str:
        """Number of guaranteed claims that pass, of how many."""
        guaranteed = [claim for claim in self.claims if claim.promised]
        if not guaranteed:
            return "No theorem covers this setting: claims are reported, not scored."
        passing = sum(claim.holds for claim in guaranteed)
        return f"{passing} of {len(guaranteed)} guaranteed claims pass"

    def premise(self, name: str) -> Premise | None:
        """Return the premise of this name; None if it does not apply."""
        return next((premise for premise in self.premises if premise.name == name), None)

    def shown(self) -> Shown:
        """Return what a notebook shows: the summary, then every claim."""
        rows = [
            [
                MARKS[claim.status],
                claim.statement,
                claim.predicted,
                claim.measured,
                f"{claim.tolerance:g}{' relative' if claim.relative else ''}",
            ]
            for claim in self.claims
        ]
        columns = ["", "claim", "predicted", "measured", "tolerance"]
        sentence = self.count if self.status == "passes" else self.counts
        return Shown(f"{self.task}: verdict", (), columns, rows, sentence, lead=self.summary)

    def to_records(self) -> list[dict[str, Any]]:
        """Rows of :meth:`to_frame`: one a claim, with its fields."""
        return [asdict(claim) for claim in self.claims]

    @property
    def counts(self) -> str:
        """Number of claims with each status, such as ``"✓ 10 pass, ✗ 2 contradicted"``."""
        words = {"passes": "pass"}
        found = Counter(claim.status for claim in self.claims)
        return ", ".join(f"{MARKS[s]} {found[s]} {words.get(s, s)}" for s in MARKS if found[s])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {
            "task": self.task,
            "summary": self.portable_summary or self.summary,
            "status": self.status,
            "margin_ratio": self.margin_ratio,
            "training_seconds": self.training_seconds,
            "holds": self.holds,
            "premises": [asdict(premise) for premise in self.premises],
            "claims": [asdict(claim) for claim in self.claims],
        }
