"""Report of a run as one self-contained page: prediction, training, measurement, verdict.

The page includes all it needs, plotly.js too, and needs no network access.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from markupsafe import Markup

from marginlens.display import residue
from marginlens.figure_pages import figure_payload, page_payload, plotly_script
from marginlens.figures import DARK, FIGURES, LIGHT
from marginlens.figures.style import SUPERSCRIPTS, number
from marginlens.files import write_whole
from marginlens.pages import page_environment

if TYPE_CHECKING:
    from marginlens.runs import Run
    from marginlens.theory import Prediction
    from marginlens.verdict import Claim

__all__ = [
    "CITATION",
    "claim_value",
    "described",
    "feature_summary",
    "headlines",
    "outcome",
    "percent",
    "report",
    "write_report",
]

CITATION = """\
@inproceedings{morwani2024feature,
  title     = {Feature emergence via margin maximization: case studies in algebraic tasks},
  author    = {Morwani, Depen and Edelman, Benjamin L. and Oncescu, Costin-Andrei and
               Zhao, Rosie and Kakade, Sham},
  booktitle = {International Conference on Learning Representations},
  year      = {2024},
  url       = {https://arxiv.org/abs/2311.07568}
}

@software{marginlens,
  title  = {MarginLens},
  author = {{The MarginLens developers}}
}"""


def report(run: Run) -> str:
    """Return the report of a run as HTML.

    Parameters
    ----------
    run
        Finished run to report.

    Returns
    -------
    str
        HTML without external resources; figures are drawn by plotly.js inside the page, light or
        dark as the reader's system is.
    """
    figures = _payloads(run)
    return (
        _environment()
        .get_template("report.html")
        .render(
            run=run,
            prediction=run.prediction,
            verdict=run.verdict,
            summary=run.verdict.summary,
            described=described(run),
            headlines=headlines(run),
            feature_summary=feature_summary(run.prediction),
            figures=_shown(run, figures),
            recipe=run.recipe.to_toml(),
            citation=CITATION,
            palettes=(LIGHT, DARK),
            payload=page_payload(figures),
            plotly=plotly_script(),
        )
    )


def write_report(run: Run, path: str | Path) -> Path:
    """Write the report of a run, atomically.

    Parameters
    ----------
    run
        Finished run to report.
    path
        File of the page; an older page there is replaced.

    Returns
    -------
    Path
        Path of the page.

    Raises
    ------
    OSError
        The folder does not exist or is not writable.
    """
    target = Path(path)
    write_whole(target, report(run))
    return target


def _payloads(run: Run) -> dict[str, dict[str, Any]]:
    """Return every figure of the run, by name."""
    drawn = {name: entry.draw(run) for name, entry in FIGURES.items() if entry.in_report}
    return {name: figure_payload(figure) for name, figure in drawn.items() if figure is not None}


def _shown(run: Run, payloads: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the texts around each figure of the page."""
    return [
        {
            "name": name,
            "heading": FIGURES[name].heading,
            "caption": FIGURES[name].caption(run),
            "title": payload["title"],
            "height": payload["layout"]["height"],
            "steps": [frame["name"] for frame in payload["frames"]],
        }
        for name, payload in payloads.items()
    ]


def described(run: Run) -> str:
    """Return the task as a phrase."""
    task = run.task
    if task.kind == "parity":
        chosen = len(task.subset or ())
        return f"the parity of {chosen} among {task.size} coordinates"
    group = task.group
    if group is None and task.elements is not None:
        return f"the operation {task.name} on {task.size} elements"
    if group is not None and group.generator is not None:
        return f"addition modulo {group.order}"
    return f"composition in {task.name}, a group of order {task.size}"


def headlines(run: Run) -> list[dict[str, str]]:
    """Return the main numbers: label, value, and reference."""
    prediction, measured, verdict = run.prediction, run.measurement, run.verdict
    at_penalty = prediction.at_penalty
    result = []
    if prediction.margin is None:
        result.append(
            _headline("Normalized margin", number(measured.normalized_margin), "measured")
        )
        result.append(_headline("Maximum margin γ*", "unknown", "no theorem applies here"))
    else:
        result.append(
            _headline(
                "Maximum margin γ*" if prediction.proved else "Largest margin found",
                number(prediction.margin, 6),
                "predicted before training" if prediction.proved else "before training; not proved",
            )
        )
    if verdict.margin_ratio is not None:
        result.append(
            _headline(
                "Share of γ* reached",
                percent(verdict.margin_ratio),
                f"margin {number(measured.normalized_margin, 6)}",
            )
        )
    result.append(
        _headline(
            "Cross-entropy",
            number(measured.cross_entropy, 5),
            f"predicted {number(at_penalty.cross_entropy, 5)}" if at_penalty else "no prediction",
        )
    )
    result.append(
        _headline(
            f"Norm Σ‖ω‖{str(measured.degree).translate(SUPERSCRIPTS)}",
            number(measured.norm, 6),
            f"predicted {number(at_penalty.norm, 6)}" if at_penalty else "no prediction",
        )
    )
    result.append(_headline("Accuracy", percent(measured.accuracy), "over the whole table"))
    if verdict.training_seconds is not None:
        result.append(
            _headline(
                "Training time",
                f"{verdict.training_seconds:.3g} s",
                f"{int(run.history['step'][-1])} steps" if len(run.history["step"]) else "",
            )
        )
    return result


def _headline(label: str, value: str, against: str) -> dict[str, str]:
    return {"label": label, "value": value, "against": against}


def feature_summary(prediction: Prediction) -> str:
    """Return the predicted use of features as a sentence."""
    counts = Counter(feature.status for feature in prediction.features)
    total = len(prediction.features)
    if counts["unknown"] == total:
        return f"No theorem says which of the {total} features a network uses in this setting."
    words = {"must": "must be used", "may": "may be used", "cannot": "cannot be used"}
    parts = [f"{counts[status]} {words[status]}" for status in words if counts[status]]
    shares = {
        (percent(feature.least_share), percent(feature.greatest_share))
        for feature in prediction.features
        if feature.status == "must"
    }
    each = f", each with {_between(*shares.pop())} of the norm" if len(shares) == 1 else ""
    if counts["must"] == total:
        return f"All {total} features must be used by a network of maximum margin{each}."
    if counts["must"] > 1:
        parts[0] += f" ({each.removeprefix(', ')})" if each else ""
    rest = f"; {counts['unknown']} are not determined" if counts["unknown"] else ""
    return f"Of {total} features, {', '.join(parts)} by a network of maximum margin{rest}."


def _between(low: str, high: str) -> str:
    return low if low == high else low + " to " + high


def percent(share: float | None) -> str:
    """Format a share in per cent; shares below 1 by more than rounding are not 100 %.

    Examples
    --------
    >>> [" ".join(percent(share).split()) for share in (0.99987, 1.0, 0.9999999, 0.0285714)]
    ['99.987 %', '100 %', '99.999 %', '2.8571 %']
    """
    if share is None or share != share:
        return "–"
    hundredths = 99.999 if 0.99999 <= share < 1 - 1e-9 else 100 * share
    return f"{hundredths:.5g}\N{NO-BREAK SPACE}%"


def claim_value(value: Any) -> str:
    """Format a claim's predicted or measured value."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(float(value), 6)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {claim_value(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(claim_value(entry) for entry in value) or "none"
    return str(value)


def outcome(claim: Claim) -> str:
    """Return the outcome of a claim as a word."""
    return claim.status


def _unbroken(written: Callable[..., str]) -> Callable[..., Markup]:
    """Return the filter that formats a number without line breaks."""

    def filtered(*arguments: Any) -> Markup:
        return Markup('<span class="num">{}</span>').format(written(*arguments))

    return filtered


@cache
def _environment() -> Environment:
    environment = page_environment()
    environment.filters.update(
        number=_unbroken(number),
        residue=_unbroken(residue),
        percent=_unbroken(percent),
        value=claim_value,
        outcome=outcome,
        between=_between,
    )
    return environment
