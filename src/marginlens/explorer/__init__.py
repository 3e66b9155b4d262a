"""A local web page: predict, watch training, look at runs, compare them, and all groups.

``pip install "marginlens[explorer]"`` brings what it needs. Everything is served from this machine;
the page asks nothing of any other.
"""
