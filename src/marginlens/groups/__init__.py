"""Finite groups: Cayley table, classes, characters, irreps, Fourier transform."""

from marginlens.groups.automorphisms import feature_permutations, outer_automorphisms
from marginlens.groups.character_table import CharacterTable
from marginlens.groups.families import is_prime
from marginlens.groups.finite_group import FiniteGroup
from marginlens.groups.generated import is_generated
from marginlens.groups.irrep_class import IrrepClass
from marginlens.groups.names import UnknownGroupError, plain_text
from marginlens.groups.specs import group, group_or_characters, is_group_name
from marginlens.groups.table import GREATEST_ORDER
from marginlens.groups.table_files import TABLE_SUFFIXES, file_name, is_table_file

__all__ = [
    "GREATEST_ORDER",
    "TABLE_SUFFIXES",
    "CharacterTable",
    "FiniteGroup",
    "IrrepClass",
    "UnknownGroupError",
    "feature_permutations",
    "file_name",
    "group",
    "group_or_characters",
    "is_generated",
    "is_group_name",
    "is_prime",
    "is_table_file",
    "outer_automorphisms",
    "plain_text",
]
