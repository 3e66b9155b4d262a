"""Groups and character tables from the GAP libraries.

GAP (https://www.gap-system.org) is an optional dependency and runs as a separate process.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Complex

from marginlens.errors import MarginLensError
from marginlens.groups.character_table import CharacterTable
from marginlens.groups.characters import roots_of_unity
from marginlens.groups.finite_group import FiniteGroup
from marginlens.groups.generated import table_from_translations
from marginlens.groups.table import GREATEST_ORDER

__all__ = [
    "SmallGroup",
    "find_gap",
    "library_table",
    "number_of_small_groups",
    "our_structure",
    "run_gap",
    "small_group",
    "small_groups",
]

_MISSING = (
    "GAP is not installed; install it with pip install 'marginlens[gap]', or put GAP 4.11 or newer "
    "with its packages smallgrp and ctbllib on the PATH (Debian: gap-core gap-smallgrp "
    "gap-smallgrp-extra gap-character-tables), or name the program in MARGINLENS_GAP"
)
_GREATEST_EXACT = 2**53
_GREATEST_CLASSES = 1000
_BEGIN, _END = "@begin", "@end"
_MEMORY = "4g"


@dataclass(frozen=True, eq=False)
class SmallGroup:
    """Group of GAP's small groups library.

    Attributes
    ----------
    order, number
        As in ``SmallGroup(order, number)``.
    structure
        GAP's StructureDescription, such as ``"C3 : C4"``, with our names of dihedral groups: D4,
        not D8,
        has order 8; not unique.
    group
        The group, with the elements in GAP's order.
    """

    order: int
    number: int
    structure: str
    group: FiniteGroup


def find_gap() -> tuple[str, ...] | None:
    """Return the command that starts GAP, or ``None`` if GAP is not installed.

    The first that exists of: the program named by the environment variable MARGINLENS_GAP, the
    program of the PyPI package passagemath-gap in this environment, and `gap` on the PATH.
    """
    named = os.environ.get("MARGINLENS_GAP")
    if named:
        return _command(Path(named))
    found = importlib.util.find_spec("gap")
    for folder in () if found is None else found.submodule_search_locations or ():
        program = Path(folder) / "gap"
        if program.is_file() and (Path(folder) / "lib" / "init.g").is_file():
            return _command(program)
    on_path = shutil.which("gap")
    return None if on_path is None else (on_path,)


def _command(program: Path) -> tuple[str, ...]:
    """Return the command of a GAP program, with its root folder where the program needs it."""
    if (program.parent / "lib" / "init.g").is_file():
        return (str(program), "-l", str(program.parent))
    return (str(program),)


def run_gap(script: str, *, packages: Sequence[str] = (), timeout: int = 600) -> str:
    """Run a GAP script and return its output without colours and line breaks.

    Parameters
    ----------
    script
        GAP statements to execute.
    packages
        Names of the GAP packages that the script requires.
    timeout
        Time limit in seconds.

    Raises
    ------
    MarginLensError
        GAP or one of the packages is missing, the script fails, or the time limit passes.
    """
    command = find_gap()
    if command is None:
        raise MarginLensError(_MISSING)
    loading = "".join(
        f'if LoadPackage("{name}") <> true then Print("@missing {name}\\n"); fi;\n'
        for name in packages
    )
    printed, errors = _output(
        [*command, "-q", "-A", "-T", "-K", _MEMORY],
        f'{loading}Print("\\n{_BEGIN}\\n");\n{script}\nPrint("\\n{_END}\\n");\nQUIT;\n',
        timeout,
    )
    printed = re.sub(r"\x1b\[\d+m|\\\n", "", printed)
    missing = re.search(r"^@missing (\w+)", printed, re.MULTILINE)
    if missing is not None:
        raise MarginLensError(
            f"expected GAP with its package {missing.group(1)}, got one without; for example "
            "from pip install 'marginlens[gap]'"
        )
    # After an error GAP goes on with the next statement, up to the end.
    failed = re.search(r"^(Syntax e|E)rror\b.*", errors, re.MULTILINE | re.DOTALL)
    if failed is not None or _END not in printed:
        words = " ".join((failed.group() if failed else errors or printed).split())
        raise MarginLensError(f"GAP failed: {words[:200] or 'no output'}")
    return printed[printed.find(_BEGIN) + len(_BEGIN) : printed.rindex(_END)].strip()


def _output(command: Sequence[str], script: str, timeout: int) -> tuple[str, str]:
    """Run a process and return its standard output and error; end its children too."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise MarginLensError(f"{command[0]}: GAP cannot be started ({error.strerror})") from None
    with process:
        try:
            return process.communicate(script, timeout)
        except BaseException as error:
            _kill(process)  # a wrapper script's children hold its pipes
            if isinstance(error, subprocess.TimeoutExpired):
                raise MarginLensError(
                    f"GAP did not finish in {timeout} s; take a smaller group, for example M11"
                ) from None
            raise


