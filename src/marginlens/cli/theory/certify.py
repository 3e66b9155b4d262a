"""The command ``theory certify``: proof of a maximum margin from the task's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from marginlens.cli.app import out, theory_commands
from marginlens.cli.arguments import AsJson
from marginlens.cli.completion import complete_task
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_json
from marginlens.display import residue

if TYPE_CHECKING:
    from marginlens.theory import ParityVerification


@theory_commands.command(
    examples=("theory certify A5", "theory certify A5 --out a5.npz", "theory certify a5.npz"),
    notes="Exit code 1 if the lower and the upper bound do not meet.",
)
def certify(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="TASK|FILE",
            help="Task, for example A5; or a certificate that --out saved, to check it again.",
            autocompletion=complete_task,
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File (.npz) for the certificate: table, network and distribution of the rows.",
            show_default="no file",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove the maximum margin of a task from its table, by a lower and an upper bound that meet."""
    from marginlens.tasks import task
    from marginlens.theory import certify_parity, is_certificate_file, predict, verify_file

    if file is not None:
        check_file(file, suffixes=(".npz",))
    if is_certificate_file(subject):
        if file is not None:
            raise ValueError(
                f"--out expects a task to certify, got the certificate {subject!r}; for example A5"
            )
        proof = verify_file(subject)
    else:
        problem = task(subject)
        if problem.subset is not None:
            if file is not None:
                raise ValueError(
                    f"--out expects a group, got {problem.name}, which is certified by brute force; "
                    "for example A5"
                )
            _print_parity(problem.name, certify_parity(problem.size, len(problem.subset)), as_json)
        prediction = predict(problem)
        certificate = prediction.certificate
        if certificate is None:
            raise ValueError(
                f"theory certify expects a task whose maximum margin is known, got {problem.name}; "
                f"for example A5. {prediction.note}"
            )
        proof = certificate.verify()
        if file is not None:
            certificate.save(file)
    if as_json:
        print_json({**vars(proof), "gap": proof.gap, "holds": proof.holds()})
        raise typer.Exit(0 if proof.holds() else 1)
    table = Table("quantity", "value", title=f"{subject}: certificate, from the Cayley table alone")
    for label, value in (
        (
            f"lower bound of γ*: margin of {proof.neurons} neurons on all {proof.rows} rows",
            f"{proof.lower:.12g}",
        ),
        (
            "upper bound of γ*: value of the best neuron against the distribution",
            f"{proof.upper:.12g}",
        ),
        ("value of the network's best neuron", f"{proof.attained:.12g}"),
        ("relative gap", residue(proof.gap)),
        ("largest residual of the computation", residue(proof.residual)),
    ):
        table.add_row(label, value)
    out.print(table)
    _print_holds(proof.holds())
    raise typer.Exit(0 if proof.holds() else 1)


def _print_holds(holds: bool) -> None:
    out.print(
        "the bounds meet" if holds else "the bounds do not meet", style="" if holds else "red"
    )


def _print_parity(name: str, proof: ParityVerification, as_json: bool) -> NoReturn:
    if as_json:
        print_json({**vars(proof), "gap": proof.gap, "holds": proof.holds()})
        raise typer.Exit(0 if proof.holds() else 1)
    table = Table("quantity", "value", title=f"{name}: certificate, by brute force")
    table.add_row(
        f"lower bound of γ*: margin of {proof.neurons} neurons on all {proof.rows} inputs",
        f"{proof.lower:.12g}",
    )
    table.add_row(
        f"upper bound of γ*: best neuron, from the means of all {proof.monomials} monomials",
        f"{proof.upper:.12g}",
    )
    table.add_row("fewer neurons reach γ*", "no" if proof.necessary else "not excluded")
    out.print(table)
    _print_holds(proof.holds())
    raise typer.Exit(0 if proof.holds() else 1)
