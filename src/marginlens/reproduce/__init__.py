"""Recipes for the field's questions, each with what is expected of its results."""
