"""What every view has at hand, and what a view is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component

    from marginlens.explorer.form_values import Tables
    from marginlens.explorer.jobs.jobs import Trainings
    from marginlens.explorer.library import Library

__all__ = ["Query", "Site", "View"]

Query = Mapping[str, str]
"""A page's address after the question mark; of a name that comes twice, the last value."""


@dataclass(frozen=True, eq=False)
class Site:
    """What the explorer shows.

    Attributes
    ----------
    folder
        Where runs lie; nothing outside it is read or written.
    library
        The finished runs in it.
    trainings
        What is being trained, in processes of their own.
    tables
        Cayley tables that visitors uploaded.
    """

    folder: Path
    library: Library
    trainings: Trainings
    tables: Tables


@dataclass(frozen=True)
class View:
    """A page of the explorer.

    Attributes
    ----------
    path
        Its address, such as ``/predict``.
    label
        Its name in the navigation.
    title
        The tab's title.
    draw
        From the site and the address's query to what the page shows. A ``ValueError`` is shown as
        a message in the page.
    connect
        Registers the view's callbacks, once, when the application is made.
    listed
        Whether the navigation lists it.
    """

    path: str
    label: str
    title: str
    draw: Callable[[Site, Query], Component | list[Any]]
    connect: Callable[[Dash, Site], None]
    listed: bool = True
