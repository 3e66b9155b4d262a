"""What is to be learned: inputs, answers, and the features a neuron can specialise in."""

from marginlens.public_names import keep_public_names
from marginlens.tasks.addition import Addition, addition
from marginlens.tasks.operations import POWER_OPERATIONS, Operation, operation
from marginlens.tasks.specs import name_of_elements, task, task_over
from marginlens.tasks.task_types import Feature, Task

keep_public_names(__name__)
__all__ = [
    "POWER_OPERATIONS",
    "Addition",
    "Feature",
    "Operation",
    "Task",
    "addition",
    "name_of_elements",
    "operation",
    "task",
    "task_over",
]
