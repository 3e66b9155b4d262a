"""Atlas of finite groups: one row per group with the prediction for it."""

from marginlens.atlas.build import atlas_row, atlas_totals, build_atlas, read_atlas
from marginlens.atlas.packaged import family_spec, pack_atlas, packaged_atlas
from marginlens.atlas.page import atlas_page

__all__ = [
    "atlas_page",
    "atlas_row",
    "atlas_totals",
    "build_atlas",
    "family_spec",
    "pack_atlas",
    "packaged_atlas",
    "read_atlas",
]
