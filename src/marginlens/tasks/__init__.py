"""Tasks: inputs, their right answers, and the features in which neurons can specialise."""

from marginlens.public_names import keep_public_names
from marginlens.tasks.addition import Addition, addition
from marginlens.tasks.group_coordinates import GroupCoordinates, group_coordinates
from marginlens.tasks.lambdas import lambda_operation
from marginlens.tasks.operations import POWER_OPERATIONS, Operation, operation, split_operation
from marginlens.tasks.row_numbers import numbers_of, row_numbers, text_of_numbers
from marginlens.tasks.specs import name_of_elements, operation_task, task, task_of, task_over
from marginlens.tasks.task_types import Feature, Task

keep_public_names(__name__)
__all__ = [
    "POWER_OPERATIONS",
    "Addition",
    "Feature",
    "GroupCoordinates",
    "Operation",
    "Task",
    "addition",
    "group_coordinates",
    "lambda_operation",
    "name_of_elements",
    "numbers_of",
    "operation",
    "operation_task",
    "row_numbers",
    "split_operation",
    "task",
    "task_of",
    "task_over",
    "text_of_numbers",
]