def _kill(process: subprocess.Popen[str]) -> None:
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


@functools.cache
def number_of_small_groups(order: int) -> int:
    """Return the number of groups of an order, up to isomorphism.

    Parameters
    ----------
    order
        Order of the groups.

    Raises
    ------
    MarginLensError
        GAP is missing, or its library lacks this order.
    """
    script = (
        f"if SmallGroupsAvailable({order}) then Print(NumberSmallGroups({order})); "
        "else Print(-1); fi;"
    )
    count = int(run_gap(script, packages=["smallgrp"]).split()[-1])
    if count < 0:
        raise MarginLensError(
            f"expected an order that GAP's library covers, got {order}; for example "
            "SmallGroup(24,3), or install the whole library (Debian: gap-smallgrp-extra)"
        )
    return count


def small_group(order: int, number: int) -> FiniteGroup:
    """Return SmallGroup(order, number) of GAP's library.

    Parameters
    ----------
    order
        Order of the group.
    number
        Number of the group among those of its order, from 1.

    Raises
    ------
    MarginLensError
        GAP is missing, the group does not exist, or the group is too large.
    """
    name = f"SmallGroup({order},{number})"
    if not 1 <= order <= GREATEST_ORDER:
        raise MarginLensError(
            f"{name}: expected an order from 1 to {GREATEST_ORDER}, got {order}; for example "
            "SmallGroup(24,3)"
        )
    count = number_of_small_groups(order)
    if not 1 <= number <= count:
        raise MarginLensError(
            f"{name}: expected a number from 1 to {count} for order {order}, got {number}; for "
            f"example SmallGroup({order},1)"
            + ("" if count == 1 else f" to SmallGroup({order},{count})")
        )
    (found,) = small_groups([(order, number)], describe=False)
    return found.group


def small_groups(
    wanted: Sequence[tuple[int, int]], *, describe: bool = True
) -> Iterator[SmallGroup]:
    """Yield groups of GAP's library, all from one GAP process.

    Parameters
    ----------
    wanted
        Pairs (order, number) of the groups to read.
    describe
        Whether to compute structure descriptions, which is slow.

    Raises
    ------
    MarginLensError
        GAP is missing or fails.
    """
    pairs = ",".join(f"[{order},{number}]" for order, number in wanted)
    structure = "StructureDescription(G)" if describe else '""'
    script = f"""
    for pair in [{pairs}] do
      G := SmallGroup(pair[1], pair[2]);;
      L := AsSSortedList(G);;
      Print("[", pair[1], ",", pair[2], ",\\"", {structure}, "\\",", Position(L, One(G)), ",",
        List(GeneratorsOfGroup(G), g -> List(L, x -> PositionSorted(L, x*g))), "]\\n");
    od;
    """
    lines = list(_lists(run_gap(script, packages=["smallgrp"], timeout=3600)))
    if [(order, number) for order, number, *_ in lines] != list(wanted):
        raise MarginLensError(f"expected {len(wanted)} groups from GAP, got {len(lines)}")
    for order, number, structure, identity, images in lines:
        translations = [np.array(image, dtype=np.int64) - 1 for image in images]
        table = table_from_translations(translations or [np.arange(1)], identity - 1)
        group = FiniteGroup(table, f"SmallGroup({order},{number})")
        yield SmallGroup(order, number, our_structure(structure), group)


