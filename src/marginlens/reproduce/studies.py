"""Studies: systems of other papers as runs with expected results."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from marginlens.files import write_whole
from marginlens.pages import write_figure
from marginlens.reproduce.page import claim_lines
from marginlens.runs import Run, follow, is_finished, load_run, resume
from marginlens.tasks import task
from marginlens.training import Recipe, recipe_for
from marginlens.verdict import Claim, Verdict

__all__ = ["Study", "StudyInterrupted", "run_study", "write_study"]

Runs = Mapping[str, Run]
Shown = Callable[[str, Recipe], Callable[[int, dict[str, np.ndarray]], None] | None]


class StudyInterrupted(KeyboardInterrupt):
    """Interruption of a study by Ctrl-C; finished training is kept."""


@dataclass(frozen=True)
class Study:
    """System of another paper: its runs and their expected results.

    Its TOML file has a table ``recipe`` of what all runs share, a table ``runs`` with one table of
    changes for each run, and a table ``full`` of what the paper has larger.

    Attributes
    ----------
    name, question, source
        Name such as ``"nanda"``, the question, and the paper.
    judge
        Function from the runs by name to claims.
    rows
        Function from a run to the cells of its table row.
    draw
        Function from the runs to named figures.
    page
        From runs, verdict, figures by name and a folder to the page that it writes there; ``None``:
        the table of claims and the table of runs.
    """

    name: str
    question: str
    source: str
    judge: Callable[[Runs], list[Claim]]
    rows: Callable[[Run], dict[str, float | str]]
    draw: Callable[[Runs], Iterable[tuple[str, go.Figure]]]
    page: Callable[[Runs, Verdict, Mapping[str, go.Figure], Path], Path] | None = None

    @property
    def toml(self) -> str:
        """Text of the study's TOML file."""
        return resources.files("marginlens.reproduce").joinpath(f"{self.name}.toml").read_text()

    def recipes(self, *, full: bool = False, **changes: Any) -> dict[str, Recipe]:
        """Return every run's recipe; ``full`` uses the paper's sizes.

        Raises
        ------
        ValueError
            A field is invalid.
        """
        data = tomllib.loads(self.toml)
        shared = data.get("recipe", {})
        result = {}
        runs = data["runs"] | (data.get("only_full", {}) if full else {})
        for label, own in runs.items():
            merged = shared | own | (data.get("full", {}) if full else {}) | changes
            fields: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in merged.items()
            }
            spec = str(fields.pop("task"))
            result[label] = recipe_for(task(spec), **fields)
        return result

    def verdict(self, runs: Runs) -> Verdict:
        """Return the comparison of the runs with the expected results."""
        return Verdict(self.name, None, None, tuple(self.judge(runs)))


def run_study(
    study: Study,
    out: str | Path,
    *,
    full: bool = False,
    progress: Shown | None = None,
    **changes: Any,
) -> dict[str, Run]:
    """Train the missing runs of a study; finished runs are read, interrupted ones resumed.

    Parameters
    ----------
    study
        Study to run, with its recipes.
    out
        Folder with one subfolder per run.
    full, changes
        Paper's sizes and changed fields, as for :meth:`Study.recipes`.
    progress
        Function from a run's name and recipe to a callback for its records.

    Raises
    ------
    ValueError
        A folder holds a run by another recipe.
    StudyInterrupted
        Ctrl-C was pressed; the same call resumes the study.
    """
    runs = {}
    for label, recipe in study.recipes(full=full, **changes).items():
        shown = None if progress is None else progress(label, recipe)
        run = _one(Path(out) / label, recipe, shown)
        if run.training.stopped == "interrupted":
            raise StudyInterrupted(label)
        runs[label] = run
    return runs


def _one(folder: Path, recipe: Recipe, shown: Any) -> Run:
    if not (folder / "recipe.toml").is_file():
        return follow(recipe, task(recipe.task), out=folder, progress=shown)
    there = Recipe.from_toml((folder / "recipe.toml").read_text())
    if there != recipe:
        differs = [
            name for name in Recipe.model_fields if getattr(there, name) != getattr(recipe, name)
        ]
        raise ValueError(
            f"{str(folder)!r} holds a run with another {' and '.join(differs)}; choose another --out"
        )
    if is_finished(folder):
        return load_run(folder)
    return resume(folder, progress=lambda *_: shown)


def write_study(
    study: Study, verdict: Verdict, runs: Runs, folder: Path, *, full: bool = False
) -> Path:
    """Write ``results.md`` (claims and a row for each run) and the figures beside it.

    Parameters
    ----------
    study
        Study that was run.
    verdict
        Claims on the runs.
    runs
        Runs of the study by name.
    folder
        Folder that receives the files.
    full
        Whether the runs have the paper's sizes.
    """
    drawn = dict(study.draw(runs))
    if study.page is not None:
        return study.page(runs, verdict, drawn, folder)
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    for name, figure in drawn.items():
        write_figure(figure, figures / f"{name}.html")
    option = " --full" if full else ""
    lines = [
        f"# {study.name}: {study.question}",
        "",
        f"After {study.source}. `marginlens reproduce {study.name}{option}` gives this page; its runs:",
        "",
        "```toml",
        study.toml.strip(),
        "```",
        "",
        *claim_lines(verdict),
        "",
        "## Runs",
        "",
    ]
    rows = {label: study.rows(run) for label, run in runs.items()}
    columns = [*dict.fromkeys(name for row in rows.values() for name in row)]
    lines += [f"| run | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for label, row in rows.items():
        cells = [_cell(row.get(name, "–")) for name in columns]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    write_whole(folder / "results.md", "\n".join(lines) + "\n")
    return folder / "results.md"


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
