"""Page "Run": one finished run with verdict, neurons step by step, figures, downloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import dash_mantine_components as dmc
import numpy as np
from dash import MATCH, Input, Output, State, dcc, html, no_update

from marginlens.explorer import components
from marginlens.explorer.context import Query, Site, View
from marginlens.explorer.downloads import downloads_of
from marginlens.figures import FIGURES, choose_neurons
from marginlens.figures.run.neuron_snapshot import moment_figure, moment_heights
from marginlens.figures.style import number
from marginlens.report import claim_value, described, headlines, outcome

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from dash import Dash
    from dash.development.base_component import Component

    from marginlens.runs import Run

__all__ = ["RUN"]

_MOST_NEURONS = 8
_MOODS = {"passes": "good", "contradicted": "bad"}


def _draw(site: Site, query: Query) -> list[Any]:
    name = query.get("name", "")
    if not name:
        raise ValueError("expected a run's name in the address; choose a run on the page Runs")
    site.library.folder_of(name)  # raises at once if the run does not exist
    return [
        html.Div(components.heading(name, "Loading the run …"), id="run-head"),
        dcc.Store(id="run-query", data=dict(query)),
        html.Div(className="waiting", id="run-body"),
    ]


def _body(site: Site, run: Run, name: str, query: Query) -> list[Any]:
    pieces: list[Any] = []
    if run.is_measured:
        pieces.append(
            components.headlines((n["label"], n["value"], n["against"]) for n in headlines(run))
        )
    if run.is_measured and len(run.snapshot_steps):
        pieces.append(_player(run, name, query))
    pieces += [_lazy(figure) for figure in FIGURES if figure != "neurons"]
    if run.is_measured:
        pieces.append(_claims(run))
    pieces.append(_files(site, run, name))
    return pieces


def _head(run: Run, name: str) -> list[Any]:
    if not run.is_measured:
        what = f"A {run.recipe.network} on {run.task.name}"
        words = f"{what}: curves only, since its neurons are not measured."
        return [components.heading(name, words)]
    verdict = run.verdict
    mood = verdict.mood
    mark = {"good": "✓", "bad": "✗", "neutral": "–"}[mood]
    return [
        components.heading(f"{run.task.name}: {described(run)}", f"Run {name}"),
        html.P([components.chip(mark, mood), html.Span(verdict.summary)], className="verdict"),
    ]


def _player(run: Run, name: str, query: Query) -> Component:
    """Return the card with weights and spectra of some neurons at a chosen step."""
    steps = [int(step) for step in run.snapshot_steps]
    index = _nearest(steps, query.get("step"))
    chosen = _asked_neurons(run, query.get("neurons"))
    return components.card(
        html.Div(
            [
                dmc.Button("Play", id="run-play", variant="light", className="narrow"),
                dmc.Slider(
                    id="run-step",
                    min=0,
                    max=len(steps) - 1,
                    step=1,
                    value=index,
                    updatemode="drag",
                    label=None,
                    flex="4 1 12rem",
                    thumbLabel="Training step",
                ),
                html.Output(_step_words(run, index), id="run-step-words", className="narrow"),
                dmc.TextInput(
                    id="run-neurons",
                    label="Neurons",
                    value=",".join(map(str, chosen)),
                    debounce=600,
                    flex="1 1 9rem",
                ),
            ],
            className="controls player",
        ),
        dcc.Store(id="run-name", data=name),
        dcc.Interval(id="run-tick", interval=140, disabled=True),
        html.Div(id="run-problem", role="status"),
        components.figure(
            "moment", _moment(run, index, chosen), caption=FIGURES["neurons"].caption(run)
        ),
        title="Single neurons during training",
    )


def _moment(run: Run, index: int, chosen: Sequence[int]) -> go.Figure:
    slot = run.task.slots[0]
    all_weights = run.snapshots[slot]
    weights = np.asarray(all_weights[index][:, list(chosen)], dtype=np.float64)
    reach = 1.12 * np.abs(all_weights[:, :, list(chosen)]).max(axis=(0, 1)).astype(np.float64)
    return moment_figure(
        run.task,
        weights,
        chosen,
        what=f"weights {slot} of {len(chosen)} neurons, and their power spectra",
        reach=reach,
        dominant=run.measurement.dominant[list(chosen)],
    )


def _step_words(run: Run, index: int) -> str:
    """Return the step, and the margin at the nearest record, as text."""
    step = int(run.snapshot_steps[index])
    records, ratios = run.history["step"], run.history["margin_ratio"]
    if not len(records):
        return f"step {step}"
    nearest = int(np.abs(np.asarray(records) - step).argmin())
    ratio = float(ratios[nearest])
    return f"step {step}" + (f" · {number(100 * ratio, 4)} % of γ*" if np.isfinite(ratio) else "")


def _nearest(steps: Sequence[int], asked: str | None) -> int:
    if asked is None or not asked.isdecimal() or len(asked) > 12:
        return len(steps) - 1
    return int(np.abs(np.array(steps) - int(asked)).argmin())


def _asked_neurons(run: Run, asked: str | None) -> list[int]:
    """Return the typed neuron indices, or a default choice for empty text.

    Raises
    ------
    ValueError
        If an index is invalid for the run's network.
    """
    width = run.snapshots[run.task.slots[0]].shape[2]
    words = [word.strip() for word in (asked or "").split(",") if word.strip()]
    if not words:
        return [int(neuron) for neuron in choose_neurons(run.measurement)] or [0]
    good = all(word.isdecimal() and len(word) < 9 and int(word) < width for word in words)
    if not good or len(words) > _MOST_NEURONS:
        raise ValueError(
            f"neurons must be up to {_MOST_NEURONS} comma-separated numbers from 0 to {width - 1}, such "
            f"as 0,7,12; got {asked!r}"
        )
    return list(dict.fromkeys(int(word) for word in words))


def _lazy(name: str) -> Component:
    """Return a placeholder card whose figure is drawn after the page has loaded."""
    return html.Div(
        [
            dcc.Store(id={"part": "lazy", "name": name}, data=name),
            html.Div(className="pending", id={"part": "lazily", "name": name}),
        ]
    )


def _claims(run: Run) -> Component:
    rows = []
    for claim in run.verdict.claims:
        found = outcome(claim)
        rows.append(
            [
                claim.statement,
                claim_value(claim.predicted),
                claim_value(claim.measured),
                claim_value(claim.tolerance) + (" relative" if claim.relative else ""),
                components.chip(found, _MOODS.get(found, "neutral")),
                claim.source,
            ]
        )
    columns = ("Claim", "Predicted", "Measured", "Tolerance", "Outcome", "Source")
    return components.card(
        components.table(columns, rows, label="Claims"), title="Verdict, claim by claim"
    )


def _files(site: Site, run: Run, name: str) -> Component:
    links = [
        html.A(file, href=f"/download/{quote(name)}/{file}", download=file.split("/")[-1])
        for file in downloads_of(run)
    ]
    recipe = run.recipe
    return components.card(
        html.Div(links, className="examples"),
        html.Details([html.Summary("Recipe"), html.Pre(recipe.to_toml(), tabIndex=0)]),
        html.P(
            [
                dcc.Link(
                    "Train this recipe again",
                    href=components.address(
                        "/watch",
                        task=_spec(site, run),
                        activation=recipe.activation,
                        width=recipe.width,
                        strength=recipe.strength,
                        seed=recipe.seed,
                    ),
                ),
                " · ",
                dcc.Link("Compare with other runs", href=components.address("/compare", runs=name)),
            ]
        ),
        title="Files",
    )


def _spec(site: Site, run: Run) -> str:
    """Return the task's name on this site; an uploaded table gets a new one."""
    has_table = run.folder is not None and (run.folder / "table.npy").is_file()
    group = run.task.group
    return site.tables.add(group) if has_table and group is not None else run.recipe.task


