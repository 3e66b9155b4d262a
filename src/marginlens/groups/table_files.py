"""Cayley tables in files: delimited text, JSON, GAP lists and NumPy arrays."""

from __future__ import annotations

import ast
import codecs
import csv
import json
import math
import os.path
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, cast

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from marginlens.errors import MarginLensError
from marginlens.groups.table import EXAMPLE_TABLE, as_integer_square, check_order

__all__ = ["TABLE_SUFFIXES", "TableFile", "file_name", "is_table_file", "read_table", "table_of"]

TABLE_SUFFIXES = (
    ".csv",
    ".tsv",
    ".txt",
    ".json",
    ".jsonl",
    ".g",
    ".npy",
    ".npz",
    ".dat",
    ".ndjson",
    ".gap",
)
"""Endings of files that a Cayley table is read from."""

_USUAL = ".csv, .tsv, .txt, .json, .jsonl, .g, .npy or .npz file, for example group.csv"
_LARGEST = 64_000_000  # bytes of a text file
_LARGEST_LINE = 4_000_000  # characters
_LARGEST_SOURCE = 8_000_000  # characters of a list that is no JSON, whose syntax tree takes memory
_KEYS = ("table", "cayleytable", "cayley", "multiplicationtable", "multiplication", "data")
_LABELS = ("labels", "elements", "names", "index")
_RULE = re.compile(r"[-|:+=\s]*---[-|:+=\s]*")  # under the header of a table in Markdown
_PROMPT = re.compile(r"gap>|>(?=\s|$)")  # of a session with GAP that was copied whole
_NO_TABLES = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file with: git lfs pull"),
    (b"<!doctype html", "a web page; download the file itself"),
    (b"<html", "a web page; download the file itself"),
    (b"pk\x03\x04", "a zip archive or a spreadsheet; save it as .csv"),
    (b"\x1f\x8b\x08", "a gzip archive; unpack it"),
)
_FROM_ONE = "entries 1 to {} are elements 0 to {}"
_SHOWN = 8  # labels in a message
_STRING = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_OPERATION = re.compile(r"-\s*[-+]|[*/@~%&|^]|(?<![eE])\+|[A-Za-z_]\w*\s*\(")


@dataclass(frozen=True, eq=False)
class TableFile:
    """Table read from a file: square, with integers from 0, not yet checked to be a group's.

    Attributes
    ----------
    table
        Product table, shape (element, element): `table[a, b]` is the index of a·b.
    note
        Rule that converted entries to indices where the file has labels or counts from 1; empty
        otherwise.
    """

    table: Int[np.ndarray, "element element"]
    note: str = ""


def is_table_file(text: str) -> bool:
    """Return whether a text ends like the name of a table file.

    Parameters
    ----------
    text
        Text as it was typed.

    Examples
    --------
    >>> is_table_file("x mod 7.csv"), is_table_file("C5")
    (True, False)
    """
    return text.strip().lower().endswith(TABLE_SUFFIXES)


def file_name(path: str | Path) -> str:
    """Return the name of a file's group: the file name with its ending, in one line.

    The ending keeps the name apart from those of families: C5.csv may hold any group. Spaces become
    underscores in names that would read as an operation (`x in y.csv`).

    Parameters
    ----------
    path
        Path or name of the file.

    Examples
    --------
    >>> file_name("tables/C5.csv"), file_name("x in y.csv"), file_name("x mod 7.npy")
    ('C5.csv', 'x_in_y.csv', 'x mod 7.npy')
    """
    pure = PurePath(str(path).replace("\\", "/"))
    name = "".join(c if c.isprintable() else " " for c in pure.name)
    name = " ".join(name.split()) or "table"
    if len(name) > 80:
        name = name[: 79 - len(pure.suffix[:10])] + "…" + pure.suffix[:10]
    return name.replace(" ", "_") if re.search(r"\bin\s", name, re.IGNORECASE) else name


