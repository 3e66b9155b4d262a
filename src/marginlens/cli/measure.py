"""The command ``measure``: a saved run's network, or one that other code trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import app, err, out
from marginlens.cli.arguments import AsJson
from marginlens.cli.completion import complete_formats, complete_network, complete_task
from marginlens.cli.console import styled
from marginlens.cli.tables import Table
from marginlens.cli.text_output import print_json, print_last, text

if TYPE_CHECKING:
    import numpy as np

    from marginlens.measures import Measurement, Mechanism, OperationMeasures
    from marginlens.runs.folder import Weights
    from marginlens.tasks import Task


MOST_FEATURES = 8
"""Largest number of rows in a table with one row for each feature."""


@app.command(
    examples=(
        "measure runs/C71",
        "measure runs/C71 --mechanism",
        "measure model_p99zdpze5l.pt --as pizza",
        "measure mine.npz --as uvw --group S5 --activation relu --json",
        "measure model_mul.pt --group 'xy mod 59'",
        "measure logits.npz",
    ),
    notes="The options --as, --group, --activation, --attention and --layer-norm are for files only.",
)
def measure(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|FILE",
            help="Folder of a run; or a network's file: .pt, .ckpt, .bin, .safetensors or .npz.",
            autocompletion=complete_network,
        ),
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Format of the file: pizza, nanda, chughtai, yagent, linear, uvw or npz.",
            show_default="recognised from the tensors",
            autocompletion=complete_formats,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            "--task",
            help="Group or operation that the network learned, for example S5 or 'xy mod 59'.",
            show_default="read from the file",
            autocompletion=complete_task,
        ),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            "--activation",
            help="Activation of the network, for example relu.",
            show_default="read from the file",
        ),
    ] = None,
    attention: Annotated[
        float | None,
        typer.Option(
            "--attention",
            min=0,
            max=1,
            help="Attention rate of a transformer: 1 = softmax, 0 = uniform.",
            show_default="read from the file",
        ),
    ] = None,
    layer_norm: Annotated[
        str | None,
        typer.Option(
            "--layer-norm",
            help="Layer norm of a transformer: none or pre.",
            show_default="read from the file",
        ),
    ] = None,
    mechanism: Annotated[
        bool,
        typer.Option(
            "--mechanism",
            help="Print the interpretability metrics of published papers, for member 0 of a run.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure margin, neurons and features of a saved run or of a network that other code trained."""
    options = (form, group, activation, attention, layer_norm)
    if _is_own_file(Path(what)) and not any(option is not None for option in options):
        what = str(Path(what).parent)
    elif Path(what).is_file() or form is not None:
        _measure_file(what, *options, as_json=as_json)
        return
    if not Path(what).exists():
        raise ValueError(
            f"expected a run's folder or a network's file, got {what!r} (no such file or folder); for "
            "example runs/C71"
        )
    if any(option is not None for option in options):
        raise ValueError(
            "--as, --group, --activation, --attention and --layer-norm expect a network's file, got "
            f"{what!r}; for example mine.npz"
        )
    _measure_folder(what, mechanism=mechanism, as_json=as_json)


def _is_own_file(path: Path) -> bool:
    """Whether a file has the parameters of a run, in the folder of the run."""
    return path.name == "parameters.safetensors" and (path.parent / "recipe.toml").is_file()


def _measure_folder(folder: str, *, mechanism: bool, as_json: bool) -> None:
    from marginlens.measures import measure as measure_network
    from marginlens.runs import load_run
    from marginlens.runs.folder import load_weights, require_finite_weights
    from marginlens.training import recorded_rows

    weights = load_weights(folder)
    require_finite_weights(weights, folder)
    parts = [Path(folder) / name for name in ("history.parquet", "snapshots.safetensors")]
    measured = weights.network.neurons_are_measured and bool(weights.task.features)
    if mechanism:
        _measure_mechanism(weights, as_json=as_json)
    elif all(part.is_file() for part in parts):
        finished = load_run(folder)
        if not finished.is_measured:
            print_last(finished, as_json=as_json)
        else:
            _measure_run(finished.measurement, weights.task, as_json=as_json)
    elif measured:
        rows = recorded_rows(weights.task, weights.recipe)
        found = measure_network(weights.network.as_mlp(), weights.task, rows=rows)
        _measure_run(found, weights.task, as_json=as_json)
    else:
        _measure_mechanism(weights, as_json=as_json)


