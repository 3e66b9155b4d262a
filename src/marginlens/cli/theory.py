"""Verbs that compute: certify, path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import numpy as np
import typer

from marginlens.cli.app import app, out
from marginlens.cli.options import AsJson, Steps, TaskSpec, Width
from marginlens.cli.tables import Table
from marginlens.cli.text_output import (
    check_file,
    file_name,
    numbers,
    print_json,
    progress,
    write_figure,
    written,
)
from marginlens.display import residue

if TYPE_CHECKING:
    from marginlens.runs import Run
    from marginlens.theory import ParityVerification, PenaltyPath

_PANEL = "Theory, exactly"


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens certify A5\n\n  marginlens certify A5 --out a5.npz\n\n"
    "  marginlens certify a5.npz",
)
def certify(
    subject: Annotated[
        str, typer.Argument(metavar="TASK|FILE", help="A task, or a saved certificate.")
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File for table, network and distribution (.npz).", show_default="no file"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove a maximum margin from the table alone; exit code 1 if the bounds do not meet."""
    from marginlens.tasks import task
    from marginlens.theory import certify_parity, is_certificate_file, predict, verify_file

    if file is not None:
        check_file(file, suffixes=(".npz",))
    if is_certificate_file(subject):
        if file is not None:
            raise ValueError("--out writes the certificate of a task; a saved one is only checked")
        found = verify_file(subject)
    else:
        problem = task(subject)
        if problem.subset is not None:
            if file is not None:
                raise ValueError("a parity has no file: its certificate is brute force; omit --out")
            _print_parity(problem.name, certify_parity(problem.size, len(problem.subset)), as_json)
        prediction = predict(problem)
        certificate = prediction.certificate
        if certificate is None:
            raise ValueError(f"there is no margin to certify. {prediction.note}")
        found = certificate.verify()
        if file is not None:
            certificate.save(file)
    if as_json:
        print_json({**vars(found), "gap": found.gap, "holds": found.holds()})
        raise typer.Exit(0 if found.holds() else 1)
    table = Table("quantity", "value", title=f"{subject}: certificate, from the Cayley table alone")
    for words, value in (
        (
            f"margin of a network of {found.neurons} neurons on all {found.rows} rows: γ* is at least",
            f"{found.lower:.12g}",
        ),
        ("value of the best neuron against the distribution: γ* is at most", f"{found.upper:.12g}"),
        ("what the network's best neuron earns of it", f"{found.attained:.12g}"),
        ("relative gap", residue(found.gap)),
        ("largest residual of the computation", residue(found.residual)),
    ):
        table.add_row(words, value)
    out.print(table)
    _print_holds(found.holds())
    raise typer.Exit(0 if found.holds() else 1)


def _print_holds(holds: bool) -> None:
    out.print(
        "the bounds meet" if holds else "the bounds do not meet", style="" if holds else "red"
    )


