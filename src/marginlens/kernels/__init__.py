"""Compiled parts of a training step: C++ beside the Python that builds and calls it."""
