"""Expected results of each reproduction's sweep, as claims."""

from __future__ import annotations

import numpy as np

from marginlens.figures import Multiplicities, SpectralCounts
from marginlens.measures.ensembles.intervals import clopper_pearson
from marginlens.measures.ensembles.symmetry import holm
from marginlens.runs import train_narrow
from marginlens.sweeps import Results
from marginlens.sweeps.tables import symmetry_tests
from marginlens.tasks import task
from marginlens.theory import Penalty, predict
from marginlens.verdict import Claim, claim

__all__ = [
    "counts_against_order",
    "counts_of",
    "exchangeability",
    "multiplicities_of",
    "pilot",
    "same_frequency",
    "sharing_rules",
]

_MAIS = "Levine, MAIS-A5"
_SYMMETRY = "automorphisms permute the weights' coordinates (marginlens.groups.automorphisms)"


def _symmetric(results: Results, kind: str, where: str | None, *, promised: bool) -> Claim:
    """Return the claim on the least adjusted p-value of one kind of symmetry test."""
    found = []
    for members in results.configurations(where).values():
        found += [t for t in symmetry_tests(results, members, [kind]) if t.informative]
    least = float(holm([test.p_value for test in found]).min()) if found else 1.0
    about = found[0].hypothesis if found else kind
    statement = f"{about}: least p-value of {len(found)} tests, adjusted (Holm)"
    return Claim(
        kind,
        statement[0].upper() + statement[1:],
        None,
        least,
        0.01,
        False,
        least >= 0.01,
        promised,
        _SYMMETRY if promised else _MAIS,
    )


def pilot(results: Results) -> list[Claim]:
    """Return the claims of o61: every run finished, and the law has the proved symmetry."""
    members = results.members
    return [
        claim(
            "runs",
            "Networks trained: 24 configurations of 100 seeds",
            float(results.sweep.runs),
            float(members.num_rows),
            0.0,
            _MAIS,
            promised=True,
        ),
        claim(
            "diverged",
            "Runs that left the finite numbers",
            0.0,
            float(members["end"].to_pylist().count("diverged")),
            0.0,
            _MAIS,
            promised=True,
        ),
        _symmetric(results, "invariance", "activation = 'x^2'", promised=True),
        _symmetric(results, "uniformity", "activation = 'x^2'", promised=True),
        _symmetric(results, "invariance", "activation = 'relu'", promised=True),
    ]


def same_frequency(results: Results) -> list[Claim]:
    """Return the claims of o59: how often both neurons share one frequency."""
    found = train_narrow(task("C5"), [2], seeds=16)
    best = float(found.best_counts[0, 0] == 2)
    claims = []
    for members in results.configurations().values():
        same = [bool(one) for one in members["same_feature"].to_pylist()]
        low, high = clopper_pearson(np.array([sum(same)]), len(same))
        words = results.describe(members, results.varying)
        claims.append(
            claim(
                f"same ({words})",
                "Both neurons are pure for one frequency, as in the best network of two neurons found "
                f"for x^2 ({words}; 95 %: {low[0]:.3f} to {high[0]:.3f})",
                best,
                sum(same) / len(same),
                0.01,
                "marginlens theory widths C5 --widths 2",
                promised=False,
            )
        )
    return [*claims, _symmetric(results, "invariance", None, promised=True)]


def exchangeability(results: Results) -> list[Claim]:
    """Return the claims of o58: whether sets of one size are equally likely."""
    return [
        _symmetric(results, "invariance", None, promised=True),
        _symmetric(results, "uniformity", None, promised=True),
        _symmetric(results, "exchangeability", None, promised=False),
        _symmetric(results, "exchangeability beyond symmetry", None, promised=False),
    ]


def counts_of(results: Results) -> SpectralCounts:
    """Return the numbers of key frequencies of o52 by p, with a line in ln p."""
    members = results.members
    orders = {name: task(name).size for name in members["task"].unique().to_pylist()}
    names = sorted(orders, key=orders.__getitem__)
    spec = np.array(members["task"].to_pylist())
    column = results.column(members, "spectral_count")
    counts = tuple(column[spec == name].astype(np.int64) for name in names)
    x = np.concatenate(
        [np.full(len(c), np.log(orders[n])) for n, c in zip(names, counts, strict=True)]
    )
    y = np.concatenate(counts)
    slope, start = np.polyfit(x, y, 1)
    residual = y - start - slope * x
    error = np.sqrt(residual @ residual / max(len(y) - 2, 1) / ((x - x.mean()) ** 2).sum())
    return SpectralCounts(
        tuple(orders[name] for name in names),
        counts,
        "frequencies that carry 95 % of the logits (N)",
        (float(start), float(slope), float(error)),
    )


