"""Write gap_character_tables.json: character tables by GAP, and Cayley tables of small groups.

Run from the repository: PYTHONPATH=tests python tests/data/export_gap_tables.py

"named" holds groups of ours by spec, with GAP's characters at one element of each class (our
index). "small" holds groups from GAP's library of small groups, Cayley table included: neither
table comes from our code. A cell [N, c] is the number Σ_j c_j exp(2πi j/N).
"""

import json
from pathlib import Path

import numpy as np
from gap_oracle import gap_characters

from marginlens.groups import group
from marginlens.groups.gap import run_gap

# fmt: off
SPECS = (
    "C5", "C12", "D5", "D6", "Q8", "Q16", "Dic3", "SL(2,3)", "S3", "S4", "S5", "A4", "A5", "S3xC4",
    "Q8xC3", "C2xC2xC4", "S6", "SL(2,5)",
)
# fmt: on
SMALL = ((16, 13), (21, 1), (27, 3), (32, 9), (48, 28))


def small_group(order: int, identifier: int) -> dict:
    script = f"""
    G := SmallGroup({order}, {identifier});; all := Elements(G);;
    cell := function(x) local n; n := Conductor(x); return [n, CoeffsCyc(x, n)]; end;;
    R := List(ConjugacyClasses(G), Representative);;
    Print("[", List(all, a -> List(all, b -> Position(all, a*b) - 1)), ",",
          List(R, r -> Position(all, r) - 1), ",",
          List(Irr(G), chi -> List(R, g -> cell(g^chi))), "]\\n");
    """
    table, representatives, characters = json.loads(run_gap(script, packages=["smallgrp"]))
    return {"table": table, "representatives": representatives, "characters": characters}


def export(path: Path) -> None:
    named = {}
    for spec in SPECS:
        ours = group(spec)
        representatives = np.unique(ours.class_of, return_index=True)[1]
        named[spec] = {
            "representatives": representatives.tolist(),
            "characters": gap_characters(ours.table, ours.generators, representatives),
        }
    small = {f"SmallGroup({n},{i})": small_group(n, i) for n, i in SMALL}
    lines = [
        f'"{kind}": {{\n'
        + ",\n".join(f'"{k}": {json.dumps(v, separators=(",", ":"))}' for k, v in entries.items())
        + "\n}"
        for kind, entries in (("named", named), ("small", small))
    ]
    path.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    export(Path(__file__).with_name("gap_character_tables.json"))
