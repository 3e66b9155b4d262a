"""Start page: a tour in five interactive steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, dcc, html

from marginlens.explorer import components
from marginlens.explorer.context import Query, Site, View
from marginlens.explorer.form_values import asked_whole
from marginlens.explorer.pages.tour_steps import STEPS, Control, Shown, Step, Values

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component

__all__ = ["TOUR", "asked_values"]


def asked_values(step: Step, query: Query) -> dict[str, Any]:
    """Return the values of a step's controls in an address.

    Raises
    ------
    ValueError
        If a value is invalid for its control.

    Examples
    --------
    >>> asked_values(STEPS[4], {"n": "6"})
    {'n': 6, 'k': 4}
    """
    values: dict[str, Any] = {}
    for control in step.controls:
        text = query.get(control.name) or None
        if control.choices:
            if text is not None and text not in control.choices:
                known = ", ".join(control.choices)
                raise ValueError(f"{control.name} must be one of {known}; got {text!r}")
            values[control.name] = text or control.usual
        else:
            values[control.name] = asked_whole(
                text, control.name, least=control.least, most=control.most, usual=int(control.usual)
            )
    return values


def _draw(site: Site, query: Query) -> list[Any]:
    problems: list[Any] = components.no_message()
    place, values = 1, asked_values(STEPS[0], {})
    try:
        place = asked_whole(query.get("step"), "step", least=1, most=len(STEPS), usual=1) or 1
        values = asked_values(STEPS[place - 1], {})
        values = asked_values(STEPS[place - 1], query)
    except ValueError as error:
        problems = [components.message(error, title="The step is shown with its default values")]
    step = STEPS[place - 1]
    shown = step.draw(values)
    return [
        _progress(place),
        components.heading(step.title, step.lead),
        *problems,
        components.card(
            *[html.P(paragraph) for paragraph in step.text],
            html.Div(
                [_control(place, control, values, shown) for control in step.controls],
                className="tour-controls",
            ),
            html.P(shown.words, id=f"tour-words-{place}", className="tour-words", role="status"),
            label="Explanation and controls",
        ),
        html.Div(
            [
                components.card(components.figure(name, shown.figures[name], caption=caption))
                for name, caption in step.captions.items()
            ],
            className="tour-figures" + (" two" if len(step.captions) > 1 else ""),
        ),
        html.Nav(
            _links(shown),
            id=f"tour-links-{place}",
            className="buttons",
            **components.aria(label="Related pages"),
        ),
        _turning(place),
        html.P(
            [
                "The article behind this tour, figure by figure, with our numbers beside theirs: ",
                html.Code("marginlens reproduce morwani"),
            ],
            className="note",
        ),
        dcc.Store(id="tour-step", data=place),
    ]


def _progress(place: int) -> Component:
    items = []
    for index, step in enumerate(STEPS, start=1):
        here: Any = components.aria(current="step") if index == place else {}
        items.append(
            html.Li(
                dcc.Link(
                    [html.Span(str(index), className="dot"), html.Span(step.short)],
                    href=components.address("/", step=index),
                    className="here" if index == place else "been" if index < place else "",
                    title=f"Step {index}: {step.short}",
                ),
                **here,
            )
        )
    return html.Div(
        [
            html.Nav(
                html.Ol(items), className="tour-steps", **components.aria(label="Steps of the tour")
            ),
            dcc.Link("Skip to Predict", href="/predict", className="tour-skip"),
        ],
        className="tour-top",
    )


def _turning(place: int) -> Component:
    links: list[Any] = []
    if place > 1:
        before = STEPS[place - 2].short
        links.append(
            dcc.Link(
                f"← {before}", href=components.address("/", step=place - 1), className="button"
            )
        )
    if place < len(STEPS):
        after = STEPS[place].short
        links.append(
            dcc.Link(
                f"Next: {after} →",
                href=components.address("/", step=place + 1),
                className="button filled",
            )
        )
    else:
        links.append(dcc.Link("Predict your task →", href="/predict", className="button filled"))
    return html.Nav(links, className="tour-turning", **components.aria(label="Through the tour"))


def _id(place: int, control: Control) -> dict[str, Any]:
    """Return the id of a control; names may repeat across steps."""
    return {"tour": control.name, "step": place}


def _control(place: int, control: Control, values: Values, shown: Shown) -> Component:
    name = _id(place, control)
    if control.choices:
        return dmc.Select(
            id=name,
            label=control.label,
            value=str(values[control.name]),
            data=list(control.choices),
            allowDeselect=False,
            checkIconPosition="right",
        )
    most = shown.most.get(control.name, control.most)
    return html.Div(
        [
            html.Span(control.label, className="label"),
            dmc.Slider(
                id=name,
                value=min(values[control.name], most),
                min=control.least,
                max=most,
                thumbLabel=control.label,
                updatemode="drag",
                size="md",
                thumbSize=20,
            ),
        ]
    )


def _links(shown: Shown) -> list[Any]:
    return [dcc.Link(words, href=href, className="button") for words, href in shown.links]


def _connect(app: Dash, site: Site) -> None:
    for place, step in enumerate(STEPS, start=1):
        if step.heights is None:
            _live(app, place, step)
        else:
            _moving(app, place, step)
    app.clientside_callback(
        "window.dash_clientside.pages.toured",
        Output("tour-step", "data-kept"),
        Input({"tour": ALL, "step": ALL}, "value"),
        State({"tour": ALL, "step": ALL}, "id"),
        State("tour-step", "data"),
        prevent_initial_call=True,
    )


def _live(app: Dash, place: int, step: Step) -> None:
    """Register the callback that updates figures, text, links and ranges of sliders."""
    sliders = [control for control in step.controls if not control.choices]

    @app.callback(
        *[Output({"part": "figure", "name": name}, "data") for name in step.captions],
        Output(f"tour-words-{place}", "children"),
        Output(f"tour-links-{place}", "children"),
        *[Output(_id(place, control), "max") for control in sliders],
        *[Input(_id(place, control), "value") for control in step.controls],
        prevent_initial_call=True,
    )
    def change(*given: Any) -> Any:
        texts = {c.name: str(value) for c, value in zip(step.controls, given, strict=True)}
        shown = step.draw(asked_values(step, texts))
        return (
            *(components.figure_data(shown.figures[name]) for name in step.captions),
            shown.words,
            _links(shown),
            *(shown.most.get(control.name, control.most) for control in sliders),
        )


def _moving(app: Dash, place: int, step: Step) -> None:
    """Register the callback that updates only the traces' heights and the text."""
    heights = step.heights
    assert heights is not None
    (name,) = step.captions

    @app.callback(
        Output({"part": "heights", "name": name}, "data"),
        Output(f"tour-words-{place}", "children"),
        *[Input(_id(place, control), "value") for control in step.controls],
        prevent_initial_call=True,
    )
    def move(*given: Any) -> Any:
        texts = {c.name: str(value) for c, value in zip(step.controls, given, strict=True)}
        found, words = heights(asked_values(step, texts))
        return components.heights_data(name, found), words


TOUR = View("/", "Tour", "A tour", _draw, _connect)