def our_structure(description: str) -> str:
    """Convert a structure description of GAP to this package's names of dihedral groups.

    GAP's D8 is the dihedral group of order 8, here called D4; all other names agree.

    Parameters
    ----------
    description
        Text of GAP's StructureDescription.

    Examples
    --------
    >>> our_structure("C3 x D8"), our_structure("(C4 x C2) : C2"), our_structure("QD16")
    ('C3 x D4', '(C4 x C2) : C2', 'QD16')
    """
    return re.sub(r"\bD(\d+)", lambda match: f"D{int(match[1]) // 2}", description)


@functools.cache
def library_table(name: str) -> CharacterTable:
    """Return a character table from GAP's library, such as that of M11.

    Parameters
    ----------
    name
        Name of the table in GAP's library.

    Raises
    ------
    MarginLensError
        GAP is missing, the table does not exist, or the group or its table is too large.
    """
    if re.fullmatch(r"[\w().,:+\-'^]{1,40}", name, flags=re.ASCII) is None:
        raise MarginLensError(
            f"expected the name of a character table, got {name[:40]!r}; for example M11 or L2(8)"
        )
    script = f"""
    t := CharacterTable("{name}");;
    if t = fail or not IsOrdinaryTable(t) then Print("null");
    elif NrConjugacyClasses(t) > {_GREATEST_CLASSES} then Print(NrConjugacyClasses(t));
    elif Size(t) > {_GREATEST_EXACT} then Print("[", Size(t), "]");
    else
      cell := function(x) local n, c, j;
        n := Conductor(x); c := CoeffsCyc(x, n); j := PositionsProperty(c, y -> y <> 0);
        return [n, j, c{{j}}];
      end;;
      Print("[", Size(t), ",", SizesConjugacyClasses(t), ",", PowerMap(t, -1), ",",
        PowerMap(t, 2), ",", List(Irr(t), chi -> List(chi, cell)), "]");
    fi;
    """
    (found,) = _lists(run_gap(script, packages=["ctbllib"], timeout=120))
    if found is None:
        raise MarginLensError(
            f"expected a character table of GAP's library, got {name!r}; for example "
            "CharacterTable(M11) or CharacterTable(L2(8))"
        )
    if isinstance(found, int):
        raise MarginLensError(
            f"{name}: expected at most {_GREATEST_CLASSES} conjugacy classes, got {found}; for "
            "example M24 (26)"
        )
    if len(found) == 1:
        raise MarginLensError(
            f"{name}: expected an order of at most {_GREATEST_EXACT:.2g}, exact in float64, "
            f"got {found[0]:.3g}; for example M24"
        )
    order, sizes, inverse, square, rows = found
    values = _numbers(rows)
    trivial = np.flatnonzero(np.abs(values - 1).max(axis=1) < 1e-12)
    rest = np.delete(np.arange(len(values)), trivial)
    by_degree = rest[np.argsort(np.real(values[rest, 0]), kind="stable")]
    return CharacterTable(
        name=name,
        order=order,
        class_sizes=np.array(sizes, dtype=np.int64),
        characters=values[np.append(trivial, by_degree)],
        inverse_class=np.array(inverse, dtype=np.int64) - 1,
        square_class=np.array(square, dtype=np.int64) - 1,
    )


def _numbers(rows: list[list[list]]) -> Complex[np.ndarray, "row column"]:
    """Evaluate cells [N, [j, …], [c, …]] as numbers Σ c exp(2πi (j − 1)/N)."""
    roots = {conductor: roots_of_unity(conductor) for row in rows for conductor, _, _ in row}
    values = [
        [
            sum(c * roots[n][j - 1] for j, c in zip(places, coefficients, strict=True))
            for n, places, coefficients in row
        ]
        for row in rows
    ]
    return np.array(values, dtype=np.complex128)


def _lists(printed: str) -> Iterator[list]:
    """Parse the lists that GAP printed one after the other, over any number of lines."""
    decoder = json.JSONDecoder()
    text = printed.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].lstrip()