def _measure_file(
    what: str,
    form: str | None,
    group: str | None,
    activation: str | None,
    attention: float | None,
    layer_norm: str | None,
    *,
    as_json: bool,
) -> None:
    from marginlens.formats import read_network
    from marginlens.measures import Mechanism, examine_table

    found = read_network(
        what, form, group=group, activation=activation, attention=attention, layer_norm=layer_norm
    )
    if not as_json:
        _print_warning(found.warning)
        notes = out if found.warning else err  # nothing stands above a warning, on either stream
        notes.print(f"read as {found.form}" + "".join(f"; {note}" for note in found.notes))
    seen = examine_table(found.logits, found.task, network=found.network, train=found.train)
    if as_json:
        stored = {name: v for name, v in found.stored.items() if math.isfinite(v)}
        head = {
            "warning": found.warning or None,
            "format": found.form,
            "notes": list(found.notes),
            "stored": stored,
        }
        print_json(head | seen.to_dict())
    elif isinstance(seen, Mechanism):
        _print_mechanism(seen, dict(found.stored))
    else:
        _print_operation(seen, dict(found.stored))


def _print_warning(words: str) -> None:
    """Print a warning about the network, if it has one."""
    if words:
        out.print(styled(("warning: ", "bold"), words), soft_wrap=True)


def _print_operation(seen: OperationMeasures, stored: dict[str, float]) -> None:
    if seen.on_group is not None:
        out.print(styled((seen.on_group.learned.summary, "bold")))
    out.print(_measures_table(f"{seen.task}: over all rows", seen.to_dict(), stored))
    for name, reason in seen.unknown.items():
        out.print(f"unknown: {name.replace('_', ' ')} ({reason})")
    if seen.coordinates is not None and seen.on_group is not None:
        out.print(f"in group coordinates: {seen.coordinates.words}", soft_wrap=True)
        _print_mechanism(seen.on_group, {}, repeated=True)


def _measures_table(title: str, values: dict[str, Any], stored: dict[str, float]) -> Table:
    from marginlens.measures import MEASURE_WORDS

    table = Table("quantity", "value", title=title)
    for name, words in MEASURE_WORDS.items():
        if values.get(name) is not None:
            table.add_row(words, text(values[name]))
    for name in ("train_loss", "test_loss"):
        if name in stored:
            table.add_row(f"{name.replace('_', ' ')} that the file says", text(stored[name]))
    return table


def _measure_mechanism(finished: Weights, *, as_json: bool) -> None:
    from marginlens.measures import examine_network
    from marginlens.training import trained_rows

    train = trained_rows(finished.task, finished.recipe)
    seen = examine_network(finished.network, finished.task, train=train)
    warning = _little(seen.accuracy, finished.task)
    if as_json:
        print_json(({"warning": warning} if warning else {}) | seen.to_dict())
    else:
        _print_warning(warning)
        _print_mechanism(seen, {})


def _little(accuracy: float, known: Task) -> str:
    """Warning about a run that answers fewer than half of the rows."""
    from marginlens.formats.answered_operation import NOT_TRAINED, few_answers

    words = few_answers(accuracy, known)
    return f"{words}: {NOT_TRAINED}" if words else ""


def _measure_run(measurement: Measurement, known: Task, *, as_json: bool) -> None:
    warning = _little(measurement.accuracy, known)
    summary = measurement.to_dict()
    if as_json:
        print_json(({"warning": warning} if warning else {}) | summary)
        return
    _print_warning(warning)
    features = summary.pop("features")
    for name in ("subject", "notes", "unknown"):  # the table is of numbers
        summary.pop(name)
    table = Table("quantity", "value", title=f"{summary['task']}: measurement")
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), text(value))
    out.print(table)
    shares = Table("feature", "neurons", "share of the norm")
    for feature in features:
        shares.add_row(feature["name"], str(feature["neurons"]), f"{feature['share']:.5f}")
    out.print(shares)


