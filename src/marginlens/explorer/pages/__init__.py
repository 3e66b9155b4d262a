"""Pages of the explorer by address; to add one, write a ``View`` and list it here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from marginlens.explorer.context import View
from marginlens.explorer.pages.atlas import ATLAS
from marginlens.explorer.pages.compare import COMPARE
from marginlens.explorer.pages.measure import MEASURE
from marginlens.explorer.pages.predict import PREDICT
from marginlens.explorer.pages.run import RUN
from marginlens.explorer.pages.runs import RUNS
from marginlens.explorer.pages.tour import TOUR
from marginlens.explorer.pages.watch import WATCH

__all__ = ["VIEWS"]

VIEWS: Mapping[str, View] = MappingProxyType(
    {view.path: view for view in (TOUR, PREDICT, WATCH, RUNS, RUN, COMPARE, ATLAS, MEASURE)}
)
