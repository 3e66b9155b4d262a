"""Margins of finite groups: programs over classes and irreps, certificates, constructions, widths."""