def read_table(path: Path) -> TableFile:
    """Read a Cayley table from a file.

    Text may be UTF-8 or UTF-16. Entries are separated by tabs, semicolons, commas, bars or spaces,
    with
    or without quotes, blank lines, comments (`#`), a header row and a header column; or they are a
    nested list, as JSON, GAP, Python, NumPy and Matlab write it, or an object with `table`, also as
    one line of JSON. `.npy` and `.npz` hold an array of integers or whole floats.

    Integers count from 0, or from 1 if the greatest is the order and 0 is missing. Other entries
    are
    labels: the header says their order, and where the file has none the first row does.

    Parameters
    ----------
    path
        Path of the file; its row a and column b hold the product a·b.

    Raises
    ------
    MarginLensError
        The file is missing, of another kind, or has entries that are not elements; the message
        names the first one.
    """
    is_file = os.path.isfile(path)  # noqa: PTH113 (False, too, for names that no file can have)
    if os.path.isdir(path):  # noqa: PTH112
        raise MarginLensError(
            f"{path}: expected a file with a Cayley table, got a folder; for example group.csv"
        )
    if path.suffix.lower() not in TABLE_SUFFIXES:
        problem = "" if is_file else "no such file, and no group's name; "
        raise MarginLensError(f"{path}: {problem}expected a {_USUAL}")
    if not is_file:
        raise MarginLensError(
            f"{path}: expected a file with a Cayley table, got no such file; for example group.csv"
        )
    if path.suffix.lower() == ".npy":
        return table_of(_npy(path), what=str(path))
    if path.suffix.lower() == ".npz":
        return table_of(_npz(path), what=str(path))
    text = _text(path)
    if not text.strip():
        raise MarginLensError(
            f"{path}: expected a Cayley table, got an empty file; {EXAMPLE_TABLE}"
        )
    listed = _listed(text, str(path))
    grid = _delimited(text, str(path)) if listed is None else listed
    return _indexed(_without_headers(grid))


# Arrays ------------------------------------------------------------------------------------------


def _npy(path: Path) -> np.ndarray:
    try:
        # Mapped, so that an array far too large is refused by its header alone.
        return np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise MarginLensError(
            f"{path}: not a readable .npy array of integers ({reason}); "
            "write it with numpy.save(path, table)"
        ) from None


