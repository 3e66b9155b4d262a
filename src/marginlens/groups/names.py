"""Names of groups: parsing of any usual spelling to a canonical name and a Cayley table."""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from jaxtyping import Int

from marginlens.errors import MarginLensError
from marginlens.groups.families import FAMILIES, Family, direct_product, is_prime, semidirect_table
from marginlens.groups.fields import prime_power
from marginlens.groups.gap import small_group
from marginlens.groups.table import GREATEST_ORDER, check_order

__all__ = ["EXAMPLES", "NamedGroup", "UnknownGroupError", "named_group", "plain_text"]

EXAMPLES = "C12, D5, S5, Q8, SL(2,3), S3xC4, <(1,2,3),(1,2)> or a path to a table such as group.csv"
"""Examples of a group, for messages."""

_LONGEST = 200  # characters
_ALIASES = {
    **dict.fromkeys(
        ("v4", "v", "k4", "klein4", "klein", "kleinfour", "kleinfourgroup", "kleingroup"), "C2xC2"
    ),
    **dict.fromkeys(("2t", "binarytetrahedral"), "SL(2,3)"),
    **dict.fromkeys(("2i", "binaryicosahedral"), "SL(2,5)"),
    **dict.fromkeys(("trivial", "trivialgroup"), "C1"),
}
"""Names without a family, in lower case."""

_INFINITE = re.compile(
    r"\w*\s*_?\{?\s*(∞|\\?infty|inf(inity)?)\}?|Z|ZZ|Q|R|(G|S)L\s*\(\s*\d+\s*,\s*[ZQRC]\s*\)|"
    r"(SO|O|SU|U)\s*\(\s*\d+\s*\)",
    re.IGNORECASE,
)
_TIMES = re.compile(r"\s*[x×*✕⨯⨉⊕]\s*", re.IGNORECASE)
_ACTS = re.compile(r"\s*(?::|⋊|\\?rtimes)\s*")
_POWER = re.compile(r"\s*\^\s*(?:(\d{1,3})|\{\s*(\d{1,3})\s*\}|\(\s*(\d{1,3})\s*\))")
_ACTION = re.compile(r"\s*\[\s*(\d{1,15})\s*\]")
_BARE = re.compile(r"\s*\d+\s*[:⋊]")
_SMALL = re.compile(
    r"Small\s*Group\s*\(\s*\[?\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\]?\s*\)", re.IGNORECASE
)
_RESIDUES = re.compile(r"Z+\s*/\s*(?:\(\s*(\d+)\s*\)|(\d+))\s*(?:Z+)?", re.IGNORECASE | re.ASCII)
_FROBENIUS = re.compile(
    r"(?:F|Fr|Frob|Frobenius)\s*_?\s*(?:\((\d+)\)|\{(\d+)\}|(\d+))", re.IGNORECASE
)
_NUMBER = r"(\d+(?:\^\d{1,2})?)"
_FIELD = rf"(?:GF\s*\(\s*|(?:F|GF|Z)\s*_?\s*|Z\s*/\s*)?\{{?{_NUMBER}\}}?\s*(?:Z\s*)?\)?"


class UnknownGroupError(MarginLensError):
    """Error for a spec that names neither a family of groups nor a table file.

    Attributes
    ----------
    suggestion
        Nearest existing name, or ``None``.
    """

    suggestion: str | None = None


@dataclass(frozen=True, eq=False)
class NamedGroup:
    """Group described by its name, before its table is built.

    Attributes
    ----------
    name
        Canonical name of the group.
    log10_order
        Decimal logarithm of the order.
    build
        Function that builds the Cayley table.
    notes
        Sentences for the reader on the name's convention or on the action meant.
    cyclic
        Order n if the name is a plain C_n, which may act or be acted on in C7:C3; else ``None``.
    """

    name: str
    log10_order: float
    build: Callable[[], np.ndarray]
    notes: tuple[str, ...] = ()
    cyclic: int | None = None

    @property
    def note(self) -> str:
        """Notes joined in one line."""
        return ". ".join(self.notes)

    def table(self) -> Int[np.ndarray, "element element"]:
        """Build the Cayley table of the group.

        Raises
        ------
        MarginLensError
            The group is too large.
        """
        check_order(self.log10_order, self.name)
        return self.build()


