"""Registry of the kinds of networks that training offers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marginlens.networks.network import Network

__all__ = ["KINDS", "network_class"]

KINDS = {
    "mlp": "mlp.MLP",
    "factored": "factored.Factored",
    "transformer": "transformer.transformer.Transformer",
}
"""From the name in a recipe to the module and the class, imported when first needed."""


def network_class(kind: str) -> type[Network]:
    """Return the class of a kind of network.

    Parameters
    ----------
    kind
        Name of the kind in a recipe, one of :data:`KINDS`.

    Raises
    ------
    ValueError
        The kind is unknown; the message lists the kinds.

    Examples
    --------
    >>> network_class("factored").__name__
    'Factored'
    """
    if kind not in KINDS:
        raise ValueError(f"expected a network of {', '.join(KINDS)}, got {kind!r}")
    module, _, name = KINDS[kind].rpartition(".")
    return getattr(import_module(f"marginlens.networks.{module}"), name)
