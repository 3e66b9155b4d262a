"""Reader of networks that other projects trained, without executing their files.

To add a format: a function from a file's tensors to a :class:`Foreign`, in a file here, and a line
in
``FORMATS``.
"""

from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.registry import FORMATS, read_network, read_state_dict

__all__ = ["FORMATS", "Choices", "Foreign", "Format", "read_network", "read_state_dict"]
