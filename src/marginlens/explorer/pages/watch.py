"""Watch: train a network and see its weights, spectra and margin move while it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate

from marginlens.explorer import components
from marginlens.explorer.context import Query, Site, View
from marginlens.explorer.form_values import asked_number, asked_whole
from marginlens.explorer.jobs.pictures import moment_of
from marginlens.figures.run.live_training import (
    growing_loss_figure,
    growing_margin_figure,
    moving_shares_figure,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from dash import Dash
    from dash.development.base_component import Component

    from marginlens.explorer.jobs.jobs import Live
    from marginlens.tasks import Task
    from marginlens.theory import Prediction

__all__ = ["WATCH"]

_EXAMPLES = (
    ("C23 with x²", {"task": "C23"}),
    ("C23 with ReLU", {"task": "C23", "activation": "relu"}),
    ("S4", {"task": "S4"}),
    ("A5", {"task": "A5"}),
    ("parity(10,4)", {"task": "parity(10,4)"}),
)
_PENALTIES = {"": "as suits", "homogeneous": "Σ‖ω‖^ν", "l2": "squared L2"}
_FIELDS = ("task", "activation", "width", "penalty", "strength", "seed", "steps")
_TYPED = ("task", "width", "strength", "seed", "steps")


def _draw(site: Site, query: Query) -> list[Any]:
    top = components.heading(
        "Watch",
        "Train a network here, and see its neurons settle into features while its margin climbs to "
        "the maximum. The penalty can be changed on the way.",
    )
    asked = query.get("id")
    if not asked:
        return [top, _form(query), html.Div(id="watch-live")]
    live = site.trainings.state(asked)
    recipe = live.recipe
    fields = {name: getattr(recipe, name) for name in ("width", "seed", "steps")}
    shown = {
        **{name: str(value) for name, value in fields.items()},
        "strength": f"{recipe.strength:g}",
    }
    given = {
        "task": site.trainings.spec(asked),
        "activation": recipe.activation,
        "penalty": recipe.penalty,
        **shown,
    }
    task, prediction = site.trainings.task(asked), site.trainings.prediction(asked)
    return [top, _form(given), _live(task, prediction, live)]


def _form(query: Query) -> Component:
    def field(name: str, label: str, placeholder: str, **more: Any) -> Component:
        return dmc.TextInput(
            debounce=True,
            id=f"watch-{name}",
            label=label,
            value=query.get(name, ""),
            placeholder=placeholder,
            spellCheck=False,
            autoComplete="off",
            **more,
        )

    activations = dict(components.ACTIVATIONS)
    chosen = query.get("activation", "")
    activations.setdefault(chosen, chosen)
    return components.card(
        html.Div(
            [
                dmc.TextInput(
                    debounce=True,
                    id="watch-task",
                    label="Task",
                    value=query.get("task", "C23"),
                    flex="2 1 10rem",
                    spellCheck=False,
                    autoComplete="off",
                    placeholder="C23",
                ),
                dmc.Select(
                    id="watch-activation",
                    label="Activation",
                    value=chosen,
                    data=components.options(activations),
                    allowDeselect=False,
                ),
                field("width", "Width", "as suits"),
                dmc.Select(
                    id="watch-penalty",
                    label="Penalty",
                    value=query.get("penalty", ""),
                    data=components.options(_PENALTIES),
                    allowDeselect=False,
                ),
                field("strength", "Strength", "1e-4"),
                field("seed", "Seed", "0"),
                field("steps", "Steps", "as suits"),
                dmc.Button("Train", id="watch-train"),
            ],
            className="controls dense",
        ),
        html.Div(
            [
                html.Span("Try "),
                *(
                    dcc.Link(words, href=components.address("/watch", **example))
                    for words, example in _EXAMPLES
                ),
            ],
            className="examples",
        ),
        html.Div(id="watch-problem", role="status"),
        html.Div(id="watch-mine"),
        label="What to train",
    )


def _live(task: Task, prediction: Prediction, live: Live) -> Component:
    figures = [
        components.card(components.figure(name, figure))
        for name, figure in _growing(task, prediction, live).items()
    ]
    return html.Div(
        [
            dcc.Store(id="watch-id", data=live.id),
            components.card(
                html.Div(
                    [
                        html.Span(live.status, id="watch-status", className="chip neutral"),
                        html.Span(id="watch-words", className="watch-words"),
                        dmc.Button("Pause", id="watch-pause", variant="default"),
                        dmc.Button("Stop", id="watch-stop", variant="default"),
                    ],
                    className="controls watch-bar",
                ),
                html.Div(html.Div(id="watch-progress"), className="progress"),
                html.Div(
                    [
                        dmc.TextInput(
                            debounce=True,
                            id="watch-new-strength",
                            label="Strength from here on",
                            value=f"{live.recipe.strength:g}",
                        ),
                        dmc.Button("Change", id="watch-change", variant="default"),
                        dmc.TextInput(
                            debounce=True,
                            id="watch-name",
                            label="Save as",
                            placeholder="a name, such as C23-relu",
                            spellCheck=False,
                            autoComplete="off",
                        ),
                        dmc.Button("Save", id="watch-save", variant="default"),
                    ],
                    className="controls",
                ),
                html.Div(id="watch-answer", role="status"),
                label="This training",
            ),
            html.Div(
                components.card(
                    components.figure("live-moment", None, title="Neurons"), label="Neurons"
                ),
                id="watch-neurons",
                hidden=not task.features or live.recipe.network == "transformer",
            ),
            html.Div(figures, className="columns"),
        ],
        id="watch-live",
    )


def _growing(task: Task, prediction: Prediction, live: Live) -> dict[str, go.Figure]:
    """Curves and shares of a training up to now, with the prediction at its present strength."""
    steps = live.recipe.steps
    figures = {
        "growing-margin": growing_margin_figure(prediction, steps, live.history),
        "growing-loss": growing_loss_figure(prediction, steps, live.history),
    }
    if task.features and live.recipe.network != "transformer":
        figures["moving-shares"] = moving_shares_figure(task, prediction, live.share)
    return figures


def _fields(values: tuple[Any, ...]) -> dict[str, Any]:
    """Return the form's values as fields of a recipe."""
    spec, activation, width, penalty, strength, seed, steps = values
    return {
        "task": (spec or "").strip(),
        "activation": activation or None,
        "width": asked_whole(width, "the width", least=1, most=10**6),
        "penalty": penalty or None,
        "strength": asked_number(strength, "the strength"),
        "seed": asked_whole(seed, "the seed", least=0, most=2**31 - 1),
        "steps": asked_whole(steps, "steps", least=1, most=10**9),
    }


