"""Construction of the atlas up to an order, in parallel and resumable."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from distributed import as_completed

from marginlens.atlas.page import atlas_page
from marginlens.files import write_whole
from marginlens.groups.gap import SmallGroup, our_structure, run_gap, small_groups
from marginlens.groups.table import GREATEST_ORDER
from marginlens.sweeps.cluster import connected, local_workers
from marginlens.tasks import task
from marginlens.theory import predict

__all__ = ["atlas_row", "atlas_totals", "build_atlas", "read_atlas"]

_PART = 32  # groups of one order in a part
_JOB = 32  # groups that one start of GAP makes, about
_GREATEST_COUNT = 100_000

SCHEMA = pa.schema(
    [
        ("order", pa.int64()),
        ("number", pa.int64()),
        ("structure", pa.string()),
        ("classes", pa.int64()),
        ("margin", pa.float64()),
        ("gap", pa.float64()),
        ("theorem9", pa.bool_()),
        ("closed_form", pa.bool_()),
        ("unique", pa.bool_()),
        ("must", pa.int64()),
        ("may", pa.int64()),
        ("cannot", pa.int64()),
        ("width", pa.int64()),
        (
            "irreps",
            pa.list_(
                pa.struct(
                    [
                        ("name", pa.string()),
                        ("degree", pa.int64()),
                        ("type", pa.string()),
                        ("least_share", pa.float64()),
                        ("greatest_share", pa.float64()),
                        ("status", pa.string()),
                    ]
                )
            ),
        ),
    ]
)
"""Columns of the atlas: ``structure`` is GAP's description with our D4, of order 8; ``margin`` is γ*,
``gap`` its certificate's relative gap, ``width`` suffices."""

_NAMES = {
    b"dihedral": b"D_n has order 2n"
}  # files without it have GAP's names, whose D8 has order 8


@dataclass(frozen=True)
class _Part:
    """Groups of one order that are stored in one file."""

    order: int
    numbers: range

    def path(self, folder: Path) -> Path:
        first, last = self.numbers[0], self.numbers[-1]
        return folder / f"order-{self.order:04d}-{first:05d}-{last:05d}.parquet"

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return [(self.order, number) for number in self.numbers]


def atlas_row(found: SmallGroup) -> dict[str, Any]:
    """Return the prediction for a group as one row of the atlas.

    Parameters
    ----------
    found
        Group of GAP's small groups library.

    Notes
    -----
    See :mod:`marginlens.theory`, "The margin of a group"; Theorem 9 is that of Morwani et al. 2024.
    """
    prediction = predict(task(found.group))
    certificate = prediction.certificate
    assert certificate is not None
    characters = found.group.character_table
    statuses = [feature.status for feature in prediction.features]
    return {
        "order": found.order,
        "number": found.number,
        "structure": found.structure,
        "classes": len(characters.class_sizes),
        "margin": prediction.margin,
        "gap": certificate.gap,
        "theorem9": prediction.theorem9_applies,
        "closed_form": prediction.closed_form is not None,
        "unique": all(
            f.least_share is not None
            and f.greatest_share is not None
            and f.greatest_share - f.least_share < 1e-6
            for f in prediction.features
        ),
        "must": statuses.count("must"),
        "may": statuses.count("may"),
        "cannot": statuses.count("cannot"),
        "width": prediction.sufficient_width,
        "irreps": [
            {
                "name": feature.name,
                "degree": irrep.degree,
                "type": irrep.type,
                "least_share": feature.least_share,
                "greatest_share": feature.greatest_share,
                "status": feature.status,
            }
            for feature, irrep in zip(
                prediction.features, characters.irrep_classes[1:], strict=True
            )
        ],
    }


