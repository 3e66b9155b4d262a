"""Run as ``python -m marginlens``."""

from marginlens.cli import main

main()
