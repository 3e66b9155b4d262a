"""Finite groups: Cayley table → classes → characters → irreps → Fourier (NumPy and SciPy only)."""

from marginlens.groups.automorphisms import feature_permutations, outer_automorphisms
from marginlens.groups.character_table import CharacterTable
from marginlens.groups.families import is_prime
from marginlens.groups.finite_group import FiniteGroup
from marginlens.groups.irrep_class import IrrepClass
from marginlens.groups.names import UnknownGroupError
from marginlens.groups.specs import group, group_or_characters
from marginlens.groups.table import GREATEST_ORDER

__all__ = [
    "GREATEST_ORDER",
    "CharacterTable",
    "FiniteGroup",
    "IrrepClass",
    "UnknownGroupError",
    "feature_permutations",
    "group",
    "group_or_characters",
    "is_prime",
    "outer_automorphisms",
]