def plain_text(text: str) -> str:
    """Replace typographical characters by those of a plain keyboard.

    Subscripts become plain digits and superscripts powers; blackboard and full-width letters become
    plain letters.

    Parameters
    ----------
    text
        Typed or pasted text.

    Examples
    --------
    >>> plain_text("C₅ × ℤ/5"), plain_text("x²+y² − 1")
    ('C5 × Z/5', 'x^2+y^2 - 1')
    """
    text = re.sub(
        "[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda match: "^" + unicodedata.normalize("NFKC", match.group()), text
    )
    text = unicodedata.normalize("NFKC", text)
    return re.sub("[−‐‑–]", "-", text).replace("÷", "/").replace("∕", "/").strip()


def named_group(text: str) -> NamedGroup:
    """Parse the name of a group.

    ============================  =========  ===================================================
    name, and other spellings     order      elements, in order
    ============================  =========  ===================================================
    C12, Z12, Z/12, Z/12Z, C_12   n          0, 1, …, n−1 under addition modulo n
    D5, Dih5                      2n         r^i (i = 0, …, n−1), then r^i s, with s r s = r⁻¹
    Q8, Q16                       n          generalized quaternion: the dicyclic group Dic(n/4)
    Dic3                          4n         a^i, then a^i x, with x² = a^n and x a x⁻¹ = a⁻¹
    QD16, SD16                    n          quasidihedral: C8:C2[3]
    MMC16                         n          modular maximal-cyclic: C8:C2[5]
    S5, Sym(5); A5, Alt(5)        n!, n!/2   (even) permutations in lexicographic order,
                                             (pq)(i) = p(q(i))
    SL(2,3), GL, PSL, PGL, AGL    see below  matrices over the field of q elements, see
                                             :func:`~marginlens.groups.matrix_families.matrix_table`
    Heis(3), He3                  q³         upper unitriangular 3 × 3 matrices
    C7:C3, C8:C2[3]               n·m        a^i b^j with b a b⁻¹ = a^r, the last fastest
    F20, F21                      n          the Frobenius group: AGL(1,5), C7:C3
    V4, K4, C2^3                             C2xC2, C2xC2xC2
    S3xC4, S3 × C4                product    tuples, the last factor fastest
    SmallGroup(24,3)              n          in GAP's order
    ============================  =========  ===================================================

    Letters may be of any case; numbers may be subscripts, in braces or in brackets.

    Parameters
    ----------
    text
        Name of a group, in any of the spellings above.

    Raises
    ------
    UnknownGroupError
        The text is not a name; the message suggests the nearest one.
    MarginLensError
        The numbers are outside their family, or the group is infinite.

    Examples
    --------
    >>> [named_group(text).name for text in ("z/5", "C₂ × V4", "psl2(7)", "F20", "(C2xC2)^2")]
    ['C5', 'C2xC2xC2', 'PSL(2,7)', 'AGL(1,5)', 'C2xC2xC2xC2']
    >>> named_group("D8").note
    'D8 is the dihedral group of order 16 (D_n has order 2n); for order 8 write D4'
    >>> named_group("C7:C3").note
    'C7:C3: the generator of C3 acts on C7 as x → 2x, faithfully'
    """
    words = plain_text(text).replace("**", "^")
    if len(words) > _LONGEST:
        digits = re.search(r"\d{16}", words)
        problem = "far too large a group" if digits else f"a name of {len(words)} characters"
        raise MarginLensError(f"{words[:40]!r}…: {problem}; for example C12 or S5")
    for part in re.split(_TIMES, words):
        if _INFINITE.fullmatch(part.strip()) is not None:
            raise MarginLensError(
                f"expected a finite group, got the infinite group {part.strip()!r}; for "
                "example C12 or D5"
            )
    reader = _Reader(words)
    found = reader.product()
    if reader.place < len(words):
        raise reader.unknown()
    return found


