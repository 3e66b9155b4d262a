"""Pages of a paper's results by item: Markdown, and one HTML file with films."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go
from markupsafe import Markup, escape

from marginlens.figure_pages import figure_payload, page_payload, plotly_script
from marginlens.figures import DARK, LIGHT
from marginlens.files import write_whole
from marginlens.films import write_film
from marginlens.images import figure_images, missing, still
from marginlens.pages import page_environment
from marginlens.reproduce.morwani import Item

__all__ = ["write_item_page"]

EXPLORER = "http://127.0.0.1:8050"
"""Address at which ``marginlens explore`` serves its pages, unless told otherwise."""

_WIDTH = 800
"""Pixels of an image's width."""

Cell = float | int | str


def write_item_page(
    folder: Path,
    title: str,
    lead: str,
    items: Sequence[Item],
    questions: Sequence[tuple[str, str]],
    figures: Mapping[str, go.Figure],
    table: Sequence[Mapping[str, Cell]],
    runs: Mapping[str, Mapping[str, Cell]],
) -> Path:
    """Write ``results.md``, ``page.html`` and ``neurons.csv`` of a paper's results.

    Where images can be drawn (``marginlens[images]`` and a Chrome), the figures that items name are
    also written to ``figures/``, animated ones as GIF and others as PNG, and shown by ``results.md``.

    Parameters
    ----------
    folder
        Folder that the three files are written to.
    title, lead
        Heading, and the sentence below it, with the paper and the command.
    items
        Results in the paper's order.
    questions
        Pairs of a question and a paragraph that answers it.
    figures
        Figures by name; ``page.html`` draws those that an item names.
    table
        One row a neuron, for ``neurons.csv``.
    runs
        Cells of each run's row by its name.

    Returns
    -------
    Path
        ``results.md``.
    """
    images = _images(
        folder / "figures",
        {item.figure: figures[item.figure] for item in items if item.figure in figures},
    )
    write_whole(folder / "results.md", _markdown(title, lead, items, questions, images, runs))
    write_whole(folder / "page.html", _html(title, lead, items, questions, figures, runs))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_whole(folder / "neurons.csv", text.getvalue())
    return folder / "results.md"


def _markdown(
    title: str,
    lead: str,
    items: Sequence[Item],
    questions: Sequence[tuple[str, str]],
    images: Mapping[str, tuple[str, str]],
    runs: Mapping[str, Mapping[str, Cell]],
) -> str:
    lines = [f"# {title}", "", lead, ""]
    for question, answer in questions:
        lines += [f"**{question}** {answer}", ""]
    for number, item in enumerate(items, 1):
        lines += [f"## {number}. {item.heading}", "", item.statement, "", "```"]
        lines += [
            item.command,
            "```",
            "",
            "| quantity | ours | theirs | outcome |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {_cell(row.quantity)} | {_cell(row.ours)} | {_cell(row.theirs)} | {row.outcome} |"
            for row in item.rows
        ]
        lines.append("")
        if item.text:
            lines += [item.text, ""]
        if item.figure in images:
            file, words = images[item.figure]
            lines += [f"![{words}](figures/{file})", ""]
        if item.play:
            lines += [f"To play with it: `marginlens explore`, then <{EXPLORER}{item.play}>.", ""]
    lines += ["## Runs", "", *_runs_table(runs)]
    return "\n".join(lines) + "\n"


def _images(folder: Path, figures: Mapping[str, go.Figure]) -> dict[str, tuple[str, str]]:
    """Draw figures into a folder; return file and alternative text by name, or empty."""
    if missing(".gif") is not None:
        return {}
    folder.mkdir(exist_ok=True)
    result = {}
    stills = {name: figure for name, figure in figures.items() if not figure.frames}
    drawn = figure_images([still(one) for one in stills.values()], ".png", width=_WIDTH)
    for name, content in zip(stills, drawn, strict=True):
        write_whole(folder / f"{name}.png", content)
        result[name] = (f"{name}.png", _words(figures[name]))
    for name, figure in figures.items():
        if figure.frames:
            write_film(figure, folder / f"{name}.gif", width=_WIDTH)
            result[name] = (f"{name}.gif", f"Film: {_words(figure)}")
    return result


def _words(figure: go.Figure) -> str:
    """Title of a figure as plain text."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", figure.layout.title.text or "")).strip()


def _runs_table(runs: Mapping[str, Mapping[str, Cell]]) -> list[str]:
    columns = list(next(iter(runs.values())))
    lines = [f"| run | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for label, cells in runs.items():
        values = (_cell(cells[name]) for name in columns)
        lines.append(f"| {label} | {' | '.join(values)} |")
    return lines


def _html(
    title: str,
    lead: str,
    items: Sequence[Item],
    questions: Sequence[tuple[str, str]],
    figures: Mapping[str, go.Figure],
    runs: Mapping[str, Mapping[str, Cell]],
) -> str:
    drawn = {
        item.figure: figure_payload(figures[item.figure])
        for item in items
        if item.figure in figures
    }
    return (
        page_environment()
        .get_template("reproduce/item_page.html")
        .render(
            title=title,
            lead=lead,
            items=items,
            questions=[(question, _code(answer)) for question, answer in questions],
            figures=drawn,
            runs={
                label: [_cell(value) for value in cells.values()] for label, cells in runs.items()
            },
            explorer=EXPLORER,
            columns=list(next(iter(runs.values()))),
            palettes=(LIGHT, DARK),
            payload=page_payload(drawn),
            plotly=plotly_script(),
        )
    )


def _code(text: str) -> Markup:
    """Paragraph in which what stands between backticks is set as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def _cell(value: Cell) -> str:
    text = value if isinstance(value, str) else f"{value:.6g}"
    return text.replace("|", "\\|")
