"""Terminal output of predictions, verdicts, runs, JSON, figures and progress."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marginlens.cli.app import err, out
from marginlens.cli.console import printable, styled
from marginlens.cli.tables import Facts, Table
from marginlens.display import residue

if TYPE_CHECKING:
    import numpy as np
    import plotly.graph_objects as go
    from rich.progress import Progress

    from marginlens.runs import Run
    from marginlens.theory import Prediction
    from marginlens.verdict import Verdict

__all__ = [
    "check_file",
    "counting",
    "file_name",
    "numbers",
    "print_exact",
    "print_json",
    "print_last",
    "print_prediction",
    "print_run",
    "print_verdict",
    "progress",
    "quoted",
    "text",
    "write_figure",
    "written",
]

_MOST_ITEMS = 8
_LONGEST_QUOTE = 60
"""Limits of a user's word in an error message."""


def file_name(name: str) -> str:
    """Turn the name of a task into a name for a folder.

    Parameters
    ----------
    name
        Name of a task, such as ``x/y mod 97``.

    Examples
    --------
    >>> file_name("x/y mod 97"), file_name("PSL(2,7)")
    ('x-over-y-mod-97', 'PSL-2-7')
    """
    if " mod " in name and not name.startswith("<"):  # x+y, x-y and x/y are three operations
        for sign, word in (("+", " plus "), ("-", " minus "), ("/", " over ")):
            name = name.replace(sign, word)
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "task"


def numbers(text: str) -> list[float]:
    """Read numbers that are separated by commas.

    Parameters
    ----------
    text
        Numbers separated by commas, such as ``1e-3,1e-4``.

    Raises
    ------
    ValueError
        If a part is not a number.

    Examples
    --------
    >>> numbers("1e-3, 2")
    [0.001, 2.0]
    """
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(
            f"expected numbers separated by commas, got {quoted(text)}; for example 1e-3,1e-4"
        ) from None


def quoted(text: str) -> str:
    """Quote a word of the command line, shortened to 8 items and 60 characters.

    Parameters
    ----------
    text
        Word as the user wrote it.

    Examples
    --------
    >>> quoted("1,2"), quoted("1,2,3,4,5,6,7,8,9,10")
    ("'1,2'", "'1,2,3,4,5,6,7,8,...'")
    """
    items = text.split(",")
    if len(items) > _MOST_ITEMS:
        text = ",".join([*items[:_MOST_ITEMS], "..."])
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 3]}...")


def check_file(path: Path, *, suffixes: tuple[str, ...] | None = None) -> None:
    """Refuse a file that could not be written, before any work starts.

    Parameters
    ----------
    path
        File that a command is to write.
    suffixes
        Endings that the file may have; by default those of figures.

    Raises
    ------
    ValueError
        If the file has another ending, is a folder or lies in a missing folder, or if images cannot
        be drawn on this machine.
    """
    if suffixes is None:
        from marginlens.images import IMAGES as suffixes  # noqa: N811  (plotly takes a while)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        known = " or ".join((", ".join(suffixes[:-1]), suffixes[-1])).removeprefix(" or ")
        raise ValueError(
            f"expected a file that ends in {known}, got {str(path)!r}; for example "
            f"{path.stem or 'file'}{suffixes[0]}"
        )
    if path.is_dir():
        raise ValueError(
            f"expected a file, got the folder {str(path)!r}; for example {path.stem}-1{suffix}"
        )
    if not path.absolute().parent.is_dir():
        raise ValueError(
            f"expected a file in a folder that exists, got {str(path)!r}; for example {path.name}"
        )
    if suffix in (".svg", ".pdf", ".png", ".mp4", ".gif"):
        from marginlens.images import missing

        reason = missing(suffix)
        if reason is not None:
            raise ValueError(reason)


def write_figure(figure: go.Figure, path: Path) -> None:
    """Write a figure as a self-contained page or as an image, by the ending of the file.

    Parameters
    ----------
    figure
        Plotly figure to write.
    path
        File that ends in .html, .svg, .pdf or .png.
    """
    from marginlens import images

    check_file(path)
    images.write_figure(figure, path)


def written(path: Path | None) -> None:
    """Print the name of a file that was written.

    Parameters
    ----------
    path
        File that was written, if any.
    """
    if path is not None:
        out.print(f"wrote {path}", soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value as JSON for programs; NaN and infinite numbers become null.

    Parameters
    ----------
    value
        Value made of dictionaries, lists, texts and numbers.
    """
    sys.stdout.write(json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def print_exact(text: str) -> None:
    """Print a document unchanged; on a terminal control characters are escaped.

    Parameters
    ----------
    text
        Document with its line ends.
    """
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)


def _finite(value: Any) -> Any:
    """Replace NaN and infinite numbers, which JSON lacks, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, list | tuple) else value