class _Reader:
    """Recursive-descent parser of a name: product, semidirect product, power, atom.

    Parameters
    ----------
    text
        Name of a group in plain characters.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self._depth = 0

    def unknown(self) -> UnknownGroupError:
        """Return the error for an unknown name, with the nearest existing one."""
        shown = self.text[:60]
        suggestion = nearest_name(self.text)
        error = UnknownGroupError(
            f"unknown group {shown!r}; "
            + (f"did you mean {suggestion}? " if suggestion else "")
            + f"expected a name such as {EXAMPLES}"
        )
        error.suggestion = suggestion
        return error

    def product(self) -> NamedGroup:
        found = self._acted_on()
        while self._take(_TIMES):
            found = _product(found, self._acted_on())
        return found

    def _acted_on(self) -> NamedGroup:
        bare = _BARE.match(self.text, self.place) is not None
        found = self._power(bare=bare)
        while self._take(_ACTS):
            acting = self._power(bare=True)
            chosen = self._take(_ACTION)
            found = _semidirect(found, acting, int(chosen.group(1)) if chosen else None)
        return found

    def _power(self, *, bare: bool = False) -> NamedGroup:
        found = self._atom(bare=bare)
        match = self._take(_POWER)
        if match is None:
            return found
        exponent = int(_only(match))
        if not 1 <= exponent <= 20:
            raise MarginLensError(
                f"{self.text[:60]!r}: expected a power from 1 to 20, got {exponent}; for "
                "example C2^3"
            )
        power = found
        for _ in range(exponent - 1):
            power = _product(power, found)
        return power

    def _atom(self, *, bare: bool) -> NamedGroup:
        self._take(re.compile(r"\s+"))
        longest: tuple[int, Callable[[], NamedGroup]] | None = None
        for end, make in self._readings(bare=bare):
            if longest is None or end > longest[0]:
                longest = end, make
        if longest is not None:
            self.place = longest[0]
            return longest[1]()
        if self._take(re.compile(r"\(")):
            self._depth += 1
            if self._depth > 20:
                raise self.unknown()
            inside = self.product()
            if self._take(re.compile(r"\s*\)")):
                self._depth -= 1
                return inside
        raise self.unknown()

    def _readings(self, *, bare: bool) -> Iterator[tuple[int, Callable[[], NamedGroup]]]:
        """Yield each reading of the next atom: its end position and its constructor."""
        for family in FAMILIES:
            match = _pattern(family).match(self.text, self.place)
            if match is not None:
                yield match.end(), _family_maker(family, match, self.text)
        cyclic = FAMILIES[0]
        match = _RESIDUES.match(self.text, self.place)
        if match is not None:
            yield match.end(), _family_maker(cyclic, match, self.text)
        match = re.compile(r"\d+(?!\w)").match(self.text, self.place) if bare else None
        if match is not None:  # the 3 of 7:3
            digits = match.group()
            yield match.end(), lambda: _member(cyclic, (_whole(digits, self.text),), self.text)
        match = _FROBENIUS.match(self.text, self.place)
        if match is not None:
            order = _only(match)
            yield match.end(), lambda: _frobenius(_whole(order, self.text), self.text)
        match = _SMALL.match(self.text, self.place)
        if match is not None:
            n, number = int(match.group(1)), int(match.group(2))
            yield match.end(), lambda: _small(n, number)
        match = re.compile(r"[A-Za-z0-9]+").match(self.text, self.place)
        if match is not None:
            for end in range(match.end(), self.place, -1):
                alias = _ALIASES.get(self.text[self.place : end].lower())
                after = self.text[end : end + 1]
                if alias is not None and (not after.isalnum() or after in "xX"):
                    yield end, partial(named_group, alias)
                    break

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.place)
        if match is not None:
            self.place = match.end()
        return match


def _only(match: re.Match[str]) -> str:
    """Return the one alternative that matched."""
    return next(part for part in match.groups() if part is not None)


def _whole(digits: str, text: str) -> int:
    base, _, power = digits.partition("^")
    if len(base) > 15 or (value := int(base) ** int(power or 1)) >= 10**15:
        raise MarginLensError(f"{text[:40]}: far too large a group; for example C12 or S5")
    return value


@cache
def _pattern(family: Family) -> re.Pattern[str]:
    heads = "|".join(sorted(family.heads, key=len, reverse=True))
    if family.count == 1:
        numbers = rf"(?:\{{\s*{_NUMBER}\s*\}}|\(\s*{_NUMBER}\s*\)|(\d+))"
        return re.compile(rf"(?:{heads})\s*_?\s*{numbers}", re.IGNORECASE | re.ASCII)
    size = r"(?:\(\s*(\d+)\s*,\s*|_?\s*(?:(\d+)|\{\s*(\d+)\s*\})\s*\(\s*)"
    return re.compile(rf"(?:{heads})\s*{size}{_FIELD}\s*\)", re.IGNORECASE | re.ASCII)


def _family_maker(family: Family, match: re.Match[str], text: str) -> Callable[[], NamedGroup]:
    def make() -> NamedGroup:
        numbers = tuple(_whole(part, text) for part in match.groups() if part is not None)
        return _member(family, numbers, text)

    return make


def _member(family: Family, numbers: tuple[int, ...], text: str) -> NamedGroup:
    name = family.name(numbers)
    problem = family.problem(*numbers)
    if problem is not None:
        near = _neighbour(family, numbers)
        raise MarginLensError(f"{name}: {problem}" + (f"; did you mean {near}?" if near else ""))
    return NamedGroup(
        name,
        family.log10_order(*numbers),
        lambda: family.build(*numbers),
        tuple(filter(None, (family.note(*numbers),))),
        numbers[0] if family is FAMILIES[0] else None,
    )


def _neighbour(family: Family, numbers: tuple[int, ...]) -> str | None:
    """Return the family's group whose numbers are nearest to invalid ones."""
    for step in (1, -1, 2, -2, 3, -3, 4, -4):
        for place in reversed(range(len(numbers))):
            near = (*numbers[:place], numbers[place] + step, *numbers[place + 1 :])
            if (
                min(near) >= 1
                and family.problem(*near) is None
                and family.log10_order(*near) <= math.log10(GREATEST_ORDER)
            ):
                return family.name(near)
    return None


