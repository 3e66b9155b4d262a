"""Trainings in separate processes, and the messages that the browser gets about them."""
