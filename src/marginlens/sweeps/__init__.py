"""Sweeps: many configurations and seeds, on a cluster, into tables that can be asked."""
