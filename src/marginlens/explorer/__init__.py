"""Local web application: predict, watch training, compare runs, browse all groups.

``pip install "marginlens[explorer]"`` installs its libraries. All content is served from this machine;
the pages load no resource from the internet.
"""
