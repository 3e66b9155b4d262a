"""Time and memory of characters and of all irreps against the order of a group.

Each group is worked on in a process of its own, so that its peak of memory is its own; what a bare
import takes is subtracted.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

HEISENBERG = "<[[1,1,0],[0,1,0],[0,0,1]],[[1,0,0],[0,1,1],[0,0,1]]> mod {}"
SPECS = (
    "C71",
    "A5",
    "S5",
    "C499",
    "D200",
    "SL(2,7)",
    "Heisenberg(7)",
    "S6",
    "C2xC2xC2xC2xC2xC2xC2xC2xC2xC2",
    "SL(2,11)",
    "Heisenberg(11)",
    "A6xC5",
    "C1999",
    "D1000",
)


def one(spec: str) -> None:
    """Work on one group and print the figures as JSON."""
    from marginlens.groups import group

    _ = group("S3").irrep_classes[0].unitary  # loads what is loaded when first used
    import_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    chosen = group(HEISENBERG.format(spec[11:-1]) if spec.startswith("Heisenberg") else spec)
    made = time.perf_counter()
    degrees = chosen.degrees
    characters = time.perf_counter()
    for irrep in chosen.irrep_classes:
        _ = irrep.unitary
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "order": chosen.order,
                "classes": len(chosen.class_sizes),
                "degree": int(degrees.max()),
                "table": made - started,
                "characters": characters - made,
                "irreps": done - characters,
                "peak": (peak - import_peak) / 1024,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("specs", nargs="*", default=SPECS, help="groups; default: a growing list")
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one)
        return
    table = Table(
        "group",
        "order",
        "classes",
        "greatest degree",
        "s table",
        "s characters",
        "s all irreps",
        "peak MB",
        title="from a Cayley table to all irreps; a process and one thread for each group",
    )
    for spec in arguments.specs:
        done = subprocess.run(
            [sys.executable, __file__, "--one", spec],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        row = json.loads(done.stdout)
        table.add_row(
            spec if len(spec) < 16 else "C2^10",
            str(row["order"]),
            str(row["classes"]),
            str(row["degree"]),
            f"{row['table']:.2f}",
            f"{row['characters']:.2f}",
            f"{row['irreps']:.2f}",
            f"{row['peak']:.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