def _npz(path: Path) -> np.ndarray:
    """Return the only array of an archive, or the one called `table`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            wanted = [name for name in names if name.lower() == "table.npy"] or names
            if len(wanted) != 1:
                shown = ", ".join(PurePath(name).stem for name in names[:_SHOWN]) or "none"
                raise MarginLensError(
                    f"{path}: expected one array, or one called table, got {len(names)} ({shown}); "
                    "write it with numpy.savez(path, table=table)"
                )
            with archive.open(wanted[0]) as member:
                return _member(cast(zipfile.ZipExtFile, member), f"{path}, {wanted[0]}")
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise MarginLensError(
            f"{path}: not a readable .npz archive ({reason}); "
            "write it with numpy.savez(path, table=table)"
        ) from None


def _member(member: zipfile.ZipExtFile, what: str) -> np.ndarray:
    """Read an array of an archive after a check of its declared size."""
    try:
        if np.lib.format.read_magic(member) == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(member)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise MarginLensError(f"{what}: not a readable array ({reason[:100]})") from None
    if dtype.hasobject:
        raise MarginLensError(f"{what}: expected an array of integers, got one of Python objects")
    _check_shape(shape, what)
    size = math.prod(shape) * dtype.itemsize
    if size > 2 * _LARGEST:
        raise MarginLensError(f"{what}: {size / 1e6:.0f} MB; expected an array of integers")
    content = member.read(size)
    if len(content) < size or member.read(1):  # the end is where the archive checks its sum
        raise MarginLensError(
            f"{what}: the array is damaged; write it with numpy.savez(path, table=table)"
        )
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _check_shape(shape: tuple[int, ...], what: str) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise MarginLensError(
            f"{what} is not square: shape {shape}; expected (n, n) with n >= 1, {EXAMPLE_TABLE}"
        )
    check_order(math.log10(shape[0]), what)


def table_of(table: ArrayLike, *, what: str = "the table") -> TableFile:
    """Convert an array of integers, whole floats or labels to a table of indices from 0.

    Parameters
    ----------
    table
        Product table, shape (element, element): row a, column b is a·b.
    what
        Name of the table in messages.

    Raises
    ------
    MarginLensError
        The array is not square, is too large, or has an entry that is not an element.

    Examples
    --------
    >>> table_of([["e", "a"], ["a", "e"]])
    TableFile(table=array([[0, 1],
           [1, 0]]), note='elements e, a are numbered 0 to 1 in the order of the first row')
    """
    try:
        array = np.asarray(table)
    except (ValueError, TypeError):
        return TableFile(as_integer_square(table, what=what))  # which says what is wrong
    if array.dtype.kind == "O" and all(isinstance(entry, str) for entry in array.flat):
        array = array.astype(str)
    if array.dtype.kind in "USf":
        _check_shape(array.shape, what)
    if array.dtype.kind in "US":
        texts = [[str(entry) for entry in row] for row in array.astype(str).tolist()]
        return _indexed(_without_headers(_Grid(texts, what)))
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        whole = np.isfinite(array) & (array == np.round(array)) & (np.abs(array) < 2**53)
        if not whole.all():
            a, b = np.argwhere(~whole)[0]
            raise MarginLensError(
                f"{what}: entry ({a},{b}) is {array[a, b]}; expected whole numbers, {EXAMPLE_TABLE}"
            )
        array = array.astype(np.int64)
    return _counted(as_integer_square(array, what=what))


def _counted(table: np.ndarray) -> TableFile:
    """Return a table of integers that count from 0 or from 1."""
    order = len(table)
    if table.min() == 1 and table.max() == order:
        return TableFile(table - 1, _FROM_ONE.format(order, order - 1))
    return TableFile(table)


# Text --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Grid:
    """Entries as texts, row by row, with their places in the file."""

    rows: list[list[str]]
    what: str
    lines: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    base: int | None = None
    first: tuple[int, int] = (0, 0)

    def where(self, a: int, b: int) -> str:
        """Return the place of an entry for messages."""
        if self.lines:
            return f"{self.what}, line {self.lines[a]}, entry {b + 1 + self.first[1]}"
        return f"{self.what}, entry ({a + self.first[0]},{b + self.first[1]})"


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise MarginLensError(
                f"{path}: expected at most {_LARGEST / 1e6:.0f} MB of text, got "
                f"{path.stat().st_size / 1e6:.0f} MB; write the table with numpy.save(path, "
                "table)"
            )
        content = path.read_bytes()
    except OSError as error:
        raise MarginLensError(f"{path}: cannot be read ({error.strerror})") from None
    kind = next((words for start, words in _NO_TABLES if start in content[:200].lower()), None)
    if kind is not None:
        raise MarginLensError(
            f"{path}: expected comma-separated integers, got {kind}; for example 0,1"
        )
    problem = ValueError(
        f"{path}: expected comma-separated integers, got a binary file; for example 0,1"
    )
    try:
        text = content.decode(_encoding(content))
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if any(ord(c) < 32 and c not in "\t\n\r\f\v" for c in set(text)):
        raise problem
    return text.lstrip("\ufeff")


def _encoding(content: bytes) -> str:
    """Detect the encoding from the byte order mark or zero bytes; UTF-8 by default."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return name
    even, odd = content[0:400:2], content[1:400:2]
    if len(content) % 2 == 0 and content:
        if odd.count(0) > 0.8 * len(odd) and not even.count(0):
            return "utf-16-le"
        if even.count(0) > 0.8 * len(even) and not odd.count(0):
            return "utf-16-be"
    return "utf-8"


def _delimited(text: str, what: str) -> _Grid:
    """Split a text into rows of equal length by the separator that achieves it."""
    lines = [
        (number, line.strip(" \f\v"))
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1)
        if line.strip()
    ]
    lines = [(n, re.sub(r"\s#.*", "", line)) for n, line in lines if not _is_remark(line)]
    if not lines:
        raise MarginLensError(
            f"{what}: expected a Cayley table, got comments only; {EXAMPLE_TABLE}"
        )
    for number, line in lines:
        if len(line) > _LARGEST_LINE:
            raise MarginLensError(
                f"{what}, line {number}: expected a row, got {len(line)} characters; for "
                "example 0,1"
            )
    check_order(math.log10(max(len(lines) - 1, 1)), what)
    numbers = tuple(number for number, _ in lines)
    best: list[list[str]] = []
    for separator in "\t;|, ":
        rows = _split([line for _, line in lines], separator)
        best = best or rows
        if len(best[0]) == 1 and (len(rows[0]) > 1 or len(rows[0][0]) < len(best[0][0])):
            best = rows
        lengths = {len(row) for row in rows[1:]} or {len(rows[0])}
        if lengths in ({len(rows[0])}, {len(rows[0]) + 1}) and max(lengths) > 1:
            best = rows
            break
    if len(best) > 1 and len(best[1]) == len(best[0]) + 1:
        best[0].insert(0, "")  # a header row without a corner, as R writes it
    for number, row in zip(numbers, best, strict=True):
        check_order(math.log10(max(len(row) - 1, 1)), f"{what}, line {number}")
        if len(row) != len(best[0]):
            raise MarginLensError(
                f"{what}, line {number}: expected {len(best[0])} entries as in line "
                f"{numbers[0]}, got {len(row)}; {EXAMPLE_TABLE}"
            )
    return _Grid(best, what, numbers)


