"""The models of `benchmarks/textbook.py`, loaded where benchmarks is not a package."""

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
_textbook, _cases = import_module("textbook"), import_module("cases")

TextbookFactored = _textbook.TextbookFactored
TextbookMLP = _textbook.TextbookMLP
TextbookTransformer = _textbook.TextbookTransformer
Training = _textbook.Training
some_rows = _cases.some_rows


def gradients_of(model):
    return model.gradients()