def counts_against_order(results: Results) -> list[Claim]:
    """Return the claims of o52: fewer frequencies than (p - 1) / 2, and their growth."""
    record = counts_of(results)
    claims = [
        claim(
            f"p = {p}",
            f"Frequencies that carry 95 % of the logits at p = {p}: all (p - 1) / 2 of the "
            "maximum-margin network?",
            (p - 1) / 2,
            float(counts.mean()),
            0.5,
            "Morwani et al. 2024, Theorem 7 (for x^2)",
            promised=False,
        )
        for p, counts in zip(record.order, record.counts, strict=True)
    ]
    assert record.fit is not None
    slope, error = record.fit[1:]
    return [
        *claims,
        claim(
            "growth",
            "Slope of their number in ln p, over its standard error (above 2: it grows)",
            None,
            slope / error,
            0.0,
            _MAIS,
            promised=False,
        ),
    ]


def multiplicities_of(results: Results) -> list[Multiplicities]:
    """Return the shares of pure neurons of o54 by irrep, with d^2, d^3 and program shares."""
    records = []
    for members in results.configurations().values():
        problem = task(members["task"][0].as_py())
        digest = members["configuration"][0].as_py()
        table = results.query(
            "select list(pure_neurons order by position) as n from features "
            f"where configuration = '{digest}' group by seed order by seed"
        )
        neurons = np.array(table["n"].to_pylist(), dtype=float)
        shares = neurons / np.maximum(neurons.sum(1, keepdims=True), 1)
        mean = shares.mean(0)
        half = 1.96 * shares.std(0, ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else 0 * mean
        irreps = [f.irrep for f in problem.features if f.irrep is not None]
        sizes = np.array([irrep.dimension for irrep in irreps], dtype=float)
        cubes = sizes * [irrep.degree for irrep in irreps]
        program = predict(problem, "x^2", Penalty("homogeneous", members["strength"][0].as_py()))
        at = program.at_penalty
        assert at is not None
        limit = np.array([at.shares[feature.name] for feature in problem.features])
        records.append(
            Multiplicities(
                f"{problem.name}, {members['penalty'][0].as_py()}",
                tuple(feature.name for feature in problem.features),
                mean,
                mean - half,
                mean + half,
                {"d²": sizes / sizes.sum(), "d³": cubes / cubes.sum(), "convex program": limit},
                "pure neurons",
            )
        )
    return records


def sharing_rules(results: Results) -> list[Claim]:
    """Return the claims of o54: distances from each rule, and the program's norm shares."""
    claims = []
    for record in multiplicities_of(results):
        for rule, shares in record.predictions.items():
            distance = float(np.abs(record.mean - shares).sum() / 2)
            claims.append(
                claim(
                    f"{record.task}: {rule}",
                    f"{record.task}: total variation distance of the pure "
                    f"neurons by irrep from {rule}",
                    0.0,
                    distance,
                    0.05,
                    _MAIS,
                    promised=False,
                )
            )
    for members in results.configurations("penalty = 'homogeneous'").values():
        name, digest = members["task"][0].as_py(), members["configuration"][0].as_py()
        problem = task(name)
        at = predict(
            problem, "x^2", Penalty("homogeneous", members["strength"][0].as_py())
        ).at_penalty
        assert at is not None
        table = results.query(
            "select feature, avg(norm_share) as share from features "
            f"where configuration = '{digest}' group by feature"
        )
        found = dict(zip(table["feature"].to_pylist(), table["share"].to_pylist(), strict=True))
        worst = max(abs(found[f.name] - at.shares[f.name]) for f in problem.features)
        claims.append(
            claim(
                f"{name}: norm",
                f"{name}, homogeneous: largest difference of an irrep's share of the "
                "norm from the convex program's",
                0.0,
                worst,
                0.02,
                "convex program of the irrep masses (marginlens.theory)",
                promised=False,
            )
        )
    return claims