def _is_remark(line: str) -> bool:
    """Return whether a line is a comment, the rule under a header, or `sep=;`."""
    if re.fullmatch(r'"?sep=."?', line):
        return True
    return line.lstrip().startswith(("#", "%", "//")) or _RULE.fullmatch(line) is not None


def _split(lines: list[str], separator: str) -> list[list[str]]:
    """Split lines into fields and drop empty columns at both ends."""
    try:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error:  # a field of megabytes
        return [[line] for line in lines]
    rows = [[field.strip() for field in row] or [""] for row in rows]
    if len(rows) != len(lines):  # a quote that spans lines
        return [[line] for line in lines]
    while all(len(row) > 1 and not row[-1] for row in rows):
        rows = [row[:-1] for row in rows]
    while all(len(row) > 1 and not row[0] for row in rows):
        rows = [row[1:] for row in rows]
    return rows


def _listed(text: str, what: str) -> _Grid | None:
    """Return the rows of a nested list or an object, or ``None`` for other texts."""
    body = "\n".join(
        line for line in _answers(text.splitlines()) if not line.lstrip().startswith(("#", "%"))
    )
    body = re.sub(r"\\\r?\n", "", body).strip()  # GAP breaks long lines so
    body = re.sub(r"^[A-Za-z_]\w*\s*:?=\s*", "", body).rstrip(";").rstrip()
    body = re.sub(
        r"^(?:np\.|numpy\.)?(?:array|asarray|matrix|Matrix)\s*\((.*?)(?:,\s*dtype=[\w.]+)?\)$",
        r"\1",
        body,
        flags=re.DOTALL,
    )
    if body[:1] not in ("[", "{", "("):
        return None
    if body.startswith("(") and not re.match(r"\(\s*[\[(]", body):  # permutations as labels
        return None
    value = _value(body, what)
    return None if value is None else _grid_of(value, what)


def _answers(lines: list[str]) -> list[str]:
    """Return the output lines of a copied GAP session without its prompts."""
    if not any(line.startswith("gap>") for line in lines):
        return lines
    printed = [line for line in lines if not _PROMPT.match(line)]
    is_list = "\n".join(printed).lstrip().startswith("[")
    return printed if is_list else [_PROMPT.sub("", line, count=1) for line in lines]


def _value(body: str, what: str) -> Any:
    """Parse JSON, JSON lines, or a nested list in another notation."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1:
        try:
            return _of_lines([json.loads(line.rstrip().rstrip(",")) for line in lines], what)
        except (json.JSONDecodeError, RecursionError):
            pass
    if len(body) > _LARGEST_SOURCE:
        raise MarginLensError(
            f"{what}: expected JSON, got a text too long for other notations; for example [[0, "
            "1], [1, 0]]"
        )
    for source in _notations(body):
        if _OPERATION.search(_STRING.sub("''", source)):
            continue  # a chain of signs or sums nests as deeply as it is long
        try:
            return ast.literal_eval(source)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    if re.match(r"[\[{(]\s*[\[{(]", body) or re.match(r"\{\s*[\"']", body):
        raise MarginLensError(
            f"{what}: no nested list that can be read; expected rows in brackets, {EXAMPLE_TABLE}"
        )
    return None


def _notations(body: str) -> list[str]:
    """Convert the list notations of GAP, Mathematica, NumPy and Matlab to Python's."""
    body = re.sub(
        r"\[\s*(\d{1,4})\s*\.\.\s*(\d{1,4})\s*\]",  # GAP's ranges
        lambda match: str(list(range(int(match[1]), int(match[2]) + 1))),
        body,
    )
    written = [body]
    if re.match(r"\{\s*\{", body):
        written.append(body.replace("{", "[").replace("}", "]"))
    if re.match(r"\[\s*\[", body):  # print() of an array
        spaced = re.sub(r"\]\s*\[", "],[", body)
        written.append(re.sub(r"(?<=[\d.\"'])\s+(?=[-\d\"'])", ",", spaced))
    elif body.startswith("[") and body.endswith("]"):
        rows = re.split(r"[;\n]", body[1:-1])
        fields = (",".join(re.split(r"[\s,]+", row.strip())) for row in rows if row.strip())
        written.append("[" + ",".join(f"[{row}]" for row in fields) + "]")
    return written