def _product(left: NamedGroup, right: NamedGroup) -> NamedGroup:
    if len(left.name) + len(right.name) > 2 * _LONGEST:
        raise MarginLensError(f"{left.name[:40]}…: too many factors; for example S3xC4")
    return NamedGroup(
        f"{left.name}x{right.name}",
        left.log10_order + right.log10_order,
        lambda: direct_product(left.build(), right.build()),
        tuple(dict.fromkeys((*left.notes, *right.notes))),
    )


def _frobenius(order: int, text: str) -> NamedGroup:
    """Return the Frobenius group of an order: AGL(1,q), or the unique C_p by a cyclic group."""
    if order > GREATEST_ORDER:
        check_order(math.log10(order), f"F{order}")
    for q in range(3, order):
        if q * (q - 1) == order and prime_power(q) is not None:
            return named_group(f"AGL(1,{q})")
    for p in range(order - 1, 2, -1):
        if order % p == 0 and is_prime(p) and order // p > 1 and (p - 1) % (order // p) == 0:
            return named_group(f"C{p}:C{order // p}")
    raise MarginLensError(
        f"{text[:60]!r}: expected the order of a Frobenius group, got {order}; for example F20 "
        "or F21"
    )


def _small(n: int, number: int) -> NamedGroup:
    return NamedGroup(
        f"SmallGroup({n},{number})",
        math.log10(min(max(n, 1), GREATEST_ORDER)),  # GAP's own refusal says more
        lambda: small_group(n, number).table,
    )


