"""Page "Atlas": maximum margin and used irreps for every small group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html

from marginlens.atlas import atlas_totals, family_spec, packaged_atlas, read_atlas
from marginlens.explorer import components
from marginlens.explorer.context import Query, Site, View
from marginlens.explorer.form_values import asked_whole
from marginlens.figures.style import number
from marginlens.figures.theory.atlas import atlas_figure

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component

__all__ = ["ATLAS", "Listed", "asked_filters", "atlas_of", "compact_rows"]

_COLUMNS = {
    "structure": "Group",
    "order": "Order",
    "number": "Number",
    "classes": "Classes",
    "margin": "γ*",
    "theorem9": "Theorem 9",
    "width": "Width",
    "cannot": "Irreps: share of the norm",
}
_NUMERIC = ("order", "number", "classes", "margin", "width")
_IRREPS = {
    "": "any",
    "cannot": "some cannot be used",
    "must": "all must be used",
    "may": "some may be used",
}
_THEOREM9 = {"": "any", "yes": "applies", "no": "does not apply"}
_KINDS = {"": "any", "abelian": "abelian", "other": "not abelian"}
_CHOICES = {"irreps": _IRREPS, "theorem9": _THEOREM9, "kind": _KINDS}
_GREATEST = 2000
_MARKS = {"real": "", "complex": "ℂ", "quaternionic": "ℍ"}
_LONGEST = 60  # largest number of characters in a search


@dataclass(frozen=True)
class Listed:
    """Atlas prepared for the page.

    Attributes
    ----------
    rows, short
        Rows of the atlas, and their entries for the page's table.
    totals
        Number of groups by property, counted by :func:`marginlens.atlas.atlas_totals`.
    ours
        Whether the atlas was read from the site's folder.
    """

    rows: list[dict[str, Any]]
    short: list[dict[str, Any]]
    totals: dict[str, int]
    ours: bool


def atlas_of(folder: Path) -> Listed:
    """Return the atlas in ``folder/atlas`` if it has more groups than the packaged one."""
    file = folder / "atlas" / "atlas.parquet"
    try:
        found = _listed(str(file), file.stat().st_mtime_ns)
    except (OSError, ValueError):
        return _listed(None, 0)
    return found if len(found.rows) > packaged_atlas().num_rows else _listed(None, 0)


@lru_cache(maxsize=3)
def _listed(file: str | None, changed: int) -> Listed:
    table = packaged_atlas() if file is None else read_atlas(file)
    rows = table.to_pylist()
    return Listed(rows, compact_rows(rows), atlas_totals(table), file is not None)


def compact_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the table's entries for each group; equal irreps are merged into one entry.

    Examples
    --------
    >>> row = compact_rows(packaged_atlas().to_pylist())[0]
    >>> row["structure"], row["link"], row["irreps"]
    ('C2', '/predict?task=C2', [['1', 1, '1', 'must']])
    """
    return [
        {
            "structure": row["structure"],
            "order": row["order"],
            "number": row["number"],
            "classes": row["classes"],
            "margin": row["margin"],
            "shown": number(row["margin"], 7),
            "theorem9": row["theorem9"],
            "width": row["width"],
            "cannot": row["cannot"],
            "may": row["may"],
            "abelian": row["classes"] == row["order"],
            "link": _link(row),
            "irreps": _alike(row["irreps"]),
        }
        for row in rows
    ]


def _link(row: Mapping[str, Any]) -> str:
    spec = family_spec(row["structure"]) or f"SmallGroup({row['order']},{row['number']})"
    return components.address("/predict", task=spec)


def _alike(irreps: list[dict[str, Any]]) -> list[list[Any]]:
    """Return one entry per kind of irrep: degree and type, count, share of each, status."""
    counted = Counter(
        (
            f"{one['degree']}{_MARKS.get(one['type'], '')}",
            _share(one["least_share"], one["greatest_share"]),
            one["status"],
        )
        for one in irreps
    )
    return [[name, count, share, status] for (name, share, status), count in counted.items()]


