"""The models of `benchmarks/textbook_transformer.py`, loaded where benchmarks is not a package."""

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).parents[1] / "benchmarks" / "textbook_transformer.py"
_spec = importlib.util.spec_from_file_location("textbook_transformer", _PATH)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _module
_spec.loader.exec_module(_module)

TextbookFactored = _module.TextbookFactored
TextbookTransformer = _module.TextbookTransformer
gradients_of = _module.gradients_of
some_rows = _module.some_rows
