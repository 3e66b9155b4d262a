"""Standard tables of a sweep; to add one, write its function and list it in ``TABLES``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from marginlens.groups import feature_permutations
from marginlens.measures import SelectionLaw
from marginlens.measures.ensembles.intervals import clopper_pearson, mean_interval
from marginlens.measures.ensembles.symmetry import SYMMETRY_TESTS, SymmetryTest, holm
from marginlens.sweeps.results import Results
from marginlens.tasks import task

__all__ = ["TABLES", "ResultTable", "symmetry_tests"]

_MOST_SETS = 12


@dataclass(frozen=True)
class ResultTable:
    """Printable table of results.

    Attributes
    ----------
    title, note
        Title above the table, and note on the computation below it.
    columns
        Names of the columns.
    rows
        Values as text, one tuple per row.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    note: str = ""

    def to_markdown(self) -> str:
        """Return the table as Markdown, with title and note."""
        rule = "|".join("---" for _ in self.columns)
        lines = [
            f"**{_markdown(self.title)}**",
            "",
            f"| {' | '.join(map(_markdown, self.columns))} |",
            f"|{rule}|",
        ]
        lines += [f"| {' | '.join(map(_markdown, row))} |" for row in self.rows]
        return "\n".join([*lines, *(["", _markdown(self.note)] if self.note else [])]) + "\n"

    def to_latex(self) -> str:
        """Return the table as a LaTeX ``tabular``."""
        body = [" & ".join(map(_latex, row)) + r" \\" for row in self.rows]
        head = " & ".join(map(_latex, self.columns)) + r" \\ \hline"
        begin = r"\begin{tabular}{" + "l" * len(self.columns) + "}"
        title = " ".join(self.title.split())
        return "\n".join([f"% {title}", begin, head, *body, r"\end{tabular}"]) + "\n"

    def to_csv(self) -> str:
        """Return the table as CSV with a line of column names, without title and note."""
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows([self.columns, *self.rows])
        return lines.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values for JSON."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "note": self.note}


_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|~$"} | {"\n": " ", "\r": " "})
_LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "–": "--",
        "−": "$-$",
        "≥": r"$\ge$",
        "≤": r"$\le$",
        "×": r"$\times$",
        "γ": r"$\gamma$",
        "√": r"$\surd$",
        "±": r"$\pm$",
        "≈": r"$\approx$",
        "σ": r"$\sigma$",
        "ρ": r"$\rho$",
        "π": r"$\pi$",
        "χ": r"$\chi$",
        "²": r"$^2$",
        "…": r"\dots{}",
        "\n": " ",
        "\r": " ",
    }
)


def _markdown(text: str) -> str:
    r"""Return the text with Markdown's special characters escaped.

    Examples
    --------
    >>> print(_markdown("|x|^1.5 [b] key_set"))
    \|x\|^1.5 \[b\] key\_set
    """
    return text.translate(_MARKDOWN)


def _latex(text: str) -> str:
    r"""Return the text with LaTeX's special characters escaped.

    Examples
    --------
    >>> print(_latex("50 % of a_b & |x|^2"))
    50 \% of a\_b \& \textbar{}x\textbar{}\textasciicircum{}2
    """
    return text.translate(_LATEX)


def _each(
    results: Results, where: str | None
) -> tuple[tuple[str, ...], Iterator[tuple[tuple[str, ...], pa.Table]]]:
    """Return the varying columns, and for each configuration its values and its members."""
    configurations = results.configurations(where)
    names = results.varying_in(pa.concat_tables(configurations.values())) or ("task",)

    def walk() -> Iterator[tuple[tuple[str, ...], pa.Table]]:
        for members in configurations.values():
            yield tuple(_text(members[name][0].as_py()) for name in names), members

    return names, walk()