def _share(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "not determined"
    low, high = (f"{value:.4f}".lstrip("0") if value < 1 else "1" for value in (least, most))
    if most < 1e-9:
        return "0"
    return low if most - least < 1e-5 else f"{low} to {high}"


def asked_filters(query: Query) -> dict[str, Any]:
    """Return the filters and the sort order in an address.

    Raises
    ------
    ValueError
        If one of them is invalid.

    Examples
    --------
    >>> found = asked_filters({"irreps": "cannot", "to": "48", "sort": "-margin"})
    >>> found["irreps"], found["from"], found["to"], found["sort"]
    ('cannot', None, 48, '-margin')
    """
    for name, choices in _CHOICES.items():
        if query.get(name, "") not in choices:
            known = ", ".join(repr(choice) for choice in choices if choice)
            raise ValueError(f"{name} must be one of {known}, or omitted; got {query[name]!r}")
    sort = query.get("sort") or "order"
    if sort.removeprefix("-") not in _COLUMNS:
        raise ValueError(
            f"sort must be one of {', '.join(_COLUMNS)}, with a leading - for descending order; "
            f"got {sort!r}"
        )
    return {
        "search": query.get("search", "")[:_LONGEST],
        **{name: query.get(name, "") for name in _CHOICES},
        "from": asked_whole(query.get("from"), "from", least=1, most=_GREATEST),
        "to": asked_whole(query.get("to"), "to", least=1, most=_GREATEST),
        "sort": sort,
    }


def _draw(site: Site, query: Query) -> list[Any]:
    atlas = atlas_of(site.folder)
    rows, short, totals = atlas.rows, atlas.short, atlas.totals
    greatest = max(row["order"] for row in rows)
    try:
        asked, problem = asked_filters(query), components.no_message()
    except ValueError as error:
        asked, problem = (
            asked_filters({}),
            [components.message(error, title="All groups are shown")],
        )
    return [
        components.heading(
            "Atlas",
            f"Every group of order 2 to {greatest}: maximum margin of a network that learns it, and "
            "irreps that such a network uses. D_n has order 2n, for example D4 has order 8.",
        ),
        *problem,
        components.headlines(
            [
                ("Groups", str(totals["groups"]), "up to isomorphism"),
                ("Theorem 9 applies", str(totals["theorem9"]), "Morwani et al. 2024"),
                ("Closed form known", str(totals["closed_form"]), "for every type of irrep"),
                ("An irrep cannot be used", str(totals["with_cannot"]), "struck through below"),
            ]
        ),
        components.card(
            components.figure(
                "atlas",
                atlas_figure(rows, [row["link"] for row in short]),
                caption=(
                    "Margins fall with the order n, roughly as n to the power −3/2. At equal order, a "
                    "group with irreps of higher degree has a lower margin. Choose a point to predict "
                    "its group.",
                    "Computed from characters only, each with a certificate.",
                ),
            )
        ),
        components.card(_controls(asked), _table(asked), _notes(atlas.ours), label="Groups"),
        dcc.Store(id="atlas-rows", data=short),
        dcc.Store(id="atlas-sort", data=asked["sort"]),
    ]


def _controls(asked: Mapping[str, Any]) -> Component:
    def select(name: str, label: str, flex: str = "1 1 9rem") -> Component:
        return dmc.Select(
            id=f"atlas-{name}",
            label=label,
            value=asked[name],
            flex=flex,
            data=components.options(_CHOICES[name]),
            allowDeselect=False,
            checkIconPosition="right",
        )

    def order(name: str, label: str, placeholder: str) -> Component:
        return dmc.NumberInput(
            id=f"atlas-{name}",
            label=label,
            value=asked[name] or "",
            placeholder=placeholder,
            min=1,
            max=_GREATEST,
            allowDecimal=False,
            allowNegative=False,
            hideControls=True,
        )

    return html.Div(
        [
            dmc.TextInput(
                id="atlas-search",
                label="Find a group",
                value=asked["search"],
                spellCheck=False,
                autoComplete="off",
                placeholder="C3, SL(2,3), 24",
                flex="2 1 11rem",
            ),
            select("irreps", "Irreps", "1 1 13rem"),
            select("theorem9", "Theorem 9"),
            select("kind", "Kind"),
            html.Div(
                [order("from", "Order from", "2"), order("to", "to", "any")], className="pair"
            ),
        ],
        className="controls",
    )


def _table(asked: Mapping[str, Any]) -> Component:
    sort = asked["sort"]
    direction = "descending" if sort.startswith("-") else "ascending"
    head = []
    for name, label in _COLUMNS.items():
        sorts: Any = {"data-sort": name}
        sorted_by: Any = components.aria(sort=direction) if sort.removeprefix("-") == name else {}
        head.append(
            html.Th(
                html.Button(label, type="button", **sorts),
                scope="col",
                className="n" if name in _NUMERIC else "",
                **sorted_by,
            )
        )
    return html.Div(
        [
            html.P(id="atlas-count", className="note count", role="status"),
            html.Div(
                html.Table(
                    [html.Thead(html.Tr(head)), html.Tbody(id="atlas-body")], id="atlas-table"
                ),
                className="scroll",
                tabIndex=0,
                role="region",
                **components.aria(label="Groups, sortable"),
            ),
        ]
    )


def _notes(ours: bool) -> Component:
    where = (
        "This atlas was read from your folder. "
        if ours
        else "To show a larger atlas here, run marginlens atlas --max-order 127 with the folder atlas "
        "beside your runs. "
    )
    return html.P(
        [
            "Equal irreps are counted together, by degree; a conjugate pair counts once. ℂ: complex "
            "pairs, ℍ: quaternionic. ",
            html.S("Struck through"),
            ": no maximum-margin network uses this irrep. Two shares: least and greatest share over all "
            "maximum-margin networks. Width: neurons of an explicit maximum-margin network. Number: "
            "index in GAP's small groups library. Named groups are predicted without GAP; the others "
            "require it. ",
            where,
        ],
        className="note",
    )


def _connect(app: Dash, site: Site) -> None:
    app.clientside_callback(
        "window.dash_clientside.atlas.show",
        Output("atlas-count", "children"),
        Input("atlas-rows", "data"),
        Input("atlas-search", "value"),
        Input("atlas-irreps", "value"),
        Input("atlas-theorem9", "value"),
        Input("atlas-kind", "value"),
        Input("atlas-from", "value"),
        Input("atlas-to", "value"),
        State("atlas-sort", "data"),
    )
    app.clientside_callback(
        "window.dash_clientside.atlas.chosen",
        Output("atlas-count", "data-chosen"),
        Input({"part": "graph", "name": "atlas"}, "clickData"),
        prevent_initial_call=True,
    )


ATLAS = View("/atlas", "Atlas", "Atlas of groups", _draw, _connect)
