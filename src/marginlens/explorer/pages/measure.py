"""Page "Measure": interpretability metrics of an uploaded network that other code trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html
from dash.exceptions import PreventUpdate

from marginlens.explorer import components
from marginlens.explorer.context import Query, Site, View
from marginlens.explorer.form_values import asked_number, not_a_path
from marginlens.explorer.jobs.locks import alone
from marginlens.explorer.uploads import LARGEST_UPLOAD, NETWORK_SUFFIXES, uploaded_network
from marginlens.figures.style import number
from marginlens.formats import FORMATS
from marginlens.formats.answered_operation import HALF, accuracy
from marginlens.measures import MEASURE_WORDS, OperationMeasures, examine_table

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component

    from marginlens.formats import Foreign
    from marginlens.measures import Mechanism

__all__ = ["MEASURE"]


def _draw(site: Site, query: Query) -> list[Any]:
    formats = {"": "detect from its tensors", **{name: name for name in FORMATS}}
    return [
        components.heading(
            "Measure",
            "Upload a network that other code trained, and see its algorithm (clock or pizza), the "
            "representations it uses, and the share of the logits that they explain. No code in the "
            "file is executed.",
        ),
        components.card(
            html.Div(
                [
                    dmc.Select(
                        id="measure-form",
                        label="Format",
                        data=components.options(formats),
                        value="",
                        allowDeselect=False,
                    ),
                    dmc.TextInput(
                        debounce=True,
                        id="measure-group",
                        label="Group",
                        placeholder="if the file lacks it",
                        spellCheck=False,
                        autoComplete="off",
                    ),
                    dmc.TextInput(
                        debounce=True,
                        id="measure-activation",
                        label="Activation",
                        placeholder="if the file lacks it",
                        spellCheck=False,
                        autoComplete="off",
                    ),
                    dmc.TextInput(
                        debounce=True,
                        id="measure-attention",
                        label="Attention rate",
                        placeholder="if the file lacks it",
                    ),
                ],
                className="controls",
            ),
            dcc.Upload(
                html.Span(
                    [
                        html.Button("Upload a network", type="button"),
                        f" ({', '.join(NETWORK_SUFFIXES)}; up to {LARGEST_UPLOAD / 1e6:g} MB)",
                    ]
                ),
                id="measure-upload",
                className="upload",
                max_size=-1,
            ),
            html.P(
                ["On the command line: ", html.Code("marginlens measure FILE --as pizza")],
                className="note",
            ),
            label="Network to measure",
        ),
        dcc.Store(id="measure-file"),
        dcc.Loading(html.Div(id="measure-answer", role="status"), delay_show=300),
    ]


def _answer(found: Foreign, seen: Mechanism | OperationMeasures) -> list[Any]:
    """Return the measurements of a network, preceded by any warning."""
    first = []
    if found.warning:
        little = accuracy(found.logits, found.task) < HALF
        title = "Low accuracy" if little else "The network answers another task"
        first = [components.message(found.warning, title=title)]
    if isinstance(seen, OperationMeasures):
        return first + _operation_answer(found, seen)
    return first + _mechanism_answer(found, seen)


def _operation_answer(found: Foreign, seen: OperationMeasures) -> list[Any]:
    """Return the metrics over all rows of an operation, and those in group coordinates."""
    pieces: list[Any] = [
        components.headlines(
            [
                ("Task", seen.task, f"read as {found.form}"),
                ("Accuracy", f"{seen.accuracy:.4%}", f"cross-entropy {number(seen.loss, 5)}"),
            ]
        ),
        _measures_card(seen.to_dict(), "Over all rows"),
    ]
    if seen.unknown:
        reasons = [html.Li(f"{n.replace('_', ' ')}: {why}") for n, why in seen.unknown.items()]
        pieces.append(components.card(html.Ul(reasons), title="Unknown"))
    if seen.on_group is None or seen.coordinates is None:
        return pieces
    words = html.P(f"In group coordinates: {seen.coordinates.words}.", className="note")
    return [*pieces, words, *_mechanism_answer(found, seen.on_group)]


def _measures_card(values: dict[str, Any], title: str) -> Component:
    rows = [
        [words, number(float(values[name]), 6)]
        for name, words in MEASURE_WORDS.items()
        if values.get(name) is not None
    ]
    table = components.table(("Quantity", "Value"), rows, label="Measures", numeric=(1,))
    return components.card(table, title=title)


def _mechanism_answer(found: Foreign, seen: Mechanism) -> list[Any]:
    verdict = seen.clock_pizza
    known = "clock_or_pizza" not in seen.unknown
    pieces: list[Any] = [
        components.headlines(
            [
                ("Algorithm", seen.learned.algorithm, "evidence below"),
                ("Task", seen.task, f"read as {found.form}"),
                ("Accuracy", f"{seen.accuracy:.4%}", f"cross-entropy {number(seen.loss, 5)}"),
                (
                    "Clock or pizza",
                    verdict.verdict if known else "unknown",
                    "by Zhong et al.'s measures" if known else seen.unknown["clock_or_pizza"],
                ),
            ]
        )
    ]
    evidence = html.Ul([html.Li(sentence) for sentence in seen.learned.evidence])
    pieces.append(
        components.card(
            html.P(html.Strong(seen.learned.summary)), evidence, title="Learned algorithm"
        )
    )
    if found.notes:
        pieces.append(
            components.card(html.Ul([html.Li(note) for note in found.notes]), title="Assumptions")
        )
    if known:
        evidence = html.Ul([html.Li(sentence) for sentence in verdict.evidence])
        pieces.append(components.card(evidence, title="Clock or pizza, by Zhong et al.'s measures"))
    pieces.append(_measures_card(seen.to_dict(), "Published interpretability metrics"))
    pieces.append(components.card(_key_features(seen), title="Key features of the logits"))
    unknown = dict.fromkeys(seen.unknown.values())
    if unknown:
        reasons = []
        for reason in unknown:
            names = [name.replace("_", " ") for name, why in seen.unknown.items() if why == reason]
            reasons.append(html.Li(f"{', '.join(names)}: {reason}"))
        pieces.append(components.card(html.Ul(reasons), title="Unknown"))
    return pieces


def _key_features(seen: Mechanism) -> Component:
    key = [index for index in range(len(seen.features)) if seen.key[index]]
    rows = [
        [
            seen.features[index],
            f"{seen.spectrum.spectral_weights[0][index]:.4g}",
            f"{seen.spectrum.similarity[0][index]:.4g}",
            f"{seen.ablations.restricted[index]:.4g}",
            f"{seen.ablations.excluded[index]:.4g}",
        ]
        for index in key
    ]
    columns = ("Feature", "b", "Similarity", "Loss alone", "Loss without")
    return components.table(columns, rows, label="Key features", numeric=range(1, 5))


def _connect(app: Dash, site: Site) -> None:
    app.clientside_callback(
        "window.dash_clientside.marginlens.chosen",
        Output("measure-file", "data"),
        Input("measure-upload", "contents"),
        State("measure-upload", "filename"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("measure-answer", "children"),
        Input("measure-file", "data"),
        Input("measure-form", "value"),
        Input("measure-group", "value"),
        Input("measure-activation", "value"),
        Input("measure-attention", "value"),
        prevent_initial_call=True,
    )
    def measured(
        file: dict[str, Any] | None, form: str, group: str, activation: str, rate: str
    ) -> Any:
        """Measure the uploaded file with the form's values; rerun when either changes."""
        if not file:
            raise PreventUpdate
        contents, filename = file["contents"], file["name"]
        try:
            with alone("another network is being measured"):
                attention = asked_number(rate, "the attention rate")
                found = uploaded_network(
                    contents,
                    filename or "",
                    form or None,
                    group=not_a_path((group or "").strip()) or None,
                    activation=(activation or "").strip() or None,
                    attention=attention,
                )
                seen = examine_table(
                    found.logits, found.task, network=found.network, train=found.train
                )
            return _answer(found, seen)
        except (ValueError, ArithmeticError, OSError, RuntimeError, MemoryError) as error:
            words = (
                error if str(error) else "out of memory; measure it with: marginlens measure FILE"
            )
            return components.message(words, title="This file cannot be measured")


MEASURE = View("/measure", "Measure", "Measure", _draw, _connect)
