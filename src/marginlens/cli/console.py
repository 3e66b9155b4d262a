r"""Consoles that print every text literally, without markup, emoji codes or control characters.

Names of tasks, files and folders come from users: ``a[bold]b.csv`` is printed with its brackets, and an
escape sequence in a name as ``\x1b``. Colours of our own are :class:`rich.text.Text` (see ``styled``).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from marginlens.display import printable

__all__ = ["BREAKS", "PlainConsole", "printable", "styled", "wrapped"]

BREAKS = re.compile(r"(?<![±×]) +(?![±×%]|(?:s|ms|min|h|rad|kB|MB|GB|days)\b)")
"""Spaces at which a line may end; those inside a number with error or unit, "0.1 ± 0.2", may not."""


def styled(*parts: str | tuple[str, str]) -> Text:
    """Join parts, each a string or a pair of a string and a Rich style, to one text.

    Parameters
    ----------
    *parts
        Strings, or pairs of a string and a Rich style such as "bold".

    Examples
    --------
    >>> styled("a ", ("[b]", "bold")).plain
    'a [b]'
    """
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def wrapped(text: Text, width: int) -> Text:
    """Wrap a text between words, with the indentation of the first line; longer words stay whole.

    Parameters
    ----------
    text
        Text of one or several lines.
    width
        Width of the lines in characters.

    Examples
    --------
    >>> wrapped(Text("margin 2.000 ± 0.001 of four"), 14).plain.splitlines()
    ['margin', '2.000 ± 0.001', 'of four']
    """
    lines: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        indent = len(line.plain) - len(line.plain.lstrip(" "))
        blank, words = line[:indent], line[indent:]
        spaces = [match.span() for match in BREAKS.finditer(words.plain)]
        starts = [0, *(end for _, end in spaces)]
        ends = [*(start for start, _ in spaces), len(words)]
        first = 0  # the word that the present line starts with
        for word in range(1, len(starts)):
            if words[starts[first] : ends[word]].cell_len > width - indent:
                lines.append(blank + words[starts[first] : ends[word - 1]])
                first = word
        lines.append(blank + words[starts[first] :])
    return Text("\n", style=text.style).join(lines)


_SPELLED = {
    "γ": "gamma",
    "ω": "omega",
    "θ": "theta",
    "ρ": "rho",
    "π": "pi",
    "σ": "sigma",
    "Σ": "sum ",
    "‖": "||",
    "√": "sqrt",
    "×": "x",
    "·": ".",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "≥": ">=",
    "≤": "<=",
    "≈": "~",
    "±": "+-",
    "✓": "yes",
    "✗": "no",
    "○": "o",
    "²": "^2",
    "³": "^3",
    "°": " deg",
    "\u00a0": " ",
    "→": "->",
    "∞": "inf",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks by their names or by escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_SPELLED.get(sign, ascii(sign)[1:-1]) for sign in missing), error.end


codecs.register_error("marginlens", _spell)


class PlainConsole(Console):
    """Console that prints strings literally and never writes control characters.

    Parameters
    ----------
    stderr
        Whether to print on standard error in place of standard output.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print objects; texts are wrapped between words.

        Parameters
        ----------
        *objects
            Texts, strings or tables.
        soft_wrap
            Whether to leave the wrapping of long lines to the terminal.
        **options
            Further options of :meth:`rich.console.Console.print`.
        """
        if not soft_wrap and objects and all(isinstance(one, str | Text) for one in objects):
            texts = [Text(printable(one)) if isinstance(one, str) else one for one in objects]
            objects = tuple(wrapped(one, self.width) for one in texts)
            soft_wrap = True
        super().print(*objects, soft_wrap=soft_wrap, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a string into literal text.

        Parameters
        ----------
        text
            String that is printed literally.
        **options
            Further options of :meth:`rich.console.Console.render_str`.
        """
        options |= {"markup": False, "emoji": False}
        return super().render_str(printable(text), **options)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Write segments with control characters escaped."""
        literal = (
            segment if segment.control else Segment(printable(segment.text), segment.style)
            for segment in buffer
        )
        return super()._render_buffer(literal)

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError if the reader of the output, such as ``head``, has gone."""
        raise BrokenPipeError
