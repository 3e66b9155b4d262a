"""A sweep's folder with chosen key sets, without any training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marginlens.measures.ensembles.observables import key_set_name
from marginlens.sweeps import read_sweep
from marginlens.sweeps.schema import FEATURES, MEMBERS, recipe_values
from marginlens.tasks import task


def fake_sweep(
    folder: Path, laws: Mapping[tuple[str, int], Sequence[Sequence[int]]], **columns
) -> Path:
    """A piece for each (task, width), with the key features of every seed."""
    points = [{"task": name, "width": width} for name, width in laws]
    seeds = max(len(sets) for sets in laws.values())
    spec = {"seeds": seeds, "recipe": {"steps": 10, "compile": "never"}, "points": points}
    sweep = read_sweep(spec)
    configurations = sweep.configurations()
    for one, piece, sets in zip(
        configurations, sweep.pieces(configurations), laws.values(), strict=True
    ):
        problem = task(one.recipe.task)
        names = [feature.name for feature in problem.features]
        members, features = [], []
        for seed, chosen in enumerate(sets):
            key = [i in chosen for i in range(len(names))]
            base = {"configuration": one.digest, "seed": seed}
            members.append(
                base
                | recipe_values(one.recipe)
                | {
                    "end": "steps" if seed % 3 else "converged",
                    "end_step": 10,
                    "accuracy": 1.0,
                    "collapsed": not chosen,
                    "key_set": key_set_name(names, np.array(key)),
                    "key_count": len(chosen),
                    "spectral_count": len(chosen),
                    "pure_neurons": 1,
                    "dead_neurons": 0,
                    "same_feature": len(chosen) == 1,
                }
                | {name: values[seed] for name, values in columns.items()}
            )
            features += [
                base
                | {
                    "feature": name,
                    "position": i,
                    "type": "real",
                    "degree": 1,
                    "dimension": 1,
                    "spectral_weight": 0.5 * key[i],
                    "key": key[i],
                    "pure_neurons": int(key[i]),
                    "multiplicity": key[i] / one.recipe.width,
                    "norm_share": float(key[i]),
                }
                for i, name in enumerate(names)
            ]
        place = folder / "pieces" / f"piece={piece.id}"
        place.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(members, MEMBERS), place / "members.parquet")
        pq.write_table(pa.Table.from_pylist(features, FEATURES), place / "features.parquet")
    (folder / "sweep.toml").write_text(sweep.to_toml())
    return folder
