"""Predict, train, measure, verdict."""