def _print_mechanism(seen: Mechanism, stored: dict[str, float], *, repeated: bool = False) -> None:
    """Print the summary (unless it was printed before), the evidence and all metrics."""
    if not repeated:
        out.print(styled((seen.learned.summary, "bold")))
    for sentence in seen.learned.evidence:
        out.print(f"  {sentence}")
    out.print(_measures_table(f"{seen.task}: interpretability metrics", seen.to_dict(), stored))
    _print_features(seen)
    if seen.clock_pizza.circles:
        _print_circles(seen)
    word = seen.clock_pizza.verdict
    if "clock_or_pizza" not in seen.unknown:
        doubt = word in ("clock", "pizza") and word != seen.learned.algorithm
        rest = ", which the circles do not confirm" if doubt else ""
        out.print(styled("clock or pizza by Zhong et al.'s measures: ", (word, "bold"), rest))
        for sentence in seen.clock_pizza.evidence:
            out.print(f"  {sentence}")
    for reason in dict.fromkeys(seen.unknown.values()):
        names = [name for name, why in seen.unknown.items() if why == reason]
        words = ", ".join(name.replace("_", " ") for name in names)
        out.print(f"unknown: {words} ({reason})")


def _print_features(seen: Mechanism) -> None:
    key = [i for i in range(len(seen.features)) if seen.key[i]]
    others = len(seen.features) - len(key)
    columns = {
        "b": seen.spectrum.spectral_weights[0],
        "similarity": seen.spectrum.similarity[0],
        "loss alone": seen.ablations.restricted,
        "loss without": seen.ablations.excluded,
    }
    title = f"key features of the logits{f' ({others} others have b below .005)' if others else ''}"
    _print_columns(seen, key, columns, title)
    shares = dict(seen.weights or {})
    if seen.hidden is not None:
        shares |= {
            "rho(a)": seen.hidden.left,
            "rho(b)": seen.hidden.right,
            "rho(ab)": seen.hidden.product,
        }
    if shares:
        title = "shares that they explain: of the weights, and of the hidden layer"
        _print_columns(seen, key, shares, title)


def _print_columns(
    seen: Mechanism, chosen: list[int], columns: dict[str, np.ndarray], title: str
) -> None:
    """Print one row for each of the strongest features, and the range of all others."""
    strength = seen.spectrum.spectral_weights[0]
    ranked = sorted(chosen, key=lambda index: -strength[index])
    rows = sorted(ranked if len(ranked) <= MOST_FEATURES else ranked[: MOST_FEATURES - 1])
    rest = [index for index in chosen if index not in rows]
    table = Table("feature", *columns, title=title)
    for index in rows:
        table.add_row(
            seen.features[index], *(f"{values[index]:.4g}" for values in columns.values())
        )
    if rest:
        table.add_row(f"{len(rest)} others", *(_range(v[rest]) for v in columns.values()))
    out.print(table)


def _range(values: np.ndarray) -> str:
    least, most = f"{values.min():.4g}", f"{values.max():.4g}"
    return least if least == most else f"{least} to {most}"


def _print_circles(seen: Mechanism) -> None:
    table = Table(
        "frequency",
        "components",
        "clock",
        "pizza",
        "absolute pizza",
        title="each circle alone: share of its logits explained",
    )
    circles = seen.clock_pizza.circles
    ranked = sorted(circles, key=lambda one: -max(one.clock, one.pizza))
    shown = ranked if len(ranked) <= MOST_FEATURES else ranked[: MOST_FEATURES - 1]
    for one in circles:
        if one in shown:
            components = ", ".join(str(index + 1) for index in one.components)
            table.add_row(
                str(one.frequency),
                components,
                f"{one.clock:.2%}",
                f"{one.pizza:.2%}",
                f"{one.absolute:.2%}",
            )
    rest = [one for one in circles if one not in shown]
    if rest:
        ranges = []
        for name in ("clock", "pizza", "absolute"):
            shares = [getattr(one, name) for one in rest]
            least, most = f"{min(shares):.2%}", f"{max(shares):.2%}"
            ranges.append(least if least == most else f"{least} to {most}")
        table.add_row(f"{len(rest)} others", "", *ranges)
    out.print(table)
