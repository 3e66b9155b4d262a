"""MarginLens: predict the features a network learns, train it, measure it, compare.

Examples
--------
>>> import marginlens as ml
>>> c5 = ml.Task("C5")
>>> prediction = ml.predict(c5, penalty=1e-3)
>>> training = ml.train(c5, penalty=1e-3, width=60, learning_rate=0.05)
>>> ml.compare(prediction, ml.measure(training.network, c5)).holds
True
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from marginlens.public_names import keep_public_names

if TYPE_CHECKING:
    from marginlens.errors import MarginLensError
    from marginlens.groups import FiniteGroup, group
    from marginlens.interface import best_neuron, certify, figure, optimal_network, sweep
    from marginlens.measures import Measurement, measure
    from marginlens.networks import MLP, construct, evaluate
    from marginlens.report import report, write_report
    from marginlens.runs import LoadedNetwork, Run, load, load_run
    from marginlens.runs import execute as run
    from marginlens.sweeps import Results
    from marginlens.tasks import Feature, Task, task
    from marginlens.theory import OwnActivation, Penalty, Prediction, penalty_path, predict
    from marginlens.training import Recipe, Training, recipe_for, train
    from marginlens.verdict import Claim, Verdict, compare, judge

keep_public_names(__name__)
__version__ = version("marginlens")

_HOMES = {
    "MarginLensError": "errors",
    **dict.fromkeys(("best_neuron", "certify", "figure", "optimal_network", "sweep"), "interface"),
    "Results": "sweeps",
    "FiniteGroup": "groups",
    "group": "groups",
    "Feature": "tasks",
    "Task": "tasks",
    "task": "tasks",
    "OwnActivation": "theory",
    "Penalty": "theory",
    "Prediction": "theory",
    "penalty_path": "theory",
    "predict": "theory",
    "MLP": "networks",
    "construct": "networks",
    "evaluate": "networks",
    "Recipe": "training",
    "Training": "training",
    "recipe_for": "training",
    "train": "training",
    "Measurement": "measures",
    "measure": "measures",
    "Claim": "verdict",
    "Verdict": "verdict",
    "compare": "verdict",
    "judge": "verdict",
    "LoadedNetwork": "runs",
    "Run": "runs",
    "load": "runs",
    "load_run": "runs",
    "run": "runs",
    "report": "report",
    "write_report": "report",
}

__all__ = [
    "MLP",
    "Claim",
    "Feature",
    "FiniteGroup",
    "LoadedNetwork",
    "MarginLensError",
    "Measurement",
    "OwnActivation",
    "Penalty",
    "Prediction",
    "Recipe",
    "Results",
    "Run",
    "Task",
    "Training",
    "Verdict",
    "best_neuron",
    "certify",
    "compare",
    "construct",
    "evaluate",
    "figure",
    "group",
    "judge",
    "load",
    "load_run",
    "measure",
    "optimal_network",
    "penalty_path",
    "predict",
    "recipe_for",
    "report",
    "run",
    "sweep",
    "task",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    # PyTorch takes a second to import: `import marginlens` and `--help` should not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module 'marginlens' has no attribute {name!r}")
    home = import_module(f"marginlens.{_HOMES[name]}")
    value = getattr(home, "execute" if name == "run" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
