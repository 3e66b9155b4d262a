"""What is to be learned: inputs, answers and the features a neuron can specialise in."""

from marginlens.tasks.task import Feature, Task, task

__all__ = ["Feature", "Task", "task"]