def _print_parity(name: str, found: ParityVerification, as_json: bool) -> NoReturn:
    if as_json:
        print_json({**vars(found), "gap": found.gap, "holds": found.holds()})
        raise typer.Exit(0 if found.holds() else 1)
    table = Table("quantity", "value", title=f"{name}: certificate, by brute force")
    table.add_row(
        f"margin of {found.neurons} neurons on all {found.rows} inputs: γ* is at least",
        f"{found.lower:.12g}",
    )
    table.add_row(
        f"best neuron, from the means of all {found.monomials} monomials: γ* is at most",
        f"{found.upper:.12g}",
    )
    table.add_row("fewer neurons reach it", "no" if found.necessary else "not excluded")
    out.print(table)
    _print_holds(found.holds())
    raise typer.Exit(0 if found.holds() else 1)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens path A5 --figure a5.html\n\n"
    "  marginlens path A5 --train --strengths 1e-4,1e-5,1e-6 --out runs/A5-path\n\n"
    "Ctrl-C keeps what was trained; the same command goes on from there.",
)
def path(
    spec: TaskSpec,
    strengths: Annotated[
        str | None,
        typer.Option(
            help="Strengths to print (and train at), for example 1e-3,1e-4.",
            show_default="5 below the collapse",
        ),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train a network at each strength.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the runs.", show_default="runs/TASK-path"),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="File for the figure, with trained networks: .html, or .svg, .pdf, .png (with pip "
            "install 'marginlens[images]').",
            show_default="no figure",
        ),
    ] = None,
    width: Width = None,
    steps: Steps = None,
    as_json: AsJson = False,
) -> None:
    """Loss, norm, margin and shares at every strength of the penalty, down to the limit."""
    from marginlens.tasks import task
    from marginlens.theory import penalty_path

    if figure is not None:
        check_file(figure)
    if not train and (folder or width or steps) is not None:
        raise ValueError("--out, --width and --steps belong to training; add --train")
    chosen = task(spec)
    if train:
        chosen.require_rows()
    whole = penalty_path(chosen)
    edge = float(whole.strengths.max())
    asked = numbers(strengths) if strengths else [float(f"{edge / d:.1e}") for d in _BELOW]
    points = penalty_path(chosen, asked)
    runs: list[Run] = []
    target = folder or Path("runs") / f"{file_name(chosen.name)}-path"
    if train:
        from marginlens.runs import train_at
        from marginlens.training import recipe_for

        for strength in points.strengths.tolist():
            steps_to_do = recipe_for(chosen, strength=strength, width=width, steps=steps).steps
            with progress(steps_to_do, whole.limit.margin, quiet=as_json) as show:
                run = train_at(
                    chosen, strength, out=target, progress=show, width=width, steps=steps
                )
            runs.append(run)
            if run.training.stopped == "interrupted":
                break
    if figure is not None:
        from marginlens.figures import penalty_path_figure

        write_figure(penalty_path_figure(whole, runs), figure)
    if as_json:
        print_json(_path_record(points, runs))
        return
    out.print(_path_table(points, runs))
    if train:
        out.print(f"the runs are in {target}", soft_wrap=True)
    written(figure)


_BELOW = (3, 10, 30, 100, 300)  # default strengths: the collapse's, divided by these


def _path_record(path: PenaltyPath, runs: list[Run]) -> dict[str, Any]:
    columns = {name: column.tolist() for name, column in path.columns().items()}
    columns["margin_ratio"] = [None if r != r else r for r in columns["margin_ratio"]]
    return {
        "task": path.limit.task,
        "margin": path.limit.margin,
        "collapse_penalty": path.limit.collapse_penalty,
        "predicted": columns,
        "trained": [
            {
                "strength": run.recipe.strength,
                "loss": run.measurement.objective(run.recipe.strength),
                "cross_entropy": run.measurement.cross_entropy,
                "norm": run.measurement.norm,
                "margin": run.measurement.margin,
                "margin_ratio": run.verdict.margin_ratio,
                "shares": run.measurement.share.tolist(),
                "holds": run.verdict.holds,
            }
            for run in runs
        ],
    }


def _path_table(path: PenaltyPath, runs: list[Run]) -> Table:
    title = f"{path.limit.task}: the minimum at each strength" + (", and trained" if runs else "")
    table = Table("strength", "", "loss", "norm", "share of γ*", "shares of the norm", title=title)
    trained = {run.recipe.strength: run for run in runs}

    def shares(values: np.ndarray) -> str:
        return " ".join(f"{value:.4f}" for value in values[:8]) + (" …" if len(values) > 8 else "")

    for i, strength in enumerate(path.strengths.tolist()):
        ratio = path.margin_ratio[i]
        table.add_row(
            f"{strength:g}",
            "predicted",
            f"{path.loss[i]:.6g}",
            f"{path.norm[i]:.6g}",
            "–" if np.isnan(ratio) else f"{ratio:.5f}",
            shares(path.shares[i]),
        )
        run = trained.get(strength)
        if run is None:
            continue
        found, ratio = run.measurement, run.verdict.margin_ratio
        table.add_row(
            "",
            "trained",
            f"{found.objective(strength):.6g}",
            f"{found.norm:.6g}",
            "–" if ratio is None else f"{ratio:.5f}",
            shares(found.share) if ratio is not None else "–",
        )
    return table