def _of_lines(values: list[Any], what: str) -> Any:
    """Combine JSON lines: rows of a table, or objects of which one has the table."""
    if all(isinstance(value, list) for value in values):
        nested = [value for value in values if value and isinstance(value[0], list)]
        if not nested:
            return values
        tables: list[Any] = nested
    else:
        tables = [value for value in values if isinstance(value, dict) and _key(value, _KEYS)]
    if len(tables) != 1:
        raise MarginLensError(
            f"{what}: expected one line with a table, got {len(tables)}; keep one, for example "
            '{"table": [[0, 1], [1, 0]]}'
        )
    return tables[0]


def _key(value: dict[Any, Any], names: Sequence[str]) -> Any:
    plain = {re.sub(r"[\W_]", "", str(key)).lower(): key for key in reversed(value)}
    return next((plain[name] for name in names if name in plain), None)


def _innermost(value: dict[Any, Any]) -> dict[Any, Any]:
    """Unwrap objects with a single object inside, such as `{"group": {"table": …}}`."""
    while _key(value, _KEYS) is None:
        inner = [one for one in value.values() if isinstance(one, dict) and _holds_table(one)]
        if len(inner) != 1:
            break
        value = inner[0]
    return value


def _holds_table(value: dict[Any, Any]) -> bool:
    return isinstance(value.get(_key(value, _KEYS)), list | tuple)


def _grid_of(value: Any, what: str) -> _Grid:
    """Return the entries of a nested list, of an object with one, or of an object of objects."""
    labels: tuple[str, ...] = ()
    base = None
    if isinstance(value, dict):
        value = _innermost(value)
        key = _key(value, _KEYS)
        if key is not None:
            found = value.get(_key(value, _LABELS))
            if isinstance(found, list | tuple):
                labels = tuple(_entry(label) for label in found)
            base = value.get(_key(value, ("indexbase", "base")))
            base = base if base in (0, 1) else None
            value = value[key]
        elif not value or not all(isinstance(row, dict) for row in value.values()):
            shown = ", ".join(str(key)[:20] for key in list(value)[:_SHOWN])
            raise MarginLensError(
                f"{what}: expected a list of rows, or an object with table, got one with "
                f'{shown or "nothing"}; for example {{"table": [[0, 1], [1, 0]]}}'
            )
    if isinstance(value, dict):  # {"e": {"e": "e", "a": "a"}, ...}
        columns = list(next(iter(value.values())))
        rows = [["", *columns], *([key, *map(row.get, columns)] for key, row in value.items())]
    else:
        rows = value
    if not isinstance(rows, list | tuple) or not rows or not isinstance(rows[0], list | tuple):
        raise MarginLensError(f"{what} is not square; expected a list of rows, {EXAMPLE_TABLE}")
    if not all(isinstance(row, list | tuple) and len(row) == len(rows[-1]) for row in rows):
        raise MarginLensError(
            f"{what} is not square: its rows differ in length; expected (n, n), {EXAMPLE_TABLE}"
        )
    if not rows[0]:
        raise MarginLensError(
            f"{what} is not square: its rows are empty; expected (n, n), {EXAMPLE_TABLE}"
        )
    check_order(math.log10(max(len(rows) - 1, len(rows[0]) - 1, 1)), what)
    return _Grid([[_entry(entry) for entry in row] for row in rows], what, (), labels, base)


