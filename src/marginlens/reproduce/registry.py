"""Registry of the reproductions by name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from types import MappingProxyType
from typing import Any

import plotly.graph_objects as go

from marginlens.figures import (
    law_figure,
    laws_by_setting_figure,
    multiplicities_figure,
    spectral_counts_figure,
)
from marginlens.reproduce import claims
from marginlens.sweeps import Results, Sweep, read_sweep
from marginlens.verdict import Claim, Verdict

__all__ = ["REPRODUCTIONS", "Reproduction"]

Figures = Iterable[tuple[str, go.Figure]]


@dataclass(frozen=True)
class Reproduction:
    """Open question as a sweep with expected results.

    Attributes
    ----------
    name, question, source
        Name such as ``"o61"``, the question, and its source.
    judge
        Function from the sweep's results to claims.
    tables
        Names of the tables (``marginlens.sweeps.TABLES``) that answer it.
    draw
        Function from the results to named figures.
    """

    name: str
    question: str
    source: str
    judge: Callable[[Results], list[Claim]]
    tables: tuple[str, ...]
    draw: Callable[[Results], Figures]

    @property
    def toml(self) -> str:
        """Text of the sweep's TOML file."""
        return resources.files("marginlens.reproduce").joinpath(f"{self.name}.toml").read_text()

    def sweep(self, **changes: Any) -> Sweep:
        """Return the sweep with changed fields, usually ``seeds`` and ``seed``."""
        data = tomllib.loads(self.toml)
        top = {name: value for name, value in changes.items() if name in ("seeds", "seed")}
        recipe = {name: value for name, value in changes.items() if name not in top}
        return read_sweep({**data, **top, "recipe": {**data.get("recipe", {}), **recipe}})

    def verdict(self, results: Results) -> Verdict:
        """Return the comparison of the results with the expected ones."""
        return Verdict(self.name, None, None, tuple(self.judge(results)))


def _by_width_and_decay(results: Results) -> Figures:
    for name in ("C5", "S3"):
        for activation in ("x^2", "relu"):
            where = f"task = '{name}' and activation = '{activation}'"
            laws = {}
            for members in results.configurations(where).values():
                setting = members["width"][0].as_py(), members["strength"][0].as_py()
                laws[setting] = results.law_of(members)
            file = f"{name}-{activation.replace('^', '')}"
            yield file, laws_by_setting_figure(laws, "width", "decay", f"{name}, {activation}")


def _every_law(results: Results, names: tuple[str, ...]) -> Figures:
    for members in results.configurations().values():
        file = "-".join(str(members[name][0].as_py()) for name in names).replace("^", "")
        yield file, law_figure(results.law_of(members), results.describe(members, names))


def _multiplicities(results: Results) -> Figures:
    records = claims.multiplicities_of(results)
    yield "multiplicities", multiplicities_figure(records, "Pure neurons by irrep")


def _counts(results: Results) -> Figures:
    title = "Frequencies of ReLU networks with weight decay"
    yield "counts", spectral_counts_figure(claims.counts_of(results), title)


REPRODUCTIONS: Mapping[str, Reproduction] = MappingProxyType(
    {
        one.name: one
        for one in (
            Reproduction(
                "o61",
                "Which features does training select? The pilot of the selection law",
                "Levine, MAIS-O61",
                claims.pilot,
                ("convergence", "same", "law", "counts", "features", "symmetry"),
                _by_width_and_decay,
            ),
            Reproduction(
                "o54",
                "How are neurons shared out among irreps: d², d³, or the program's shares?",
                "Levine, MAIS-O54",
                claims.sharing_rules,
                ("features", "counts"),
                _multiplicities,
            ),
            Reproduction(
                "o59",
                "How often do both neurons of the smallest network on C5 take one frequency?",
                "Levine, MAIS-O59",
                claims.same_frequency,
                ("same", "law", "convergence", "symmetry"),
                partial(_every_law, names=("activation", "strength")),
            ),
            Reproduction(
                "o52",
                "How does the number of frequencies of a ReLU network grow with p?",
                "Levine, MAIS-O52",
                claims.counts_against_order,
                ("counts", "convergence"),
                _counts,
            ),
            Reproduction(
                "o58",
                "Given their number, are all sets of frequencies equally likely?",
                "Levine, MAIS-O58",
                claims.exchangeability,
                ("symmetry", "counts"),
                partial(_every_law, names=("task", "activation")),
            ),
        )
    }
)