def _semidirect(normal: NamedGroup, acting: NamedGroup, chosen: int | None) -> NamedGroup:
    """Return C_n : C_m with the chosen action, or the first action of the largest order."""
    n, m = normal.cyclic, acting.cyclic
    written = f"{normal.name}:{acting.name}"
    if n is None or m is None:
        raise MarginLensError(
            f"{written}: expected a semidirect product of two cyclic groups; for example "
            "C7:C3, generators such as <(1,2,3),(1,2)>, or SmallGroup(24,3)"
        )
    log10_order = math.log10(n) + math.log10(m)
    check_order(log10_order, written)
    by_subgroup: dict[frozenset[int], int] = {}
    for r in range(2, n):
        if math.gcd(r, n) == 1 and pow(r, m, n) == 1:
            powers = frozenset(pow(r, k, n) for k in range(m))
            by_subgroup.setdefault(powers, r)
    if not by_subgroup:
        raise MarginLensError(
            f"{written}: expected a nontrivial action, but C{m} acts on C{n} only trivially; "
            f"for example the direct product C{n}xC{m}"
        )
    most = max(map(len, by_subgroup))
    usual = [r for powers, r in by_subgroup.items() if len(powers) == most]
    if chosen is None:
        r = usual[0]
    else:
        powers = frozenset(pow(chosen, k, n) for k in range(m))
        if powers not in by_subgroup:
            raise MarginLensError(
                f"{written}[{chosen}]: expected a nontrivial action x → rx of C{m} on C{n}, "
                f"got r = {chosen}; for example {written}[{usual[0]}]"
            )
        r = by_subgroup[powers]
    faithful = len({pow(r, k, n) for k in range(m)}) == m
    others = [f"{written}[{other}]" for other in by_subgroup.values() if other != r]
    name = written if usual == [r] else f"{written}[{r}]"
    note = f"{name}: the generator of C{m} acts on C{n} as x → {r}x, "
    note += "faithfully" if faithful else "not faithfully"
    if others:
        others = others[:5] + ["…"] * (len(others) > 5)
        note += f"; other actions: {', '.join(others)}"
    return NamedGroup(name, log10_order, lambda: semidirect_table(n, m, r), (note,))


def nearest_name(text: str) -> str | None:
    """Return the group name with the most similar spelling, or ``None`` if all are far.

    Parameters
    ----------
    text
        Unknown name as it was typed.

    Examples
    --------
    >>> nearest_name("Q7"), nearest_name("dihedrl5"), nearest_name("PLS(2,7)"), nearest_name("?")
    ('Q8', 'D5', 'PSL(2,7)', None)
    >>> nearest_name("S3xK5xC2")
    'S3xC2xC2xC2'
    """
    words = re.sub(r"[\s_{}]", "", plain_text(text)).lower()[:60]
    factors = words.split("x")
    if len(factors) > 1 and all(factors):
        known = [_known(factor) or nearest_name(factor) for factor in factors]
        if all(known):
            return "x".join(map(str, known))
    numbers = tuple(int(digits) for digits in re.findall(r"\d{1,4}", words))
    spelled = dict(_spellings(numbers))
    if len(words) == 1:  # resembles too many: only those that begin so
        spelled = {written: name for written, name in spelled.items() if written.startswith(words)}
    close = difflib.get_close_matches(words, spelled, n=1, cutoff=0.6)
    if not close and (match := re.fullmatch(r"([a-z]{1,2})(\d{1,4})", words)) is not None:
        near = [f"{match[1]}{int(match[2]) + step}" for step in (0, 1, -1, 2, -2, 3, -3, 4, -4)]
        close = [one for one in near if one in spelled]  # of the same letter
    return spelled[close[0]] if close else None


def _known(text: str) -> str | None:
    try:
        return named_group(text).name
    except ValueError:
        return None


def _spellings(numbers: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Yield spellings of groups with similar numbers, in lower case, with canonical names."""
    steps = (0, 1, -1, 2, -2, 3, -3, 4, -4)
    single = {(n + step,) for n in (*numbers, 4) for step in steps}
    pairs = (
        {(n, numbers[-1] + step) for n in (*numbers[:1], 2) for step in steps} if numbers else set()
    )
    for family in FAMILIES:
        for found in sorted(single if family.count == 1 else pairs):
            if min(found) < 1 or family.problem(*found) is not None:
                continue
            if family.log10_order(*found) <= math.log10(GREATEST_ORDER):
                name = family.name(found)
                for head in family.heads:
                    yield (head + name.removeprefix(family.heads[0])).lower(), name
    yield from _ALIASES.items()
