"""Margins of sparse parity: closed forms, certificates, and the minimum at a penalty."""
