"""Textbook algorithms for modular addition, and the interference of their cosines."""
