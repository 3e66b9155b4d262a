"""Finite groups: Cayley table, classes, characters, irreps, Fourier transform."""

from marginlens.groups.group import FiniteGroup, IrrepClass, group

__all__ = ["FiniteGroup", "IrrepClass", "group"]
