"""Verdict on one network: claims, premises, and the outcome in a sentence."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from marginlens.display import Displayed, Shown
from marginlens.errors import MarginLensError
from marginlens.verdict.claims import Claim, Status
from marginlens.verdict.premises import FOLDER, Premise

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
    """Verdict on one network: all claims with premises and a summary.

    Attributes
    ----------
    task
        Name of the task.
    margin_ratio
        Measured normalized margin divided by the maximum; ``None`` if the maximum is unknown.
    training_seconds
        Duration of training, in seconds.
    claims
        Claims of the theory, each with its status.
    premises
        Conditions under which the theory guarantees the claims, each with whether it is met.
    summary
        Outcome in one or two self-contained sentences, with the next action if one is needed.
    portable_summary
        Same summary with ``FOLDER`` in place of the run's folder, for files of a run that may move.
    """

    task: str
    margin_ratio: float | None
    training_seconds: float | None
    claims: tuple[Claim, ...]
    premises: tuple[Premise, ...] = ()
    summary: str = ""
    portable_summary: str = ""

    def __post_init__(self) -> None:
        """Count the claims if no summary is given."""
        if not self.summary:
            object.__setattr__(self, "summary", self.count)

    @property
    def holds(self) -> bool:
        """True if every guaranteed claim holds."""
        return all(claim.holds for claim in self.claims if claim.promised)

    @property
    def status(self) -> Status:
        """Outcome of all claims: the worst status among the claims that a theorem covers."""
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
        """Exit status: 0 without failure, 1 for a contradiction, 3 for an unmet premise."""
        return _EXIT_CODES.get(self.status, 0)

    @property
    def mood(self) -> str:
        """Colour of the outcome on pages: ``"good"``, ``"bad"`` or ``"neutral"``."""
        return {"passes": "good", "contradicted": "bad"}.get(self.status, "neutral")

    @property
    def count(self) -> str:
        """Number of guaranteed claims that pass, out of their total, as a phrase."""
        guaranteed = [claim for claim in self.claims if claim.promised]
        if not guaranteed:
            return "No theorem covers this setting: claims are reported, not scored."
        passing = sum(claim.holds for claim in guaranteed)
        return f"{passing} of {len(guaranteed)} guaranteed claims pass"

    def premise(self, name: str) -> Premise | None:
        """Return the premise with a given name, or ``None`` if it does not apply.

        Parameters
        ----------
        name
            Short name of the premise, such as ``"width"``.
        """
        return next((premise for premise in self.premises if premise.name == name), None)

    def shown(self) -> Shown:
        """Return the notebook display: the summary, then every claim."""
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
        """Return the rows of :meth:`to_frame`, one per claim with its fields."""
        return [asdict(claim) for claim in self.claims]

    @property
    def counts(self) -> str:
        """Number of claims with each status, such as ``"✓ 10 pass, ✗ 2 contradicted"``."""
        words = {"passes": "pass"}
        found = Counter(claim.status for claim in self.claims)
        return ", ".join(f"{MARKS[s]} {found[s]} {words.get(s, s)}" for s in MARKS if found[s])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: str | None = None) -> Verdict:
        """Verdict that :meth:`to_dict` took apart.

        Parameters
        ----------
        values
            Plain values of a verdict; names that a verdict does not have are passed over.
        folder
            Folder of the run, for the commands in the summary; None: as they are in the values.

        Raises
        ------
        ValueError
            If a value is missing, as in records of earlier versions.
        """
        try:
            words = values["summary"]
            return cls(
                task=values["task"],
                margin_ratio=values["margin_ratio"],
                training_seconds=values["training_seconds"],
                claims=tuple(Claim(**_fields_of(Claim, one)) for one in values["claims"]),
                premises=tuple(Premise(**_fields_of(Premise, one)) for one in values["premises"]),
                summary=words if folder is None else words.replace(FOLDER, shlex.quote(folder)),
                portable_summary=words,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise MarginLensError(f"expected a verdict's fields: {error!r}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain values for JSON."""
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


def _fields_of(record: type[Claim] | type[Premise], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a record's fields; a KeyError for one that is missing."""
    return {one.name: values[one.name] for one in fields(record)}