def _connect(app: Dash, site: Site) -> None:
    trainings = site.trainings

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Output("watch-problem", "children"),
        Input("watch-train", "n_clicks"),
        *(Input(f"watch-{name}", "n_submit") for name in _TYPED),
        State("owner", "data"),
        *(State(f"watch-{name}", "value") for name in _FIELDS),
        running=[(Output("watch-train", "loading"), True, False)],
        prevent_initial_call=True,
    )
    def begin(*given: Any) -> Any:
        presses = 1 + len(_TYPED)
        clicks, owner, values = given[:presses], given[presses], given[presses + 1 :]
        if not any(clicks):
            raise PreventUpdate
        try:
            name = trainings.start(owner or "nobody", _fields(values), site.tables)
        except (ValueError, OSError) as error:
            return no_update, components.message(error)
        return components.address("", id=name), components.no_message()

    @app.callback(
        Output("watch-mine", "children"), Input("owner", "data"), Input("watch-problem", "children")
    )
    def mine(owner: str | None, problem: Any) -> Any:
        """Return links to the tab's trainings, for visitors who return from another page."""
        found = trainings.of_owner(owner) if owner else []
        if not found:
            return []
        links = [
            dcc.Link(
                f"{live.task}, width {live.recipe.width}, seed {live.recipe.seed}",
                href=components.address("/watch", id=live.id),
            )
            for live in found
        ]
        return html.Div([html.Span("Yours "), *links], className="examples")

    @app.callback(
        Output("watch-answer", "children"),
        Input("watch-pause", "n_clicks"),
        Input("watch-stop", "n_clicks"),
        Input("watch-change", "n_clicks"),
        Input("watch-save", "n_clicks"),
        Input("watch-new-strength", "n_submit"),
        Input("watch-name", "n_submit"),
        State("watch-id", "data"),
        State("watch-new-strength", "value"),
        State("watch-name", "value"),
        prevent_initial_call=True,
    )
    def command(*given: Any) -> Any:
        name, strength, save_as = given[6:]
        if not any(given[:6]):
            raise PreventUpdate
        try:
            act, field = _COMMANDS[str(ctx.triggered_id)]
            return act(site, name, {"strength": strength, "name": save_as}.get(field or "") or "")
        except (ValueError, OSError) as error:
            return components.message(error)

    @app.callback(
        Output({"part": "figure", "name": "live-moment"}, "data"),
        Input("watch-drawn", "data"),
        State("watch-id", "data"),
        prevent_initial_call=True,
    )
    def neurons(drawn: Any, name: str) -> Any:
        """Return the figure of neurons after the first frame."""
        live = trainings.state(name)
        figure = moment_of(trainings.task(name), live)
        return no_update if figure is None else components.figure_data(figure)

    @app.callback(
        Output({"part": "figure", "name": ALL}, "data"),
        Input("watch-strength-now", "data"),
        State("watch-id", "data"),
        State({"part": "figure", "name": ALL}, "id"),
        prevent_initial_call=True,
    )
    def predictions(strength: Any, name: str, ids: list[dict[str, str]]) -> list[Any]:
        """The figures that show predictions, once a training has another strength."""
        figures = _growing(trainings.task(name), trainings.prediction(name), trainings.state(name))
        return [
            components.figure_data(figures[each["name"]]) if each["name"] in figures else no_update
            for each in ids
        ]

    app.clientside_callback(
        "window.dash_clientside.watching.start",
        Output("watch-id", "data-watching"),
        Input("watch-id", "data"),
    )


def _hold(site: Site, name: str, typed: str) -> Any:
    held = site.trainings.state(name).held
    (site.trainings.go_on if held else site.trainings.pause)(name)
    return components.no_message()


def _stop(site: Site, name: str, typed: str) -> Any:
    site.trainings.stop(name)
    return components.no_message()


def _change(site: Site, name: str, typed: str) -> Any:
    value = asked_number(typed, "the strength")
    if value is None:
        raise ValueError("type a strength, such as 1e-4")
    site.trainings.set_strength(name, value)
    return html.P(
        f"From the next step on the strength is {value:g}; the predictions at this penalty follow it, "
        "and γ* stays.",
        className="note",
    )


def _save(site: Site, name: str, typed: str) -> Any:
    folder = site.trainings.save(name, typed)
    return html.P(
        ["Saved as ", dcc.Link(folder.name, href=components.address("/run", name=folder.name))]
    )


# what is done when a button is pressed, or Enter in its field; and the field that it takes
_COMMANDS = {
    "watch-pause": (_hold, None),
    "watch-stop": (_stop, None),
    "watch-change": (_change, "strength"),
    "watch-new-strength": (_change, "strength"),
    "watch-save": (_save, "name"),
    "watch-name": (_save, "name"),
}


WATCH = View("/watch", "Watch", "Watch", _draw, _connect)
