"""Results of a sweep: Arrow tables, SQL queries and selection laws."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool

from marginlens.display import Displayed, Shown
from marginlens.errors import MarginLensError
from marginlens.measures import SelectionLaw, selection_law
from marginlens.sweeps.reading import read_sweep
from marginlens.sweeps.schema import FEATURES, MEMBERS, RECIPE
from marginlens.sweeps.spec import Sweep
from marginlens.sweeps.store import SPEC, failures_of, finished_of

__all__ = ["Results"]

_MEANS = ("loss", "accuracy", "margin_share")
_LATER = ("maximum_margin", "margin_share")
_READS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.RELATION)
_READING = (
    "select",
    "with",
    "from",
    "explain",
    "describe",
    "summarize",
    "show",
    "values",
    "table",
    "(",
)


class Results(Displayed):
    """Results of the finished pieces of a sweep.

    Parameters
    ----------
    folder
        Folder of the sweep, which is only read.
    temporary
        Temporary folder to delete together with this object; None keeps the folder.

    Raises
    ------
    ValueError
        If the path is not a sweep's folder, no piece is finished, or a file is damaged.

    Notes
    -----
    Tables (``marginlens.sweeps.schema``): ``members``, one row per network; ``features``, one row per
    network and feature, with the recipe's columns; ``configurations``, one row per recipe, with its
    number of runs.
    """

    def __init__(
        self, folder: str | Path, *, temporary: TemporaryDirectory[str] | None = None
    ) -> None:
        self.folder, self._temporary = Path(folder), temporary
        if not (self.folder / SPEC).is_file():
            raise MarginLensError(
                f"{str(folder)!r} is not a sweep's folder; create one with: marginlens sweep run SPEC "
                f"--out {quote(str(folder))}"
            )
        self.pieces = sorted(finished_of(self.folder))
        if not self.pieces:
            raise MarginLensError(
                f"the sweep in {str(folder)!r} has no finished pieces yet; run it first"
            )

    @cached_property
    def sweep(self) -> Sweep:
        """Specification of the sweep."""
        return read_sweep(self.folder / SPEC)

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Records of the pieces that failed."""
        return failures_of(self.folder)

    @cached_property
    def _members(self) -> pa.Table:
        whole = self._read("members", MEMBERS)
        order = [(name, "ascending") for name in (*_sortable(RECIPE), "configuration", "seed")]
        return whole.sort_by(order)

    def to_dict(self) -> dict[str, Any]:
        """Return the sweep and its members as plain values for JSON."""
        return {
            "sweep": self.sweep.model_dump(mode="json", exclude_none=True),
            "failures": self.failures,
            "members": self.members.to_pylist(),
        }

    def to_records(self) -> list[dict[str, Any]]:
        """Return the rows of :meth:`to_frame`, one per network."""
        return self.members.to_pylist()

    def to_frame(self) -> Any:
        """Return the members as a pandas DataFrame, or a pyarrow Table without pandas."""
        return self.members.to_pandas() if find_spec("pandas") is not None else self.members

    def shown(self) -> Shown:
        """Return heading, size, and one row per configuration with means over its seeds."""
        columns = [*(name for name in self.varying if name != "task"), "runs", *_MEANS]
        rows = []
        for members in self.configurations().values():
            own = [members[name][0].as_py() for name in columns[: -1 - len(_MEANS)]]
            means = [_mean(members[name]) for name in _MEANS]
            rows.append([members["task"][0].as_py(), *own, members.num_rows, *means])
        facts = [("networks", self.members.num_rows), ("failed pieces", len(self.failures))]
        words = "Numbers are means over seeds; margin share is the share of the maximum margin."
        named = [name.replace("_", " ") for name in columns]
        return Shown(f"{self.sweep.name}: a sweep", facts, ["task", *named], rows, words)

    @property
    def members(self) -> pa.Table:
        """One row per network, ordered by the recipe's columns, then by seed."""
        return self._members

    @property
    def features(self) -> pa.Table:
        """One row per network and feature, with the recipe's columns, in the same order."""
        order = ", ".join(_sortable(RECIPE))
        return self.query(f"from features order by {order}, configuration, seed, position")

    def _read(self, name: str, schema: pa.Schema) -> pa.Table:
        tables = []
        for piece in self.pieces:
            path = self.folder / "pieces" / f"piece={piece}" / f"{name}.parquet"
            try:
                table = pq.ParquetFile(path).read()
                for late in _LATER:  # sweeps of earlier versions lack these columns
                    if late in schema.names and late not in table.column_names:
                        nulls = pa.nulls(table.num_rows, schema.field(late).type)
                        table = table.append_column(late, nulls)
                tables.append(table.select(schema.names).cast(schema))
            except (OSError, KeyError, pa.ArrowException) as error:
                words = " ".join(str(error).split())
                raise MarginLensError(
                    f"{str(path)!r} is damaged ({words}); delete its folder, and run the sweep again"
                ) from None
        return pa.concat_tables(tables)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Database with the tables in memory; its statements cannot access files."""
        connection = duckdb.connect(":memory:")
        connection.register("_members", self._members)
        connection.register("_features", self._read("features", FEATURES))
        columns = ", ".join(RECIPE.names)
        qualified = ", ".join(f"m.{name}" for name in RECIPE.names)
        for view in (
            "members as select * from _members",
            f"features as select f.*, {qualified} from _features f join _members m "
            "using (configuration, seed)",
            f"configurations as select configuration, count(*) as runs, {columns} from _members "
            f"group by configuration, {columns}",
        ):
            connection.execute(f"create view {view}")
        connection.execute("set python_enable_replacements = false")  # no variable is a table
        connection.execute("set temp_directory = ''")  # else queries could read that folder
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        return connection

    def query(self, sql: str) -> pa.Table:
        """Run a read-only SQL query (DuckDB's dialect); return its result as an Arrow table.

        Parameters
        ----------
        sql
            One SELECT, DESCRIBE or other read-only statement on the tables above.

        Raises
        ------
        ValueError
            In one line, if the text is not exactly one statement, would write or read a file, or is
            invalid.
        """
        connection = self._connection
        try:
            statements = connection.extract_statements(sql)
        except duckdb.Error as error:
            raise MarginLensError(_one_line(error)) from None
        if len(statements) != 1:
            raise MarginLensError(
                f'expected one SQL statement, such as "select * from members"; got {sql!r}'
            )
        words = sql.strip().lower()
        if not _only_reads(connection, sql) or not words.startswith(_READING):
            raise MarginLensError(
                f"expected a read-only SQL statement, got {sql.split()[0].upper()}; use SELECT, or "
                "DESCRIBE members"
            )
        try:
            return connection.sql(statements[0]).to_arrow_table()
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except duckdb.Error as error:
            raise MarginLensError(_one_line(error)) from None

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """Recipe columns with more than one value."""
        return self.varying_in(self._members)

    @staticmethod
    def varying_in(members: pa.Table) -> tuple[str, ...]:
        """Return the recipe columns with more than one value among the members."""

        def values(field: pa.Field) -> int:
            column = members[field.name]
            if pa.types.is_list(field.type):
                return len(set(map(str, column.to_pylist())))
            return len(column.unique())

        return tuple(field.name for field in RECIPE if values(field) > 1)

    def where(self, condition: str | None) -> pa.Table:
        """Return the members that fulfil an SQL condition; all of them for None.

        Raises
        ------
        ValueError
            If no member fulfils the condition, or it is invalid.
        """
        if condition is None:
            return self._members
        kept = self.query(f"select configuration, seed from members where ({condition})")
        if not kept.num_rows:
            raise MarginLensError(f"no network fulfils the condition {condition!r}")
        pairs = set(zip(*(kept[n].to_pylist() for n in ("configuration", "seed")), strict=True))
        ours = zip(*(self._members[n].to_pylist() for n in ("configuration", "seed")), strict=True)
        return self._members.filter(pa.array([pair in pairs for pair in ours]))

    def configurations(self, condition: str | None = None) -> dict[str, pa.Table]:
        """Return the members of each configuration by digest, ordered by recipe columns."""
        return self.split(self.where(condition))

    @staticmethod
    def split(members: pa.Table) -> dict[str, pa.Table]:
        """Return the members of each configuration, in the given order."""
        names = dict.fromkeys(members["configuration"].to_pylist())
        return {name: members.filter(pc.field("configuration") == name) for name in names}

    @cached_property
    def _keys(self) -> dict[str, tuple[tuple[str, ...], dict[int, np.ndarray]]]:
        """Names of the features, and key features of each seed, for each configuration."""
        table = self.query(
            "select configuration, seed, list(feature order by position) as names, "
            "list(key order by position) as keys from _features group by all"
        )
        found: dict[str, tuple[tuple[str, ...], dict[int, np.ndarray]]] = {}
        for row in table.to_pylist():
            _, seeds = found.setdefault(row["configuration"], (tuple(row["names"]), {}))
            if None not in row["keys"]:
                seeds[row["seed"]] = np.array(row["keys"], dtype=bool)
        return found

    def key(self, members: pa.Table) -> tuple[tuple[str, ...], Bool[np.ndarray, "run feature"]]:
        """Return feature names and a mask of key features, for members of one configuration.

        Raises
        ------
        ValueError
            If the members are of several configurations, or the task has no characters.
        """
        configuration = _only(members)
        names, seeds = self._keys[configuration]
        if not seeds:
            raise MarginLensError(
                f"key sets require the table of a group, such as C23; got {members['task'][0]}"
            )
        rows = [seeds[seed] for seed in members["seed"].to_pylist()]
        return names, np.array(rows, dtype=bool).reshape(len(rows), len(names))

    def law(self, condition: str | None = None) -> SelectionLaw:
        """Return the selection law of the single configuration that fulfils an SQL condition.

        Raises
        ------
        ValueError
            If several configurations fulfil it; the message names the columns that differ.
        """
        return self.law_of(self.where(condition))

    def law_of(self, members: pa.Table) -> SelectionLaw:
        """Return the selection law of one configuration; raise as :meth:`key` does."""
        names, key = self.key(members)
        return selection_law(key, names)

    def column(self, members: pa.Table, name: str) -> np.ndarray:
        """Return a column of the members as an array, with nan for null."""
        return members[name].to_numpy(zero_copy_only=False)

    @staticmethod
    def describe(members: pa.Table, names: Iterable[str]) -> str:
        """Return the members' common values of some recipe columns, as text."""
        return ", ".join(f"{name} {members[name][0].as_py()}" for name in dict.fromkeys(names))


def _mean(column: pa.ChunkedArray) -> float | None:
    """Return the mean of the numbers that are not null, or None if all are null."""
    values = [value for value in column.to_pylist() if value is not None]
    return sum(values) / len(values) if values else None


def _only(members: pa.Table) -> str:
    """Return the single configuration of the members; raise if they have several."""
    configurations = members["configuration"].unique().to_pylist()
    if len(configurations) == 1:
        return configurations[0]
    different = Results.varying_in(members)
    if not different:
        raise MarginLensError(
            f"expected one configuration, got {len(configurations)} of one recipe with different "
            f"thresholds; choose one, for example --where \"configuration = '{configurations[0]}'\""
        )
    values = {name: list(dict.fromkeys(map(str, members[name].to_pylist()))) for name in different}
    listed = "; ".join(
        f"{name}: {', '.join(some[:6])}{', ...' * (len(some) > 6)}" for name, some in values.items()
    )
    one = " and ".join(_equals(name, members[name][0].as_py()) for name in different)
    raise MarginLensError(
        f"expected one configuration, got {len(configurations)} ({listed}); choose one, for example "
        f'--where "{one}"'
    )


def _equals(name: str, value: object) -> str:
    """Return the SQL condition that a column equals a value."""
    if value is None:
        return f"{name} is null"
    written = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
    return f"{name} = {written}"


def _only_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Return whether a statement is read-only; EXPLAIN ANALYZE runs its inner statement."""
    try:
        (statement,) = connection.extract_statements(sql)
    except (duckdb.Error, ValueError):
        return False
    if statement.type != duckdb.StatementType.EXPLAIN:
        return statement.type in _READS
    if "--" in sql or "/*" in sql:  # a comment could hide what is explained
        return False
    inner = re.sub(r"^\s*explain\s*(analyze\b)?\s*(\([^)]*\))?", "", sql, flags=re.IGNORECASE)
    return inner != sql and _only_reads(connection, inner)


def _sortable(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if not pa.types.is_list(field.type)]


def _one_line(error: Exception) -> str:
    """Return DuckDB's message in one line, without the quoted position."""
    lines = [line for line in str(error).splitlines() if line.strip() and "^" not in line]
    kept = [line for line in lines if not line.startswith("LINE ")]
    said = " ".join(" ".join(kept).split())
    if "Table with name" in said:  # DuckDB suggests its internal tables
        tables = "expected one of members, features, configurations"
        said = f"{said.partition('!')[0]}; {tables}"
    return said
