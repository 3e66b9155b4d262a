"""Every public array's shape and type is checked while the tests run."""

from jaxtyping import install_import_hook

install_import_hook("marginlens", "beartype.beartype")