def convergence(results: Results, where: str | None = None) -> ResultTable:
    """Return the table of converged, diverged and collapsed runs per configuration."""
    names, each = _each(results, where)
    rows = []
    for settings, members in each:
        ends = members["end"].to_pylist()
        converged, diverged = ends.count("converged"), ends.count("diverged")
        collapsed = [one for one in members["collapsed"].to_pylist() if one is not None]
        rows.append(
            (
                *settings,
                str(len(ends)),
                str(converged),
                str(len(ends) - converged - diverged),
                str(diverged),
                str(sum(collapsed)) if collapsed else "–",
                f"{np.median(results.column(members, 'end_step')):.0f}",
                f"{np.mean(results.column(members, 'accuracy')):.3f}",
            )
        )
    return ResultTable(
        "Convergence of the runs",
        (
            *names,
            "runs",
            "converged",
            "nonconvergent",
            "diverged",
            "collapsed",
            "median step",
            "mean accuracy",
        ),
        rows,
        "Nonconvergent: stopped at the last step. Collapsed: the logits are numerically zero.",
    )


def counts(results: Results, where: str | None = None) -> ResultTable:
    """Return the table of mean numbers of features and neurons."""
    names, each = _each(results, where)
    rows = []
    for settings, members in each:
        width = members["width"][0].as_py()
        cells = [_mean(results.column(members, name)) for name in ("key_count", "spectral_count")]
        cells += [_mean(results.column(members, n)) for n in ("pure_neurons", "dead_neurons")]
        rows.append((*settings, *cells, str(width)))
    return ResultTable(
        "Mean numbers of features and neurons",
        (*names, "key features", "spectral count N", "pure neurons", "dead neurons", "of neurons"),
        rows,
        "Student's 95 % intervals over seeds.",
    )


def law(results: Results, where: str | None = None) -> ResultTable:
    """Return the table of frequencies of key sets."""
    names, laws = _laws(results, where)
    rows = []
    for settings, _, found in laws:
        for one in found.sets[:_MOST_SETS]:
            rows.append(
                (
                    *settings,
                    one.name,
                    str(one.count),
                    f"{one.probability:.3f}",
                    _range(one.low, one.high),
                    _range(one.simultaneous_low, one.simultaneous_high),
                )
            )
        rest = found.sets[_MOST_SETS:]
        if rest:
            number = sum(one.count for one in rest)
            pooled = _share(number, found.runs)
            rows.append((*settings, f"{len(rest)} others", str(number), *pooled, "–"))
    return ResultTable(
        "Selection law",
        (*names, "key set", "runs", "probability", "95 %", "95 %, all sets at once"),
        rows,
        "Exact intervals (Clopper and Pearson); the last ones hold for all 2^f sets of the f features "
        "at once (Bonferroni).",
    )


def features(results: Results, where: str | None = None) -> ResultTable:
    """Return the table of each feature's probability to be key, weight and norm share."""
    names, laws = _laws(results, where)
    rows = []
    for settings, members, found in laws:
        digest = members["configuration"][0].as_py()
        table = results.query(
            "select seed, position, spectral_weight, multiplicity, norm_share from features "
            f"where configuration = '{digest}' order by position, seed"
        )
        chosen = np.isin(table["seed"].to_numpy(), members["seed"].to_numpy())
        for i, name in enumerate(found.features):
            kept = chosen & (table["position"].to_numpy() == i)
            cells = [
                _mean(results.column(table, column)[kept])
                for column in ("spectral_weight", "multiplicity", "norm_share")
            ]
            rows.append(
                (
                    *settings,
                    name,
                    f"{found.feature_probability[i]:.3f}",
                    _range(found.feature_low[i], found.feature_high[i]),
                    *cells,
                )
            )
    return ResultTable(
        "Probability and weight of each feature",
        (*names, "feature", "P(key)", "95 %", "spectral weight b", "multiplicity", "norm share"),
        rows,
        "P(key) with exact intervals; means with Student's 95 % intervals over seeds. Multiplicity: "
        "share of all neurons that are pure for the feature.",
    )


def same(results: Results, where: str | None = None) -> ResultTable:
    """Return the table of the probability that all neurons are pure for the same feature."""
    names, each = _each(results, where)
    rows = []
    for settings, members in each:
        kept = [one for one in members["same_feature"].to_pylist() if one is not None]
        pure = results.column(members, "pure_neurons") == results.column(members, "width")
        if kept:
            cells = []
            for number in (int(sum(kept)), int(np.sum(pure))):
                cells += _share(number, len(kept))
            rows.append((*settings, str(len(kept)), *cells))
    return ResultTable(
        "Probability that all neurons are pure for the same feature",
        (*names, "runs", "all for the same", "95 % of these", "all pure", "95 %"),
        rows,
        "Exact intervals (Clopper and Pearson).",
    )


