"""Verbs that search by computing: what they find is a maximum found, not one proved."""

from __future__ import annotations

from typing import Annotated

import typer

from marginlens.cli.app import app, err, out
from marginlens.cli.options import AsJson, FigureFile, TaskSpec
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, counting, print_json, write_figure, written

_PANEL = "Found by search"
_GREATEST_COUNT = 1000  # widths
_GREATEST_ORDER = 2000  # of a cyclic group


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens widths C5\n\n"
    "  marginlens widths C7 --widths 4-20 --seeds 32 --figure widths.html",
)
def widths(
    spec: TaskSpec,
    chosen_widths: Annotated[
        str | None,
        typer.Option(
            "--widths",
            help="Widths, for example 2,4,8 or 2-18.",
            show_default="20 up to the sufficient width",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Networks at each width.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each of three stages.")] = 1500,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """What networks narrower than the sufficient width still reach, by training many."""
    import numpy as np

    from marginlens.figures import widths_figure
    from marginlens.runs import train_narrow
    from marginlens.tasks import task
    from marginlens.theory import predict

    problem = task(spec)
    problem.require_rows()
    if figure is not None:
        check_file(figure)
    sufficient = predict(problem).sufficient_width or 1
    step = max(1, sufficient // 20)
    asked = (
        _ranges(chosen_widths)
        if chosen_widths
        else sorted({*range(step, sufficient + 1, step), sufficient})
    )
    total = len(set(asked))
    with counting("widths", quiet=as_json) as show:
        found = train_narrow(
            problem, asked, seeds=seeds, steps=steps, progress=lambda done: show(done, total)
        )
    if figure is not None:
        write_figure(widths_figure(found), figure)
    if as_json:
        print_json(
            {
                "task": problem.name,
                "margin": found.prediction.margin,
                "sufficient_width": sufficient,
                "widths": found.widths.tolist(),
                "margin_ratio": found.margin_ratio.tolist(),
                "best_counts": found.best_counts.tolist(),
            }
        )
        return
    table = Table(
        "width",
        "best share of γ*",
        "median",
        "neurons by feature, in the best",
        title=f"{problem.name}: found by training {seeds} networks a width; {sufficient} suffice",
    )
    medians = np.median(found.margin_ratio, axis=1)
    for i, width in enumerate(found.widths.tolist()):
        counts = " ".join(str(count) for count in found.best_counts[i].tolist() if count)
        table.add_row(str(width), f"{found.best[i]:.6f}", f"{medians[i]:.4f}", counts or "–")
    out.print(table)
    out.print("numerical: maxima found, not proved", style="dim")
    written(figure)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens waveform 71\n\n"
    '  marginlens waveform 23 --activation "|x|^1.5" --starts 100\n\n'
    "  marginlens waveform runs/C23-relu --figure waveform.html",
)
def waveform(
    subject: Annotated[
        str, typer.Argument(metavar="P|FOLDER", help="A prime, or a run on a cyclic group of one.")
    ],
    activation: Annotated[
        str, typer.Option(help="relu, abs, leaky_relu(0.1), relu^q, |x|^q or x^k.")
    ] = "relu",
    starts: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of ascents from random neurons.", show_default="by the size"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random starts.")] = 0,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """The best single neuron of addition modulo a prime; for a run, how much of it that explains."""
    import numpy as np

    from marginlens.theory import best_neuron, harmonics

    if figure is not None:
        check_file(figure)
    fit = None
    if subject.isdecimal():
        if len(subject) > 4 or int(subject) > _GREATEST_ORDER:
            raise ValueError(
                f"expected a prime of at most {_GREATEST_ORDER}, got {subject[:40]}; for example 71"
            )
        if figure is not None:
            raise ValueError("the figure overlays a run's neurons; name a run's folder")
        with err.status("climbing from many starts ..."):
            neuron = best_neuron(int(subject), activation, starts=starts, seed=seed)
    else:
        from marginlens.figures import waveform_figure
        from marginlens.measures import fit_waveform
        from marginlens.runs import load_run

        run = load_run(subject)
        found = run.prediction.waveform
        if found is None:
            raise ValueError(
                f"no waveform is predicted for {run.task.name} with {run.recipe.activation}: that is "
                "for addition modulo a prime, and activations other than x^2"
            )
        neuron, fit = found, fit_waveform(run.network, run.task, found)
        drawn = None if figure is None else waveform_figure(run)
        if figure is not None and drawn is not None:
            write_figure(drawn, figure)
    powers = {slot: harmonics(getattr(neuron, slot), 1) for slot in "uvw"}
    if as_json:
        record = neuron.to_dict() | {
            "power": {slot: found.power.tolist() for slot, found in powers.items()}
        }
        if fit is not None:
            record |= {
                "explained": fit.total(),
                "explained_by_cosine": fit.total("cosine"),
                "live": int(fit.live.sum()),
            }
        print_json(record)
        return
    title = f"addition modulo {neuron.order}, {neuron.activation}: the best neuron"
    table = Table("quantity", "value", title=title)
    table.add_row("value: γ* if no neuron is better", f"{neuron.value:.12g}")
    table.add_row("how it was found", neuron.describe())
    table.add_row("stationarity", f"{neuron.stationarity:.1e}")
    table.add_row("pairs with preactivation 0", f"{neuron.kinks} of {neuron.order**2}")
    shown = np.arange(1, min(7, (neuron.order - 1) // 2) + 1)
    for slot in "uvw":
        words = ", ".join(
            f"{'' if m == 1 else m}k {powers[slot].power[m - 1]:.4f}" for m in shown.tolist()
        )
        table.add_row(f"power of {slot}", words)
    if fit is not None:
        table.add_row(
            f"variance of {int(fit.live.sum())} live neurons explained by this waveform",
            f"{fit.total():.4%}",
        )
        table.add_row("by the best pure cosines", f"{fit.total('cosine'):.4%}")
    out.print(table)
    written(figure)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens degrees 23\n\n  marginlens degrees 31 --figure degrees.html",
)
def degrees(
    order: Annotated[
        int, typer.Argument(metavar="P", max=_GREATEST_ORDER, help="A prime of at least 5.")
    ],
    chosen: Annotated[
        str | None,
        typer.Option(
            "--degrees", help="Degrees, for example 1,2,3,4.", show_default="1 to 4 by quarters"
        ),
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="Number of ascents for each degree.")] = 20,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """The law of degree: with |x|^q below 3 Fourier features win, from 3 on memorizing does."""
    from marginlens.cli.text_output import numbers
    from marginlens.figures import degree_law_figure
    from marginlens.theory import degree_law

    if figure is not None:
        check_file(figure)
    with err.status("climbing from many starts ..."):
        law = (
            degree_law(order, starts=starts)
            if chosen is None
            else degree_law(order, numbers(chosen), starts=starts)
        )
    if figure is not None:
        write_figure(degree_law_figure(law), figure)
    if as_json:
        columns = {name: column.tolist() for name, column in law.columns().items()}
        print_json({"order": order, "starts": starts, "crossing": law.crossing, **columns})
        return
    table = Table(
        "degree q",
        "best neuron",
        "one frequency / best",
        "memorizing / best",
        "energy on one frequency",
        "found by",
        title=f"addition modulo {order}, |x|^q: what single neurons earn",
    )
    for i, degree in enumerate(law.degrees.tolist()):
        table.add_row(
            f"{degree:g}",
            f"{law.best[i]:.7g}",
            f"{law.fourier[i] / law.best[i]:.4f}",
            f"{law.memorizing[i] / law.best[i]:.4f}",
            f"{law.concentration[i]:.2%}",
            f"{law.found[i]} of {law.starts}",
        )
    out.print(table)
    out.print("numerical: maxima found, not proved", style="dim")
    written(figure)


def _ranges(text: str) -> list[int]:
    """Whole numbers and ranges, such as 2,4-8."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise ValueError(f"{text!r} is no list of widths; write e.g. 2,4,8 or 2-18")
        first, last = int(low), int(high or low)
        if last < first:
            raise ValueError(f"{part.strip()!r} is an empty range of widths; write {last}-{first}")
        if len(found) + last - first >= _GREATEST_COUNT:
            raise ValueError(
                f"{text!r} lists more than {_GREATEST_COUNT} widths; take fewer, e.g. 2,4,8 or 2-18"
            )
        found.extend(range(first, last + 1))
    return found
