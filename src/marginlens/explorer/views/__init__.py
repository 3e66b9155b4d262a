"""The pages, by address. To add one, write a file with a ``View`` and list it here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from marginlens.explorer.site import View
from marginlens.explorer.views.atlas import ATLAS
from marginlens.explorer.views.compare import COMPARE
from marginlens.explorer.views.measure import MEASURE
from marginlens.explorer.views.predict import PREDICT
from marginlens.explorer.views.run import RUN
from marginlens.explorer.views.runs import RUNS
from marginlens.explorer.views.tour import TOUR
from marginlens.explorer.views.watch import WATCH

__all__ = ["VIEWS"]

VIEWS: Mapping[str, View] = MappingProxyType(
    {view.path: view for view in (TOUR, PREDICT, WATCH, RUNS, RUN, COMPARE, ATLAS, MEASURE)}
)