def _connect(app: Dash, site: Site) -> None:
    @app.callback(
        Output("run-head", "children"),
        Output("run-body", "children"),
        Output("run-body", "className"),
        Input("run-query", "data"),
    )
    def read(query: dict[str, str]) -> Any:
        name = query.get("name", "")
        try:
            run = site.library.run(name)
            return _head(run, name), _body(site, run, name, query), ""
        except (ValueError, OSError) as error:
            return (
                [components.heading(name, "This run cannot be shown.")],
                components.message(error),
                "",
            )

    @app.callback(
        Output({"part": "lazily", "name": MATCH}, "children"),
        Output({"part": "lazily", "name": MATCH}, "className"),
        Input({"part": "lazy", "name": MATCH}, "data"),
        State("run-query", "data"),
    )
    def draw(figure: str, query: dict[str, str]) -> Any:
        entry = FIGURES[figure]
        try:
            run = site.library.run(query.get("name", ""))
            drawn = entry.draw(run)
            if drawn is None:
                return [], ""
            shown = components.figure(figure, drawn, caption=entry.caption(run))
        except ValueError:  # this figure requires measured neurons
            return [], ""
        return components.card(shown, title=entry.heading), ""

    @app.callback(
        Output({"part": "heights", "name": "moment"}, "data"),
        Output("run-step-words", "children"),
        Input("run-step", "value"),
        State("run-neurons", "value"),
        State("run-name", "data"),
        prevent_initial_call=True,
    )
    def move(index: int, asked: str | None, name: str) -> Any:
        run = site.library.run(name)
        index = min(max(int(index), 0), len(run.snapshot_steps) - 1)
        try:
            chosen = _asked_neurons(run, asked)
        except ValueError:  # the message is already shown
            return no_update, no_update
        weights = run.snapshots[run.task.slots[0]][index][:, chosen]
        heights = moment_heights(run.task, weights.astype(np.float64))
        return components.heights_data("moment", heights), _step_words(run, index)

    @app.callback(
        Output({"part": "figure", "name": "moment"}, "data"),
        Output("run-problem", "children"),
        Input("run-neurons", "value"),
        State("run-step", "value"),
        State("run-name", "data"),
        prevent_initial_call=True,
    )
    def choose(asked: str | None, index: int, name: str) -> Any:
        run = site.library.run(name)
        index = min(max(int(index), 0), len(run.snapshot_steps) - 1)
        try:
            chosen = _asked_neurons(run, asked)
        except ValueError as error:
            return no_update, components.message(error)
        return components.figure_data(_moment(run, index, chosen)), components.no_message()

    app.clientside_callback(
        "window.dash_clientside.marginlens.play",
        Output("run-tick", "disabled"),
        Output("run-play", "children"),
        Output("run-step", "value"),
        Input("run-play", "n_clicks"),
        Input("run-tick", "n_intervals"),
        State("run-tick", "disabled"),
        State("run-step", "value"),
        State("run-step", "max"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        "window.dash_clientside.marginlens.remember",
        Output("run-name", "data-kept"),
        Input("run-step-words", "children"),
        State("run-neurons", "value"),
        prevent_initial_call=True,
    )


RUN = View("/run", "Run", "Run", _draw, _connect, listed=False)