def text(value: Any) -> str:
    """Write a value for a cell of a table; a missing value becomes a dash.

    Parameters
    ----------
    value
        Number or text, or None if the value is missing.
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.7g}"
    return str(value)


def print_prediction(prediction: Prediction, *, brief: bool = False) -> None:
    """Print a prediction with its table of features.

    Parameters
    ----------
    prediction
        Prediction for a task and a recipe.
    brief
        Whether to leave out the table of features.
    """
    at = prediction.at_penalty
    rows: list[tuple[str, Any]] = [
        ("maximum margin γ*" if prediction.proved else "largest margin found", prediction.margin),
        ("covered by" if prediction.proved else "rests on", prediction.theorem),
        ("width that suffices", prediction.sufficient_width),
        ("collapse above strength", prediction.collapse_penalty),
    ]
    if prediction.theorem9_applies and "Theorem 9" not in prediction.theorem:
        rows.append(("also covered by", "Morwani et al. 2024, Theorem 9"))
    if prediction.certificate is not None:
        rows.append(("certificate's relative gap", residue(prediction.certificate.gap)))
    if prediction.penalty is not None and at is not None:
        words = f"loss {at.loss:.6g}, norm {at.norm:.6g}, margin {at.margin:.6g}"
        if at.margin_ratio is not None:
            words += f" ({at.margin_ratio:.5f} of γ*)"
        rows.append((f"at strength {prediction.penalty.strength:g}", words))
    heading = f", activation {prediction.activation}: the prediction"
    out.print(styled((prediction.task, "bold"), heading))
    if prediction.task_note:
        out.print(prediction.task_note)
    out.print(Facts([(name, text(value)) for name, value in rows]))
    if prediction.note:
        out.print(prediction.note)
    if brief or not prediction.features:
        return
    table = Table(
        "feature", "dimension", "type", "status", "share in the limit", "at this strength"
    )
    for feature in prediction.features:
        low, high = feature.least_share, feature.greatest_share
        share = "–" if prediction.certificate is None else "not determined"
        if low is not None and high is not None:
            share = f"{low:.6f}" if high - low < 5e-7 else f"{low:.6f} to {high:.6f}"
        table.add_row(
            feature.name,
            str(feature.dimension),
            feature.type,
            feature.status,
            share,
            f"{at.shares[feature.name]:.6f}" if at and at.shares else "–",
        )
    out.print(table)


def print_verdict(verdict: Verdict) -> None:
    """Print the summary, each claim with its status, and the premises that are not met.

    Parameters
    ----------
    verdict
        Verdict on a run.
    """
    from marginlens.verdict.record import MARKS

    styles = {"passes": "green", "contradicted": "red", "premise not met": "yellow"}
    out.print(verdict.summary, style=styles.get(verdict.status), soft_wrap=True)
    table = Table(
        "", "claim", "predicted", "measured", "tolerance", title=f"{verdict.task}: claim by claim"
    )
    for claim in verdict.claims:
        style = styles.get(claim.status, "dim")
        tolerance = text(claim.tolerance) + (" relative" if claim.relative else "")
        table.add_row(
            styled((MARKS[claim.status], style)),
            claim.statement,
            text(claim.predicted),
            text(claim.measured),
            tolerance,
        )
    out.print(table)
    for premise in verdict.premises:
        if premise.met is not True and premise.name != "theorem":
            words = "not met" if premise.met is False else "not known"
            out.print(f"{words}: {premise.sentence}", soft_wrap=True)
    if verdict.status == "passes":
        out.print(verdict.count, style="green")
    else:
        out.print(verdict.counts)


def members_lines(run: Run) -> list[str]:
    """Summarize an ensemble: members by end of training, accuracy and share of the margin.

    Parameters
    ----------
    run
        Run with two or more members.
    """
    training, margin = run.training, run.prediction.margin
    lines = []
    for reason in dict.fromkeys(training.ends):
        steps = [
            s for s, end in zip(training.end_steps, training.ends, strict=True) if end == reason
        ]
        least, most = min(steps), max(steps)
        when = f"step {least}" if least == most else f"steps {least} to {most}"
        if reason == "diverged":
            rate = run.recipe.learning_rate / 10
            reason = f"diverged; the steps before are kept; try --learning-rate {rate:g}"
        lines.append(f"{len(steps)} of {len(training.ends)} members ended at {when}: {reason}")
    last = training.history["accuracy"][-1]
    right = int((last == 1).sum())
    population = run.recipe.is_population
    what = "input" if population else "row that they were trained on"
    words = f"{right} of {len(last)} answer every {what} correctly"
    if "test_accuracy" in training.history:
        held = int((training.history["test_accuracy"][-1] == 1).sum())
        words += f", {held} every row held back"
    if margin is not None and population:
        shares = sorted(training.history["normalized_margin"][-1] / margin)
        words += f"; share of γ*: {shares[0]:.4f} to {shares[-1]:.4f}"
    lines += [
        words,
        "the verdict and the figures are of the first member; the history has all members",
    ]
    return lines


def print_last(run: Run, *, as_json: bool = False) -> None:
    """Print the last row of the history, for a network whose neurons are not measured.

    Parameters
    ----------
    run
        Run that has finished its training.
    as_json
        Whether to print JSON in place of a table.
    """
    rows = {name: float(values[-1]) for name, values in run.history.items() if len(values)}
    last = {name: value for name, value in rows.items() if not math.isnan(value)}
    if as_json:
        print_json(last)
        return
    table = Table("quantity", "value", title="last row of the history")
    for name, value in last.items():
        table.add_row(name.replace("_", " "), text(value))
    out.print(table)


def print_run(run: Run, folder: Path, *, as_json: bool, page: bool) -> None:
    """Print the end of the training, the verdict, and the folder of the run.

    Parameters
    ----------
    run
        Run that has finished its training.
    folder
        Folder of the run.
    as_json
        Whether to print JSON in place of text.
    page
        Whether the folder has a report.
    """
    training = run.training
    if as_json:
        if not run.is_measured:
            print_last(run, as_json=True)
        else:
            print_json(run.verdict.to_dict())
        return
    compiling = ""
    if training.compile_seconds:
        compiling = f", {training.compile_seconds:.1f} s of it compiling the step"
    out.print(
        f"trained {training.steps[-1] if len(training.steps) else 0} steps in "
        f"{training.seconds:.1f} s{compiling}; stopped: {training.stopped}"
    )
    if not run.is_measured:
        print_last(run)
    else:
        print_verdict(run.verdict)
    if run.recipe.members > 1:
        out.print("\n".join(members_lines(run)))
    out.print(f"everything is in {folder}", soft_wrap=True)
    if page:
        out.print(f"open {folder / 'report.html'}", soft_wrap=True)


@contextmanager
def progress(
    steps: int, margin: float | None, minimum: float | None = None, *, quiet: bool
) -> Iterator[Callable[[int, dict[str, np.ndarray]], None] | None]:
    """Show a progress bar of a training with loss, accuracy and margin of the worst member.

    Parameters
    ----------
    steps
        Step limit of the training.
    margin
        Maximum margin γ*, in units of which margins are shown if it is known.
    minimum
        Known minimum of the loss; with it the relative excess of the loss is shown.
    quiet
        Whether to show no bar.

    Yields
    ------
    function
        Function of a step and a row of the history that updates the bar; None if quiet.
    """
    if quiet:
        yield None
        return
    # where there is no terminal it would leave an empty line, before an error that is one line
    with _bar("training", "{task.fields[now]}", disable=not err.is_terminal) as bar:
        job = bar.add_task("training", total=steps, now="")

        def show(step: int, row: dict[str, np.ndarray]) -> None:
            least = float(row["normalized_margin"].min())
            share = f"margin {least:.3g}" if margin is None else f"margin {least / margin:.4f} γ*"
            words = f"loss {row['loss'].max():.5g}  accuracy {row['accuracy'].min():.3f}  {share}"
            if minimum is not None:
                words += f"  excess {row['loss'].max() / minimum - 1:.1e}"
            if "upper_bound" in row:  # the margin itself is trained
                words = f"margin {least:.5g}" + (
                    "" if margin is None else f", {least / margin:.4f} γ*"
                )
                bound = float(row["upper_bound"].min())
                if bound == bound:
                    words += f"  γ* ≤ {bound:.5g}"
                    words += "" if margin is None else f", {bound / margin:.4f} γ*"
            bar.update(job, completed=step, now=words)

        yield show


@contextmanager
def counting(words: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar that counts finished items; on a terminal only.

    Parameters
    ----------
    words
        Plural of the items, such as "groups".
    quiet
        Whether to show no bar.

    Yields
    ------
    function
        Function of the number of finished items and of all items that updates the bar.
    """
    with _bar(words, disable=quiet or not err.is_terminal) as bar:
        job = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(job, completed=done, total=total)


def _bar(words: str, *details: str, disable: bool = False) -> Progress:
    """Progress bar with a count, details, and the time that remains."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = [TextColumn(part, markup=False) for part in (words, *details)]
    return Progress(
        columns[0],
        BarColumn(),
        MofNCompleteColumn(),
        *columns[1:],
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=disable,
    )
