"""Measures over the members of an ensemble: selection laws, their intervals and symmetry."""
