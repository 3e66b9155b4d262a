"""Compare: several runs, or the members of one, side by side."""

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
_MOST_MEMBERS = 200  # of a run whose key sets are found while one waits
_LARGEST = 64  # order of a group of which they are
_FREE = frozenset(("seed", "members", "record_every", "snapshots", "compile", "memory", "device"))
"""Fields of a recipe that runs of one selection law may differ in."""

_keys: WeakKeyDictionary[Run, Bool[np.ndarray, "member feature"]] = WeakKeyDictionary()


def asked_runs(text: str, known: Sequence[str]) -> list[str]:
    """Names of runs, between commas; a name that is known may hold commas itself.

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
    """Runs together whose recipes are the same but for the seed, in the order given."""
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
            f"Up to {_MOST} runs side by side: margins, shares and loss; and, of runs that differ in "
            "the seed alone, how often each set of features is learned.",
        ),
        _picker(entries, names),
    ]
    return [*top, html.Div(_shown(site, entries, names), id="compare-answer")]


def _shown(site: Site, entries: Sequence[RunSummary], names: Sequence[str]) -> list[Any]:
    if not entries and not names:
        return [_nothing("There are no finished runs here yet.")]
    if not names:
        return [_nothing("Choose runs above, or train some more.", entries[:_MOST])]
    runs, problems = _read(site, names)
    answer: list[Any] = [components.message(p, title="Left out") for p in problems]
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
        problems.append(f"at most {_MOST} runs are compared; {len(names)} were asked for")
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
            clearButtonProps=components.aria(label="Take all runs away"),
        ),
        label="Which runs",
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
    links.append(dcc.Link("Train one and watch", href="/watch", className="button"))
    return components.card(html.P(words), html.Div(links, className="buttons"))


def _answer(runs: Mapping[str, Run]) -> list[Any]:
    compared, notes = _networks(runs)
    tasks = list(dict.fromkeys(one.run.task.name for one in compared))
    if len(tasks) > 1:
        notes.append(
            f"The runs learn different tasks ({', '.join(tasks)}): margins are compared as shares of "
            "each one's own γ*, losses as they are, features only within a task."
        )
    pieces: list[Any] = [
        components.card(
            _table(compared),
            *[html.P(note, className="note") for note in notes],
            title="At a glance",
        )
    ]
    margins = margins_figure(compared)
    if margins is None:
        pieces.append(
            components.card(html.P("The maximum margin is known for none of these runs."))
        )
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
                "Bars of one feature are the networks' shares of it; ticks are the shares at the "
                "maximum margin γ*, where they are the same for all.",
                "Each live neuron counts for its dominant feature, with its norm.",
            )
            figure = components.figure(f"compare-shares-{place}", drawn, caption=caption)
            pieces.append(components.card(figure))
    caption = (
        "Losses hold the penalty, and are comparable where it is the same.",
        "Mean over the rows trained on.",
    )
    pieces.append(
        components.card(
            components.figure("compare-losses", losses_figure(compared), caption=caption)
        )
    )
    return [*pieces, *_laws(runs)]


def _networks(runs: Mapping[str, Run]) -> tuple[list[Compared], list[str]]:
    """What is compared: the first member of each run, or of a run alone its members."""
    if len(runs) > 1:
        many = [name for name, run in runs.items() if run.recipe.members > 1]
        notes = [f"Of {', '.join(many)} the first member is shown."] if many else []
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
    words = ["Curves should rise towards 100 %, and cannot cross it where γ* is proved."]
    if absent:
        words.append(f"Not drawn, as no theorem gives γ*: {', '.join(absent)}.")
    if found:
        names = ", ".join(dict.fromkeys(found))
        words.append(f"Not proved in the setting of: {names}.")
    return tuple(words)


def _laws(runs: Mapping[str, Run]) -> list[Component]:
    """A selection law of each recipe that there are several seeds of."""
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
            f"How often each set of features is learned, over the seeds of {', '.join(names)}.",
            "Lines are 95\N{NO-BREAK SPACE}% intervals, of the sets together, of the features one by "
            f"one. A feature is key where its spectral weight is at least {KEY:g}; a seed that comes "
            "twice counts once.",
        )
        pieces.append(
            components.card(components.figure(f"compare-law-{place}", drawn, caption=caption))
        )
    return pieces


def _no_law(group: Sequence[Run]) -> str | None:
    """Why there is no selection law to draw, or None."""
    task = group[0].task
    if task.kind != "table" or task.group is None or not task.features:
        return "Sets of features are counted for compositions in a group."
    if task.group.order > _LARGEST or sum(run.recipe.members for run in group) > _MOST_MEMBERS:
        return (
            f"Sets are counted here for groups of at most {_LARGEST} elements and {_MOST_MEMBERS} "
            "networks; for more: marginlens sweep."
        )
    if group[0].recipe.layers != 1:
        return "Sets of features are counted for networks of one layer."
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
