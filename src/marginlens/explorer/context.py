"""Types shared by all pages: the site with its data, and the view of one page."""

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
"""Query of a page's address; for a repeated name, the last value."""


@dataclass(frozen=True, eq=False)
class Site:
    """Data that the pages of one explorer share.

    Attributes
    ----------
    folder
        Folder of the runs; the explorer reads and writes inside it only.
    library
        Finished runs in the folder.
    trainings
        Trainings of visitors, each in a separate process.
    tables
        Cayley tables that visitors uploaded.
    """

    folder: Path
    library: Library
    trainings: Trainings
    tables: Tables


@dataclass(frozen=True)
class View:
    """Page of the explorer.

    Attributes
    ----------
    path
        Address of the page, such as ``/predict``.
    label
        Name of the page in the navigation.
    title
        Title of the browser tab.
    draw
        Function from the site and the address's query to the page's content. The page shows the text of
        a ``ValueError`` as a message.
    connect
        Function that registers the view's callbacks, called once when the application is built.
    listed
        Whether the navigation lists the page.
    """

    path: str
    label: str
    title: str
    draw: Callable[[Site, Query], Component | list[Any]]
    connect: Callable[[Dash, Site], None]
    listed: bool = True
