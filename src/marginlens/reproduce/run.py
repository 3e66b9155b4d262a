"""Execution of a reproduction, from its sweep to its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marginlens.files import write_whole
from marginlens.pages import write_figure
from marginlens.reproduce.page import claim_lines
from marginlens.reproduce.registry import Reproduction
from marginlens.sweeps import TABLES, Results, run_sweep
from marginlens.verdict import Verdict

__all__ = ["reproduce", "write_page"]


def reproduce(what: Reproduction, out: str | Path, **options: Any) -> Verdict:
    """Run a reproduction's sweep and compare its results with the expected ones.

    Parameters
    ----------
    what
        Reproduction to run, from the registry.
    out
        Folder of the sweep.
    options
        Options that :func:`marginlens.sweeps.run_sweep` accepts.

    Raises
    ------
    ValueError
        The sweep is refused by :func:`marginlens.sweeps.run_sweep`.
    """
    sweep = options.pop("sweep", None) or what.sweep()
    run_sweep(sweep, out, **options)
    return what.verdict(Results(out))


def write_page(what: Reproduction, verdict: Verdict, results: Results) -> Path:
    """Write ``results.md`` with claims and tables, and the figures beside it.

    They lie in the sweep's folder; the figures, each a page that needs nothing else, in
    ``figures/``.

    Parameters
    ----------
    what
        Reproduction that was run.
    verdict
        Claims on the results.
    results
        Results of the sweep, whose folder receives the files.
    """
    folder = results.folder
    lines = [
        f"# {what.name}: {what.question}",
        "",
        f"After {what.source}. `marginlens reproduce {what.name}` gives this page; the sweep is",
        "",
        "```toml",
        (folder / "sweep.toml").read_text().strip(),
        "```",
        "",
        *claim_lines(verdict),
    ]
    lines += ["", "## Results", ""]
    for name in what.tables:
        lines.append(TABLES[name](results, None).to_markdown())
    for failure in results.failures:
        lines.append(f"Failed: {failure['configuration']}: {failure['reason']}")
    write_whole(folder / "results.md", "\n".join(lines).rstrip() + "\n")
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    for name, figure in what.draw(results):
        write_figure(figure, figures / f"{name}.html")
    return folder / "results.md"