def _entry(value: Any) -> str:
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, separators=(",", ":"), default=str)[:200]
    return "" if value is None else str(value).strip()


# From entries to indices -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Headed:
    """Square of entries with the labels of its header, if it has one."""

    grid: _Grid
    labels: tuple[str, ...]


def _without_headers(grid: _Grid) -> _Headed:
    """Remove a header row, a header column, or both."""
    rows = grid.rows
    height, width = len(rows), len(rows[0])
    top, left = rows[0], [row[0] for row in rows]
    if height == width and _has_corner(rows):
        columns = top[1:]
        place = {label: index for index, label in enumerate(columns)}
        order = sorted(range(1, height), key=lambda a: place[left[a]])
        body = [rows[a][1:] for a in order]
        lines = tuple(grid.lines[a] for a in order) if grid.lines else ()
        return _Headed(_body(grid, body, lines, (1, 1)), tuple(columns))
    if height == width + 1 and width > 1 and _are_labels(top, rows[1:]):
        return _Headed(_body(grid, rows[1:], grid.lines[1:], (1, 0)), _distinct(top, grid))
    body = [row[1:] for row in rows]
    if width == height + 1 and height > 1 and _are_labels(left, body):
        return _Headed(_body(grid, body, grid.lines, (0, 1)), _distinct(left, grid))
    if height != width:
        raise MarginLensError(
            f"{grid.what} is not square: shape {(height, width)}; expected (n, n) with n >= 1, "
            f"{EXAMPLE_TABLE}"
        )
    check_order(math.log10(height), grid.what)
    if grid.labels and len(grid.labels) != height:
        raise MarginLensError(
            f"{grid.what}: expected {height} labels, one for each element, got {len(grid.labels)}"
        )
    return _Headed(grid, _distinct(grid.labels, grid))


def _body(
    grid: _Grid, rows: list[list[str]], lines: tuple[int, ...], first: tuple[int, int]
) -> _Grid:
    check_order(math.log10(len(rows)), grid.what)
    return _Grid(rows, grid.what, lines, base=grid.base, first=first)


def _are_labels(header: list[str], rows: list[list[str]]) -> bool:
    """Return whether a line beside a square is its header."""
    if any(_whole(label) is None for label in header):
        return True
    known = {_whole(label) for label in header}
    inside = sum(_whole(entry) in known for row in rows for entry in row)
    return inside > 0.7 * len(rows) ** 2


def _has_corner(rows: list[list[str]]) -> bool:
    """Return whether the corner entry occurs only there: first row and column are headers."""
    corner, top, left = rows[0][0], rows[0][1:], [row[0] for row in rows[1:]]
    if len(rows) < 2 or len(set(top)) < len(top) or set(top) != set(left):
        return False
    if not corner:
        return True
    if len(rows) == 2 or any(corner in row for row in rows[1:]) or corner in top:
        return False
    inner = {entry for row in rows[1:] for entry in row[1:]}
    return _whole(corner) is None or inner == set(top)


def _distinct(labels: Sequence[str], grid: _Grid) -> tuple[str, ...]:
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if list(labels).count(label) > 1)
        raise MarginLensError(
            f"{grid.what}: the header names {_quoted(twice)} twice; expected each element once, "
            "for example e,a,b"
        )
    return tuple(labels)


def _whole(text: str) -> int | None:
    """Return the whole number in a text such as 3, 3.0, 3,0 or 3e0, else ``None``."""
    # Eighteen digits fit an int64; anything longer is out of range in any case.
    if re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"[+-]?\d{1,18}[.,]?\d{0,30}([eE][+-]?\d{1,3})?", text, re.ASCII):
        number = float(text.replace(",", "."))
        return int(number) if number.is_integer() and abs(number) < 2**53 else None
    return None


