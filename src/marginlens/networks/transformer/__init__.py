"""Transformers: settings, networks, and their evaluators."""
