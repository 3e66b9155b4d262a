"""Trainings in processes of their own, and what the browser is sent of them."""
