"""Page "Compare": several runs, or the members of one run, side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import dash_mantine_components as dmc
import numpy as np
from dash import Input, Output, dcc, html

from marginlens.explorer import components
from marginlens.explorer.context import Query, Site, View
from marginlens.figures import law_figure
from marginlens.figures.run.compare import (
    Compared,
    losses_figure,
    margins_figure,
    shares_by_run_figure,
)
from marginlens.figures.style import number
from marginlens.measures import observe, selection_law
from marginlens.measures.ensembles.observables import KEY

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component
    from jaxtyping import Bool

    from marginlens.explorer.library import RunSummary
    from marginlens.runs import Run

__all__ = ["COMPARE", "asked_runs", "by_recipe"]

_MOST = 8
_MOST_MEMBERS = 200  # members whose key sets are computed during a request
_LARGEST = 64  # order of the group for that
_FREE = frozenset(("seed", "members", "record_every", "snapshots", "compile", "memory", "device"))
"""Recipe fields that may differ between runs of one selection law."""

_keys: WeakKeyDictionary[Run, Bool[np.ndarray, "member feature"]] = WeakKeyDictionary()


def asked_runs(text: str, known: Sequence[str]) -> list[str]:
    """Return the run names in a comma-separated text; known names may contain commas.

    Examples
    --------
    >>> asked_runs("C23,SL(2,3),C23", ["C23", "SL(2,3)"])
    ['C23', 'SL(2,3)']
    """
    pieces, names, start = text.split(","), [], 0
    while start < len(pieces):
        ends = range(min(len(pieces), start + 30), start, -1)  # the longest known name
        end = next((e for e in ends if ",".join(pieces[start:e]) in known), start + 1)
        names.append(",".join(pieces[start:end]).strip())
        start = end
    return list(dict.fromkeys(name for name in names if name))


def by_recipe(runs: Sequence[Run]) -> list[list[Run]]:
    """Group runs whose recipes differ in the seed only, in the given order."""
    groups: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        group = run.task.group
        table = b"" if group is None else group.table.tobytes()  # two may have one name
        fields = sorted(run.recipe.model_dump(exclude=set(_FREE)).items())
        groups[repr((fields, hash(table)))].append(run)
    return list(groups.values())


def _draw(site: Site, query: Query) -> list[Any]:
    entries = site.library.entries()
    names = asked_runs(query.get("runs", ""), [entry.name for entry in entries])
    top = [
        components.heading(
            "Compare",
            f"Margins, feature shares and losses of up to {_MOST} runs side by side. For runs that "
            "differ in the seed only: frequency of each learned set of features.",
        ),
        _picker(entries, names),
    ]
    return [*top, html.Div(_shown(site, entries, names), id="compare-answer")]


def _shown(site: Site, entries: Sequence[RunSummary], names: Sequence[str]) -> list[Any]:
    if not entries and not names:
        return [_nothing("This folder has no finished runs yet.")]
    if not names:
        return [_nothing("Choose runs above, or train a new one.", entries[:_MOST])]
    runs, problems = _read(site, names)
    answer: list[Any] = [components.message(p, title="Not compared") for p in problems]
    return answer + _answer(runs) if runs else answer


def _read(site: Site, names: Sequence[str]) -> tuple[dict[str, Run], list[str]]:
    runs: dict[str, Run] = {}
    problems = []
    for name in names[:_MOST]:
        try:
            runs[name] = site.library.run(name)
        except (ValueError, OSError) as error:
            problems.append(str(error))
    if len(names) > _MOST:
        problems.append(f"expected at most {_MOST} runs, got {len(names)}; the first are compared")
    return runs, problems


def _picker(entries: Sequence[RunSummary], names: Sequence[str]) -> Component:
    known = [entry.name for entry in entries]
    return components.card(
        dmc.MultiSelect(
            id="compare-runs",
            label="Runs",
            value=[n for n in names if n in known][:_MOST],
            data=[{"value": name, "label": name} for name in known],
            maxValues=_MOST,
            searchable=True,
            clearable=True,
            placeholder="" if names else "Choose runs",
            nothingFoundMessage="No run has this name",
            debounce=400,
            limit=200,
            clearButtonProps=components.aria(label="Remove all runs"),
        ),
        label="Choice of runs",
    )


def _nothing(words: str, entries: Sequence[RunSummary] = ()) -> Component:
    links: list[Any] = []
    if len(entries) > 1:
        latest = ",".join(entry.name for entry in entries)
        links.append(
            dcc.Link(
                f"Compare the latest {len(entries)}",
                href=components.address("/compare", runs=latest),
                className="button",
            )
        )
    links.append(dcc.Link("Train a network", href="/watch", className="button"))
    return components.card(html.P(words), html.Div(links, className="buttons"))


def _answer(runs: Mapping[str, Run]) -> list[Any]:
    compared, notes = _networks(runs)
    tasks = list(dict.fromkeys(one.run.task.name for one in compared))
    if len(tasks) > 1:
        notes.append(
            f"The runs learn different tasks ({', '.join(tasks)}): margins are divided by each task's "
            "γ*, losses are not normalized, features are compared within a task only."
        )
    pieces: list[Any] = [
        components.card(
            _table(compared), *[html.P(note, className="note") for note in notes], title="Summary"
        )
    ]
    margins = margins_figure(compared)
    if margins is None:
        pieces.append(components.card(html.P("The maximum margin of these runs is not known.")))
    else:
        pieces.append(
            components.card(
                components.figure("compare-margins", margins, caption=_margins(compared))
            )
        )
    for place, name in enumerate(tasks):
        chosen = [(i, one) for i, one in enumerate(compared) if one.run.task.name == name]
        drawn = shares_by_run_figure([one for _, one in chosen], [i for i, _ in chosen])
        if drawn is not None:
            caption = (
                "Bars: share of the norm that each network gives a feature. Ticks: share at the maximum "
                "margin γ*, if it is the same for all networks.",
                "Each live neuron counts for its dominant feature, weighted by its norm.",
            )
            figure = components.figure(f"compare-shares-{place}", drawn, caption=caption)
            pieces.append(components.card(figure))
    caption = (
        "Losses include the penalty; compare them only between runs with the same penalty.",
        "Mean over the training rows.",
    )
    pieces.append(
        components.card(
            components.figure("compare-losses", losses_figure(compared), caption=caption)
        )
    )
    return [*pieces, *_laws(runs)]


def _networks(runs: Mapping[str, Run]) -> tuple[list[Compared], list[str]]:
    """Return the compared networks: first member of each run, or all members of a single run."""
    if len(runs) > 1:
        many = [name for name, run in runs.items() if run.recipe.members > 1]
        notes = [f"Only the first member of {', '.join(many)} is shown."] if many else []
        return [Compared(name, run) for name, run in runs.items()], notes
    ((name, run),) = runs.items()
    members = run.recipe.members
    if members == 1:
        return [Compared(name, run)], ["Choose a second run to compare this one with."]
    notes = [f"The first {_MOST} of {members} members are shown."] if members > _MOST else []
    seeds = range(run.recipe.seed, run.recipe.seed + min(members, _MOST))
    return [Compared(f"seed {seed}", run, i) for i, seed in enumerate(seeds)], notes


def _table(compared: Sequence[Compared]) -> Component:
    columns = [
        "Run",
        "Task",
        "Activation",
        "Width",
        "Strength",
        "Seed",
        "Steps",
        "Margin / γ*",
        "Verdict",
        "Live neurons",
        "Features used",
    ]
    rows = []
    for one in compared:
        run, found = one.run, one.measurement
        ends = run.training.end_steps
        ratio = one.margin_ratio
        last = ratio[-1] if len(ratio) else np.nan
        rows.append(
            [
                _name(one),
                run.task.name,
                run.recipe.activation if run.recipe.network == "mlp" else run.recipe.network,
                str(run.recipe.width),
                number(run.recipe.final_strength, 4),
                str(run.recipe.seed + one.member),
                f"{int(ends[one.member]) if one.member < len(ends) else run.recipe.steps}",
                "–" if np.isnan(last) else f"{last:.3%}",
                _verdict(one),
                "–" if found is None else f"{int(found.live.sum())} / {len(found.live)}",
                "–" if found is None else f"{int((found.count > 0).sum())} / {len(found.count)}",
            ]
        )
    shown = components.table(columns, rows, label="Runs compared", numeric=(3, 4, 5, 6, 7, 9, 10))
    return html.Div(shown, className="dense")


def _name(one: Compared) -> Any:
    if one.member or one.label.startswith("seed "):
        return one.label
    return dcc.Link(one.label, href=components.address("/run", name=one.label))


def _verdict(one: Compared) -> Any:
    if not one.run.is_measured or one.member:
        return "–"
    verdict = one.run.verdict
    scored = [claim for claim in verdict.claims if claim.status != "not covered"]
    passing = sum(claim.status == "passes" for claim in scored)
    words = f"{passing} of {len(scored)} pass" if verdict.status == "passes" else verdict.status
    return components.chip(words, verdict.mood)


def _margins(compared: Sequence[Compared]) -> tuple[str, ...]:
    absent = [one.label for one in compared if one.run.prediction.margin is None]
    found = [
        one.label
        for one in compared
        if one.run.prediction.margin is not None and not one.run.prediction.proved
    ]
    words = ["Curves should rise towards 100 %; they cannot exceed it if γ* is proved."]
    if absent:
        words.append(f"Not drawn, since no theorem gives γ*: {', '.join(absent)}.")
    if found:
        names = ", ".join(dict.fromkeys(found))
        words.append(f"γ* is not proved for: {names}.")
    return tuple(words)


def _laws(runs: Mapping[str, Run]) -> list[Component]:
    """Return a selection law for each recipe with several seeds."""
    pieces = []
    for place, group in enumerate(by_recipe(list(runs.values()))):
        names = [name for name, run in runs.items() if run in group]
        seeds = {run.recipe.seed + i for run in group for i in range(run.recipe.members)}
        if len(seeds) < 2:
            continue
        title = f"Selection law: {group[0].task.name}, {len(seeds)} seeds"
        why = _no_law(group)
        if why is not None:
            pieces.append(components.card(html.P(why), title=title))
            continue
        first = {}
        for run in group:
            for member, row in enumerate(_key_features(run)):
                first.setdefault(run.recipe.seed + member, row)
        law = selection_law(
            np.stack([first[seed] for seed in sorted(first)]),
            [feature.name for feature in group[0].task.features],
        )
        drawn = law_figure(law, title).update_layout(title_text=title)
        caption = (
            f"Frequency of each learned set of features over the seeds of {', '.join(names)}.",
            "Lines: 95\N{NO-BREAK SPACE}% intervals, simultaneous for sets, separate for features. A "
            f"feature is key if its spectral weight is at least {KEY:g}; a repeated seed counts once.",
        )
        pieces.append(
            components.card(components.figure(f"compare-law-{place}", drawn, caption=caption))
        )
    return pieces


def _no_law(group: Sequence[Run]) -> str | None:
    """Return the reason against a selection law, or None if it can be drawn."""
    task = group[0].task
    if task.kind != "table" or task.group is None or not task.features:
        return "Selection laws are available for composition in a group only."
    if task.group.order > _LARGEST or sum(run.recipe.members for run in group) > _MOST_MEMBERS:
        return (
            f"Selection laws are computed here for at most {_LARGEST} group elements and "
            f"{_MOST_MEMBERS} networks; for more, run: marginlens sweep."
        )
    if group[0].recipe.layers != 1:
        return "Selection laws are available for networks of one layer only."
    return None


def _key_features(run: Run) -> Bool[np.ndarray, "member feature"]:
    if run not in _keys:
        _keys[run] = observe(run.training.network, run.task).key
    return _keys[run]


def _connect(app: Dash, site: Site) -> None:
    @app.callback(
        Output("compare-answer", "children"),
        Input("compare-runs", "value"),
        prevent_initial_call=True,
    )
    def choose(names: list[str] | None) -> list[Any]:
        return _shown(site, site.library.entries(), (names or [])[:_MOST])

    app.clientside_callback(
        "window.dash_clientside.pages.compared",
        Output("compare-runs", "data-kept"),
        Input("compare-runs", "value"),
        prevent_initial_call=True,
    )


COMPARE = View("/compare", "Compare", "Compare runs", _draw, _connect)