def cooccurrence(results: Results, where: str | None = None) -> ResultTable:
    """Return the table of the joint probability of two key features, against independence."""
    names, laws = _laws(results, where)
    rows = []
    for settings, _, found in laws:
        for i, j in combinations(range(len(found.features)), 2):
            share = _share(int(found.co_occurrence[i, j]), found.runs)
            lift = _text(float(found.lift[i, j]))
            rows.append((*settings, found.features[i], found.features[j], *share, lift))
    return ResultTable(
        "Co-occurrence of key features",
        (*names, "feature", "and", "probability", "95 %", "times independence"),
        rows,
        "Exact intervals (Clopper and Pearson); the last column is P(both) / (P(one) P(other)).",
    )


def symmetry(results: Results, where: str | None = None) -> ResultTable:
    """Return the table of tests of the law's symmetry, with adjusted p-values."""
    names, each = _each(results, where)
    rows, tests, left_out = [], [], 0
    for settings, members in each:
        for test in symmetry_tests(results, members):
            if test.informative:
                rows.append((*settings, test.name))
                tests.append(test)
            left_out += not test.informative
    adjusted = holm([test.p_value for test in tests])
    full = [
        (
            *row,
            _text(test.statistic),
            str(test.degrees_of_freedom),
            f"{test.p_value:.4f}",
            f"{p:.4f}",
        )
        for row, test, p in zip(rows, tests, adjusted, strict=True)
    ]
    return ResultTable(
        "Symmetry of the selection law",
        (*names, "hypothesis", "chi-squared", "degrees", "p", "p, adjusted"),
        full,
        "Invariance under Out(G) is proved; exchangeability beyond it is not. P-values: 20,000 laws "
        "sampled under the hypothesis (seed 0), conditional on the number of runs in each class; "
        f"adjusted by Holm over the whole table. {left_out} more tests are omitted, since every outcome "
        "would pass.",
    )


def symmetry_tests(
    results: Results, members: pa.Table, kinds: Iterable[str] = tuple(SYMMETRY_TESTS)
) -> list[SymmetryTest]:
    """Return the symmetry tests of one configuration's law; empty for tasks without a group."""
    problem = task(members["task"][0].as_py())
    if problem.group is None:
        return []
    permutations = feature_permutations(problem.group)
    _, key = results.key(members)
    found = []
    for kind in kinds:
        try:
            found.append(SYMMETRY_TESTS[kind](key, permutations))
        except ValueError:  # too many sets to enumerate
            continue
    return found


TABLES: Mapping[str, Callable[[Results, str | None], ResultTable]] = MappingProxyType(
    {
        "convergence": convergence,
        "counts": counts,
        "law": law,
        "features": features,
        "same": same,
        "cooccurrence": cooccurrence,
        "symmetry": symmetry,
    }
)
"""Tables by name."""


def _laws(
    results: Results, where: str | None
) -> tuple[tuple[str, ...], Iterator[tuple[tuple[str, ...], pa.Table, SelectionLaw]]]:
    """Return :func:`_each` with the selection laws, for tasks with key sets only."""
    names, each = _each(results, where)
    return names, (
        (settings, members, results.law_of(members))
        for settings, members in each
        if _has_key(members)
    )


def _has_key(members: pa.Table) -> bool:
    """Return whether the task has key sets; sparse parity has no key sets."""
    return members["key_set"].null_count < members.num_rows


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _mean(values: np.ndarray) -> str:
    kept = values.astype(float)
    kept = kept[~np.isnan(kept)]
    if not len(kept):
        return "–"
    mean, low, high = mean_interval(kept)
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} ± {high - mean:.3f}"


def _share(number: int, runs: int) -> tuple[str, str]:
    """Return a proportion and its confidence interval as text."""
    low, high = clopper_pearson(np.array([number]), runs)
    return f"{number / runs:.3f}", _range(low[0], high[0])


def _range(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"