def _indexed(headed: _Headed) -> TableFile:
    """Convert entries to indices, by number or by label."""
    grid, labels, n = headed.grid, headed.labels, len(headed.grid.rows)
    texts = dict.fromkeys(entry for row in grid.rows for entry in row)
    numbers = {text: _whole(text) for text in texts}
    values = set(numbers.values())
    if None in values:
        return _labelled(headed, texts, numbers)
    named = [_whole(label) for label in labels]
    if labels and set(named) == values and len(values) == n:
        place = {number: index for index, number in enumerate(named)}
        note = _numbering(labels, "header")
        if named == list(range(n)):
            note = ""
        elif named == list(range(1, n + 1)):
            note = _FROM_ONE.format(n, n - 1)
        return TableFile(_mapped(grid, {text: place[numbers[text]] for text in texts}), note)
    plain = values <= set(range(n)) or (
        values <= set(range(1, n + 1)) and (n in values or grid.base)
    )
    if not labels and not plain and len(values) == n and len(set(grid.rows[0])) == n:
        return _labelled(headed, texts, numbers)  # such as the units modulo 8: 1, 3, 5, 7
    table = np.array([[numbers[entry] for entry in row] for row in grid.rows], dtype=np.int64)
    counted = TableFile(table)
    if grid.base is not None:
        counted = TableFile(table - grid.base, _FROM_ONE.format(n, n - 1) if grid.base else "")
    elif min(values, key=lambda value: value or 0) == 1 and n in values:
        a, b = map(int, np.argwhere(table == table.max())[0])
        if table[a, b] > n:
            raise MarginLensError(
                f"{grid.where(a, b)} is {table[a, b]}, outside 1..{n} for {n} elements counted from 1"
            )
        counted = _counted(table)
    if labels and named != list(range(n)) and named != list(range(1, n + 1)):
        return TableFile(counted.table, _numbering(labels, "header"))
    return counted


def _labelled(headed: _Headed, texts: dict[str, None], numbers: dict[str, int | None]) -> TableFile:
    grid, labels, n = headed.grid, headed.labels, len(headed.grid.rows)
    source = "header"
    if not labels:
        source = "first row"
        whole = sum(number is not None for number in numbers.values())
        fractions = any(number is None and _is_number(text) for text, number in numbers.items())
        if n == 1 or fractions or (len(texts) > n and 2 * whole >= len(texts)):
            _refuse_text(grid, numbers)
        labels = tuple(grid.rows[_row_of_labels(grid.rows)])
        if len(set(labels)) < n:
            twice = next(label for label in labels if labels.count(label) > 1)
            raise MarginLensError(
                f"the table is no group: row 0 holds {_quoted(twice)} twice (each row must hold each "
                f"element once); got {grid.what}"
            )
    place = {label: index for index, label in enumerate(labels)}
    for a, row in enumerate(grid.rows):
        for b, entry in enumerate(row):
            if entry not in place:
                if not entry:
                    raise MarginLensError(
                        f"{grid.where(a, b)}: expected an element, got an empty entry; for "
                        f"example {labels[0]}"
                    )
                raise MarginLensError(
                    f"{grid.where(a, b)}: expected one of the elements of the {source} "
                    f"({_list(labels)}), got {_quoted(entry)}"
                )
    return TableFile(_mapped(grid, place), _numbering(labels, source))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_text(grid: _Grid, numbers: dict[str, int | None]) -> None:
    for a, row in enumerate(grid.rows):
        for b, entry in enumerate(row):
            if numbers[entry] is None:
                if not entry:
                    raise MarginLensError(
                        f"{grid.where(a, b)}: expected a whole number, got an empty entry; for "
                        "example 0"
                    )
                raise MarginLensError(
                    f"{grid.where(a, b)}: expected integers or labels, got {_quoted(entry)}; "
                    "for example rows 1,2,0 or a,b,e"
                )


def _row_of_labels(rows: list[list[str]]) -> int:
    """Return the identity's row, which lists the elements in order; else the first row."""
    for a, row in enumerate(rows):
        if row[0] == rows[0][a] and row == [other[a] for other in rows]:
            return a
    return 0


def _mapped(grid: _Grid, place: dict[str, int]) -> np.ndarray:
    return np.array([[place[entry] for entry in row] for row in grid.rows], dtype=np.int64)


def _numbering(labels: Sequence[str], source: str) -> str:
    return (
        f"elements {_list(labels)} are numbered 0 to {len(labels) - 1} in the order of the {source}"
    )


def _list(labels: Sequence[str]) -> str:
    shown = [label[:20] for label in labels[:_SHOWN]]
    return ", ".join([*shown, "…"] if len(labels) > _SHOWN else shown)


def _quoted(text: str) -> str:
    return repr(text[:20])
