"""What is to be learned: inputs, answers, and the features a neuron can specialise in."""

from marginlens.tasks.specs import task
from marginlens.tasks.task_types import Feature, Task

__all__ = ["Feature", "Task", "task"]