def build_atlas(
    max_order: int,
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Write one row for every group of order 2 to ``max_order``, as Parquet and as a page.

    The folder receives ``parts/``, with one atomically written file for up to 32 groups of an
    order; ``atlas.parquet``, with all rows; and ``atlas.html``. Existing parts are kept, so that an
    interrupted build resumes, and a larger order extends a smaller one.

    Parameters
    ----------
    max_order
        Greatest order of the groups, at least 2.
    folder
        Folder of the atlas; created if it does not exist.
    workers
        Number of processes; by default one per core.
    progress
        Function called with the numbers of finished groups and of all groups.

    Returns
    -------
    pyarrow.Table
        Atlas with the columns ``SCHEMA``.

    Raises
    ------
    ValueError
        GAP is missing, an order is invalid or outside its library, the groups are too many, the
        folder is a file, or it holds a damaged part.
    """
    if not 2 <= max_order <= GREATEST_ORDER:
        raise ValueError(
            f"expected a greatest order from 2 to {GREATEST_ORDER}, got {max_order}; for example 31"
        )
    if workers is not None and workers < 1:
        raise ValueError(f"expected at least 1 worker, got {workers}; for example 2")
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ValueError(f"expected a folder, got the file {str(target)!r}; choose another folder")
    parts = _parts(max_order)
    total = sum(len(part.numbers) for part in parts)
    if total > _GREATEST_COUNT:
        raise ValueError(
            f"expected at most {_GREATEST_COUNT} groups, got {total} of order 2 to "
            f"{max_order}; choose a smaller --max-order, for example 255"
        )
    store = target / "parts"
    store.mkdir(parents=True, exist_ok=True)
    missing = [part for part in parts if not part.path(store).is_file()]
    done = total - sum(len(part.numbers) for part in missing)
    if progress is not None:
        progress(done, total)
    for finished in _computed(missing, store, workers):
        done += finished
        if progress is not None:
            progress(done, total)
    rows = pa.concat_tables([_read_table(part.path(store)) for part in parts])
    _write_table(rows, target / "atlas.parquet")
    write_whole(target / "atlas.html", atlas_page(rows.to_pylist(), atlas_totals(rows)))
    return rows


def read_atlas(path: str | Path) -> pa.Table:
    """Read an atlas from its folder or its Parquet file.

    Parameters
    ----------
    path
        Folder of the atlas, or Parquet file.

    Raises
    ------
    ValueError
        The file is missing or is not an atlas.
    """
    file = Path(path)
    file = file / "atlas.parquet" if file.is_dir() else file
    if not file.is_file():
        raise ValueError(
            f"no atlas at {str(path)!r}; build one with: marginlens atlas --max-order 31"
        )
    return _read_table(file)


def _read_table(file: Path) -> pa.Table:
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0].strip()
        raise ValueError(
            f"{str(file)!r}: expected a readable Parquet file ({reason}); delete it and run: "
            "marginlens atlas --max-order 31"
        ) from None
    if not table.schema.equals(SCHEMA):
        raise ValueError(
            f"{str(file)!r}: expected the columns {', '.join(SCHEMA.names[:5])}, …, got "
            f"{', '.join(table.schema.names[:5])}; delete it and run: marginlens atlas "
            "--max-order 31"
        )
    if (table.schema.metadata or {}).get(b"dihedral") != _NAMES[b"dihedral"]:
        ours = [our_structure(structure) for structure in table["structure"].to_pylist()]
        place = table.schema.get_field_index("structure")
        table = table.set_column(place, SCHEMA.field(place), [ours])
    return table.replace_schema_metadata(_NAMES)


def atlas_totals(rows: pa.Table) -> dict[str, int]:
    """Return the number of groups, and the number of groups with each property.

    Parameters
    ----------
    rows
        Rows of the atlas.
    """
    return {
        "groups": rows.num_rows,
        "theorem9": sum(rows["theorem9"].to_pylist()),
        "closed_form": sum(rows["closed_form"].to_pylist()),
        "with_cannot": sum(count > 0 for count in rows["cannot"].to_pylist()),
        "not_unique": sum(not unique for unique in rows["unique"].to_pylist()),
    }


def _parts(max_order: int) -> list[_Part]:
    script = (
        f"for n in [2..{max_order}] do if SmallGroupsAvailable(n) then "
        'Print(NumberSmallGroups(n), " "); else Print("-1 "); fi; od;'
    )
    counts = [int(count) for count in run_gap(script, packages=["smallgrp"]).split()]
    parts = []
    for order, count in enumerate(counts, start=2):
        if count < 0:
            raise ValueError(
                f"expected orders of GAP's library, got {order}; the greatest order possible "
                f"is {order - 1}"
            )
        for first in range(1, count + 1, _PART):
            parts.append(_Part(order, range(first, min(first + _PART, count + 1))))
    return parts


def _computed(missing: Sequence[_Part], store: Path, workers: int | None) -> Iterator[int]:
    """Compute missing parts; yield the number of groups in each finished job."""
    jobs = list(_jobs(missing))
    processes = local_workers(workers, len(jobs))
    if processes == 1:
        for job in jobs:
            yield _write_parts(job, store)
        return
    with connected(workers=processes) as client:
        futures = [client.submit(_write_parts, job, store, pure=False) for job in jobs]
        for future in as_completed(futures, loop=client.loop):
            yield future.result()
            future.release()


def _jobs(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Combine parts into jobs that are worth one start of GAP."""
    job: list[_Part] = []
    for part in parts:
        job.append(part)
        if sum(len(p.numbers) for p in job) >= _JOB:
            yield job
            job = []
    if job:
        yield job


def _write_parts(job: list[_Part], store: Path) -> int:
    groups = small_groups([pair for part in job for pair in part.pairs])
    for part in job:
        rows = [atlas_row(next(groups)) for _ in part.numbers]
        _write_table(pa.Table.from_pylist(rows, schema=SCHEMA), part.path(store))
    return sum(len(part.numbers) for part in job)


def _write_table(table: pa.Table, path: Path) -> None:
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(_NAMES), buffer)
    write_whole(path, buffer.getvalue())
