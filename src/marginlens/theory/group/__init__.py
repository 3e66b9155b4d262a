"""Margins of finite groups: linear programs, certificates, constructions and widths."""
