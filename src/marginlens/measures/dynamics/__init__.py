"""Measures over training: grokking, progress measures, the lottery of frequencies."""
