"""Compiled parts of a training step: C++ sources and their Python callers."""
