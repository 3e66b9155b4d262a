"""Predict: a task's maximum margin, shares, characters, certificate and optimal neurons."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
import numpy as np
from dash import Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate

from marginlens.display import residue
from marginlens.explorer import components
from marginlens.explorer.context import Query, Site, View
from marginlens.explorer.form_values import GREATEST_OFFERED, UPLOADED, asked_number, asked_task
from marginlens.explorer.jobs.locks import alone
from marginlens.explorer.uploads import uploaded_group
from marginlens.figures.run.neuron_snapshot import moment_figure
from marginlens.figures.style import number
from marginlens.networks import construct
from marginlens.theory import Penalty, Prediction, certify_parity, predict

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component

    from marginlens.groups import CharacterTable
    from marginlens.tasks import Task

__all__ = ["PREDICT"]

_EXAMPLES = ("C71", "S4", "A5", "Q8", "SL(2,3)", "<(1,2,3),(1,2)>", "compose(C7,3)", "parity(10,4)")
_STATUS = {
    "must": ("must be used", "good"),
    "may": ("may be used", "neutral"),
    "cannot": ("cannot be used", "bad"),
    "unknown": ("unknown", "neutral"),
}
_MOST_DRAWN = 4
_LARGEST_TABLE = 24  # conjugacy classes of a character table that is shown whole
_MOST_CLASSES = 60  # of one that is shown at all
_LARGEST_NETWORK = 240  # order of a group whose optimal network is written down while one waits
_LARGEST_PARITY = 16  # bits whose parity is certified by brute force while one waits


def _draw(site: Site, query: Query) -> list[Any]:
    spec = query.get("task", "S4")
    top = [
        components.heading(
            "Predict",
            "Which features will a network of maximum margin use, and how much of each? "
            "Type any finite group or a parity; the answer needs no training.",
        ),
        _form(query),
    ]
    try:
        task = asked_task(spec, site.tables)
        strength = asked_number(query.get("strength"), "the strength", usual=0.0) or 0.0
        prediction = predict(
            task, query.get("activation") or None, Penalty("homogeneous", strength)
        )
    except (ValueError, OSError, ArithmeticError) as error:
        return [*top, html.Div(components.message(error), id="predict-answer")]
    return [*top, html.Div(_answer(task, prediction, query, spec), id="predict-answer")]


def _form(query: Query) -> Component:
    spec = query.get("task", "S4")
    return components.card(
        html.Div(
            [
                dmc.TextInput(
                    debounce=True,
                    id="predict-task",
                    label="Task",
                    value=spec,
                    spellCheck=False,
                    autoComplete="off",
                    placeholder="S4",
                    flex="2 1 14rem",
                    description="A group, generators, or a parity",
                ),
                dmc.Select(
                    id="predict-activation",
                    label="Activation",
                    value=query.get("activation", ""),
                    data=components.options(components.ACTIVATIONS),
                    allowDeselect=False,
                    description="Of the hidden neurons",
                    checkIconPosition="right",
                ),
                dmc.TextInput(
                    debounce=True,
                    id="predict-strength",
                    label="Strength of the penalty",
                    value=query.get("strength", ""),
                    placeholder="0: the limit",
                    description="λ · Σ‖ω‖^ν",
                ),
                dmc.Button("Predict", id="predict-go"),
            ],
            className="controls",
        ),
        html.Div(
            [
                html.Span("Try "),
                *(
                    dcc.Link(example, href=components.address("/predict", task=example))
                    for example in _EXAMPLES
                ),
            ],
            className="examples",
        ),
        dcc.Upload(
            html.Span(
                ["or ", html.Button("upload a Cayley table", type="button"), " (.csv, .json, .npy)"]
            ),
            id="predict-upload",
            className="upload",
            max_size=-1,
        ),
        html.Div(id="predict-problem", role="status"),
        label="What to predict",
    )


def _answer(task: Task, prediction: Prediction, query: Query, spec: str) -> list[Any]:
    pieces: list[Any] = [_headlines(prediction), _grounds(prediction, query, spec, task)]
    if prediction.features:
        pieces.append(_features(prediction))
    if prediction.margin is not None and prediction.proved:
        pieces.append(_neurons(task, spec))
        pieces.append(_certificate(task, prediction, spec))
    if task.characters is not None:
        pieces.append(_characters(task.characters))
    return pieces


def _headlines(prediction: Prediction) -> Component:
    margin = (
        ("Maximum margin γ*", "unknown", "no theorem applies here")
        if prediction.margin is None
        else ("Maximum margin γ*", number(prediction.margin, 6), f"norm {prediction.norm}")
        if prediction.proved
        else ("Largest margin found", number(prediction.margin, 6), "by search; not proved")
    )
    numbers: list[tuple[str, str, str]] = [margin]
    if prediction.sufficient_width is not None:
        numbers.append(
            ("Width that suffices", str(prediction.sufficient_width), "neurons, written down below")
        )
    if prediction.theorem9_applies:
        numbers.append(("Theorem 9", "applies", "Morwani et al. 2024"))
    if prediction.collapse_penalty is not None:
        numbers.append(
            ("Collapse", number(prediction.collapse_penalty, 5), "strength above which all is zero")
        )
    at = prediction.at_penalty
    if at is not None:
        of_best = "–" if at.margin_ratio is None else f"{at.margin_ratio:.4%} of γ*"
        numbers.append(("At this strength", of_best, f"loss {number(at.loss, 6)}"))
    return components.headlines(numbers)


def _grounds(prediction: Prediction, query: Query, spec: str, task: Task) -> Component:
    facts: list[Any] = [html.Dt("Rests on"), html.Dd(prediction.theorem)]
    if prediction.task_note:
        facts = [html.Dt("Name"), html.Dd(prediction.task_note), *facts]
    if prediction.assumptions:
        facts += [html.Dt("Assumes"), html.Dd("; ".join(prediction.assumptions))]
    if prediction.note:
        facts += [html.Dt("Note"), html.Dd(prediction.note)]
    facts += [html.Dt("Command"), html.Dd(html.Code(_command(query, spec, task)))]
    small = task.size <= GREATEST_OFFERED if task.kind == "table" else task.is_listed
    train = dcc.Link(
        "Train it and watch",
        href=components.address(
            "/watch", task=spec, activation=query.get("activation"), strength=query.get("strength")
        ),
        className="button",
    )
    return components.card(
        html.Dl(facts, className="facts"), *([train] if small else []), title="What it rests on"
    )


def _command(query: Query, spec: str, task: Task) -> str:
    uploaded = spec.startswith(UPLOADED)
    words = ["marginlens predict", shlex.quote(task.name) if uploaded else f'"{spec}"']
    if query.get("activation"):
        words.append(f'--activation "{query["activation"]}"')
    if query.get("strength"):
        words.append(f"--strength {query['strength']}")
    return " ".join(words)


def _features(prediction: Prediction) -> Component:
    at = prediction.at_penalty
    rows = []
    for feature in prediction.features:
        words, mood = _STATUS[feature.status]
        least, most = feature.least_share, feature.greatest_share
        rows.append(
            [
                feature.name,
                str(feature.dimension),
                feature.type,
                components.chip(words, mood),
                _bar(least, most),
                "not determined"
                if least is None and prediction.certificate is not None
                else _share(least, most),
                *([] if at is None else [_percent(at.shares.get(feature.name))]),
            ]
        )
    columns = ["Feature", "Dimension", "Type", "A maximum-margin network", "", "Share of the norm"]
    if at is not None:
        columns.append("At this strength")
    shown = components.table(columns, rows, label="Features", numeric=(1, 5, 6))
    if len(rows) > _LARGEST_TABLE:
        shown = html.Details([html.Summary(f"All {len(rows)} features"), shown])
    return components.card(shown, title="Which features, and how much of each")


def _bar(least: float | None, most: float | None) -> Component:
    if least is None or most is None:
        return html.Span()
    return html.Span(
        [
            html.Span(className="sure", style={"width": f"{100 * least:.4g}%"}),
            html.Span(
                className="perhaps",
                style={"left": f"{100 * least:.4g}%", "width": f"{100 * (most - least):.4g}%"},
            ),
        ],
        className="bar",
        **components.aria(hidden="true"),
    )


def _share(least: float | None, most: float | None) -> str:
    low, high = _percent(least), _percent(most)
    return low if low == high else f"{low} to {high}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.4g}\N{NO-BREAK SPACE}%"


def _neurons(task: Task, spec: str) -> Component:
    title = "Neurons of an optimal network"
    if task.size > _LARGEST_NETWORK or (task.kind == "table" and task.group is None):
        return components.card(
            html.P(
                f"Written down here for groups of at most {_LARGEST_NETWORK} elements with a Cayley "
                "table."
            ),
            title=title,
        )
    network = construct(task)
    weights = network.tensors[task.slots[0]][0].numpy().astype(np.float64)
    chosen = _one_a_feature(task, weights)
    drawn = moment_figure(
        task,
        weights[:, chosen],
        chosen,
        what=f"weights {task.slots[0]} of {len(chosen)} of {weights.shape[1]} neurons",
    )
    return components.card(
        components.figure(
            "optimal",
            drawn,
            caption=(
                "Every neuron is a matrix coefficient of one irrep class: a sinusoid, where the group "
                "is cyclic."
                if task.kind == "table"
                else "Every neuron weighs the coordinates of the parity equally, and no other.",
                "Computed from the group, not trained; its margin is γ* to round-off.",
            ),
        ),
        title=title,
    )


def _one_a_feature(task: Task, weights: np.ndarray) -> list[int]:
    """The first neuron of each feature, of a few spread over all."""
    powers = np.stack([feature.power(weights.T) for feature in task.features])
    live = np.flatnonzero(powers.sum(0) > 0)
    firsts = {int(powers[:, neuron].argmax()): int(neuron) for neuron in live[::-1]}
    ordered = [firsts[feature] for feature in sorted(firsts)]
    places = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), _MOST_DRAWN)).round())
    return [ordered[int(place)] for place in places]


def _certificate(task: Task, prediction: Prediction, spec: str) -> Component:
    certificate = prediction.certificate
    pieces: list[Any] = []
    if certificate is not None:
        pieces.append(
            html.Dl(
                [
                    html.Dt("Lower bound"),
                    html.Dd(number(certificate.lower, 9)),
                    html.Dt("Upper bound"),
                    html.Dd(number(certificate.upper, 9)),
                    html.Dt("Relative gap"),
                    html.Dd(residue(certificate.gap)),
                ],
                className="facts",
            )
        )
        pieces.append(
            html.P(
                "The lower bound is the margin of an explicit network; the upper bound holds for every "
                "network, by a distribution over wrong answers. Where they meet, γ* is proved.",
                className="note",
            )
        )
    possible = _can_be_verified(task)
    if possible:
        pieces += [
            dmc.Button(
                "Verify from the table alone", id="predict-verify", variant="light", mt="sm"
            ),
            dcc.Store(id="predict-verify-spec", data=spec),
            html.Div(id="predict-verified", role="status"),
        ]
    return components.card(*pieces, title="Certificate")


def _can_be_verified(task: Task) -> bool:
    """Return whether the certificate can be verified within seconds."""
    if task.kind == "parity":
        return task.size <= _LARGEST_PARITY
    return task.group is not None and len(task.answers) <= _LARGEST_NETWORK**2


def _characters(table: CharacterTable) -> Component:
    sizes = table.class_sizes
    if len(sizes) > _MOST_CLASSES:
        words = f"It has {len(sizes)} rows; up to {_MOST_CLASSES} are shown here."
        return components.card(html.P(words), title="Character table")
    rows = [
        [f"χ{index + 1}", *(_entry(value) for value in row)]
        for index, row in enumerate(table.characters)
    ]
    columns = ["", *(f"{int(size)}" for size in sizes)]
    shown: Component = components.table(
        columns, rows, label="Character table", numeric=range(1, len(columns))
    )
    if len(sizes) > _LARGEST_TABLE:
        shown = html.Details([html.Summary(f"{len(sizes)} irreps"), shown])
    return components.card(
        html.P("Columns are conjugacy classes, by their sizes.", className="note"),
        shown,
        title="Character table",
    )


def _entry(value: complex) -> str:
    real, imaginary = (0.0 if abs(x) < 1e-9 else x for x in (value.real, value.imag))
    if not imaginary:
        return f"{real:.4g}".replace("-", "−")
    sign = "+" if imaginary > 0 else "−"
    first = f"{real:.4g}".replace("-", "−") if real else ""
    size = "" if abs(abs(imaginary) - 1) < 1e-9 else f"{abs(imaginary):.4g}"
    return f"{first}{sign if first or sign == '−' else ''}{size}i"


def _connect(app: Dash, site: Site) -> None:
    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("predict-go", "n_clicks"),
        Input("predict-task", "n_submit"),
        Input("predict-strength", "n_submit"),
        State("predict-activation", "value"),
        State("predict-task", "value"),
        State("predict-strength", "value"),
        prevent_initial_call=True,
    )
    def ask(go: Any, enter: Any, or_here: Any, activation: str, spec: str, strength: str) -> str:
        if not (go or enter or or_here):  # the form has only just been drawn
            raise PreventUpdate
        return components.address(
            "",
            task=(spec or "").strip()[:300],
            activation=activation,
            strength=(strength or "")[:40],
        )

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Output("predict-problem", "children"),
        Input("predict-upload", "contents"),
        State("predict-upload", "filename"),
        prevent_initial_call=True,
    )
    def upload(contents: str | None, filename: str | None) -> Any:
        if not contents:
            raise PreventUpdate
        try:
            spec = site.tables.add(uploaded_group(contents, filename or ""))
        except (ValueError, OSError) as error:
            return no_update, components.message(error, title="That is no Cayley table")
        return components.address("", task=spec), components.no_message()

    @app.callback(
        Output("predict-verified", "children"),
        Input("predict-verify", "n_clicks"),
        State("predict-verify-spec", "data"),
        running=[(Output("predict-verify", "loading"), True, False)],
        prevent_initial_call=True,
    )
    def verify(clicks: int | None, spec: str) -> Any:
        if not clicks:
            raise PreventUpdate
        began = time.perf_counter()
        try:
            with alone("another certificate is being verified"):
                holds, words = _verified(asked_task(spec, site.tables))
        except (ValueError, ArithmeticError) as error:
            return components.message(error)
        seconds = time.perf_counter() - began
        mark = components.chip(
            "proved" if holds else "the bounds do not meet", "good" if holds else "bad"
        )
        return html.P([mark, f" {words}, in {seconds:.2g} s"])


def _verified(task: Task) -> tuple[bool, str]:
    """Recompute both bounds from the table; return whether they meet, and the bounds as text."""
    if not _can_be_verified(task):
        raise ValueError(
            f"that takes too long here: up to order {_LARGEST_NETWORK}, and {_LARGEST_PARITY} bits of a "
            f"parity; on the command line: marginlens theory certify {task.name!r}"
        )
    if task.subset is not None:
        parity = certify_parity(task.size, len(task.subset))
        return parity.holds(), f"{number(parity.lower, 9)} ≤ γ* ≤ {number(parity.upper, 9)}"
    certificate = predict(task).certificate
    if certificate is None:
        raise ValueError("no certificate is known in this setting")
    found = certificate.verify()
    return found.holds(), f"{number(found.lower, 9)} ≤ γ* ≤ {number(found.upper, 9)}"


PREDICT = View("/predict", "Predict", "Predict", _draw, _connect)
