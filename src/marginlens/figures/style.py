"""Style of every figure and page: colours, fonts, light and dark themes.

Elements that only carry text, axes or a reference leave their colour unset: the template supplies
it, so that a page can turn light figures dark by exchanging the template alone. Colours of features
and series are set, and are readable on both backgrounds.
"""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

__all__ = [
    "DARK",
    "END",
    "LIGHT",
    "MEASURED",
    "START",
    "SUPERSCRIPTS",
    "Palette",
    "contrast",
    "decades",
    "feature_color",
    "feature_colorscale",
    "number",
    "plain",
    "reference_line",
    "styled",
    "template",
    "title_text",
]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

MEASURED = "#3b74e0"
"""What was measured, where it is not one feature's."""
START = "#8a93a3"
"""The network before training."""
END = MEASURED
"""The network after training."""

CATEGORICAL = (
    "#3b74e0",
    "#d0590e",
    "#0c9468",
    "#b8559a",
    "#a67c00",
    "#1f8fbf",
    "#8a6be0",
    "#7a8394",
)
"""Few features: Okabe and Ito's hues, darkened until they are readable on white and on dark."""

RAMP = ("#3b6fdc", "#7d62dc", "#b04fc0", "#d04a83", "#d65a3c", "#bb7a10")
"""Many features: a path from blue to amber that does not depend on telling red from green."""

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Palette:
    """Colours of one theme, shared by the figures and the page around them."""

    name: str
    page: str
    card: str
    ink: str
    muted: str
    line: str
    accent: str
    good: str
    bad: str


LIGHT = Palette(
    name="light",
    page="#f5f6f9",
    card="#ffffff",
    ink="#151a23",
    muted="#545e70",
    line="#e2e6ee",
    accent="#2556c9",
    good="#0a7548",
    bad="#b3261e",
)
DARK = Palette(
    name="dark",
    page="#0b0f16",
    card="#131923",
    ink="#e9edf4",
    muted="#a0abbd",
    line="#2a3444",
    accent="#8db2ff",
    good="#52d193",
    bad="#ff8f86",
)


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours by WCAG 2: 1 if equal, 21 for black on white.

    Examples
    --------
    >>> round(contrast("#000000", "#ffffff"), 1)
    21.0
    """

    def luminance(color: str) -> float:
        channels = _rgb(color) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def feature_color(index: int, total: int) -> str:
    """Colour of a feature: the same in every figure of a task.

    Up to eight features take well separated hues; more take equal steps along a ramp, so that
    neighbouring frequencies look alike and distant ones do not.

    Parameters
    ----------
    index
        Position of the feature among the task's features, from 0.
    total
        Number of features of the task.

    Raises
    ------
    ValueError
        If the index is not one of 0 to total - 1.

    Examples
    --------
    >>> feature_color(0, 4), feature_color(0, 35), feature_color(34, 35)
    ('#3b74e0', '#3b6fdc', '#bb7a10')
    """
    if not 0 <= index < total:
        raise ValueError(f"feature index: expected 0 to {total - 1}, got {index}; for example 0")
    if total <= len(CATEGORICAL):
        return CATEGORICAL[index]
    anchors = np.array([_rgb(color) for color in RAMP])
    place = index / (total - 1) * (len(RAMP) - 1)
    channels = [
        round(float(np.interp(place, range(len(RAMP)), anchors[:, channel])))
        for channel in range(3)
    ]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def feature_colorscale(total: int) -> list[tuple[float, str]]:
    """Return the colours of all features, first to last, as a Plotly colour scale."""
    return [(step / 20, feature_color(round(step / 20 * (total - 1)), total)) for step in range(21)]


def template(palette: Palette) -> go.layout.Template:
    """Build the Plotly template of a theme.

    Parameters
    ----------
    palette
        Colours of the theme.
    """
    axis = {
        "gridcolor": palette.line,
        "linecolor": palette.muted,
        "zerolinecolor": palette.line,
        "tickcolor": palette.line,
        "ticks": "outside",
        "ticklen": 4,
        "tickfont": {"size": 12, "color": palette.muted},
        "title": {"font": {"size": 13, "color": palette.muted}, "standoff": 8},
        "automargin": True,
        "zeroline": False,
    }
    control = {
        "bgcolor": palette.card,
        "bordercolor": palette.line,
        "borderwidth": 1,
        "font": {"color": palette.muted, "size": 12},
    }
    reference = {
        "marker": {"color": palette.ink},
        "line": {"color": palette.ink},
        "error_y": {"color": palette.ink, "thickness": 1.5, "width": 0},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": palette.ink},
            "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 16}},
            "paper_bgcolor": palette.card,
            "plot_bgcolor": palette.card,
            "colorway": list(CATEGORICAL),
            "margin": {"l": 64, "r": 16, "t": 76, "b": 52},
            "xaxis": {**axis, "showgrid": False},
            "yaxis": axis,
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.0,
                "yanchor": "bottom",
                "font": {"size": 12, "color": palette.muted},
                "bgcolor": "rgba(0,0,0,0)",
            },
            "hoverlabel": {
                "bgcolor": palette.card,
                "bordercolor": palette.muted,
                "font": {"family": FONT, "size": 12, "color": palette.ink},
                "align": "left",
            },
            "hovermode": "closest",
            "annotationdefaults": {"showarrow": False, "font": {"size": 12, "color": palette.ink}},
            "shapedefaults": {"line": {"color": palette.muted, "width": 1.5}},
            "coloraxis": {"colorbar": {"outlinewidth": 0, "thickness": 12}},
            "sliderdefaults": {
                **control,
                "activebgcolor": palette.accent,
                "tickcolor": palette.muted,
                "currentvalue": {"font": {"size": 13, "color": palette.ink}},
            },
            "updatemenudefaults": control,
        },
        data={"scatter": [reference]},
    )


def styled(figure: go.Figure, title: str, *, height: int) -> go.Figure:
    """Give a figure its title, height and the light theme.

    The title is broken into lines that fit a column.
    """
    lines = _broken(title)
    # a title of several lines hangs above the place it is given, by half its further lines
    top = 0.985 - 11.0 * lines.count("<br>") / height
    figure.update_layout(
        template=template(LIGHT),
        title={"text": lines, "yref": "container", "y": top, "yanchor": "top"},
        height=height,
    )
    return figure


def reference_line(
    figure: go.Figure,
    value: float,
    label: str,
    *,
    dash: Literal["dash", "dot"],
    side: Literal["above", "below"] = "above",
    end: Literal["left", "right"] = "left",
    row: int = 1,
    logarithmic: bool = False,
) -> None:
    """Draw a labelled horizontal line across a row of a figure, in the theme's colours."""
    axis = "" if row == 1 else str(row)
    height = float(np.log10(value)) if logarithmic else value
    figure.add_shape(
        type="line",
        x0=0,
        x1=1,
        xref=f"x{axis} domain",
        y0=value,
        y1=value,
        yref=f"y{axis}",
        line={"dash": dash},
        layer="above",
    )
    figure.add_annotation(
        x=0 if end == "left" else 1,
        xref=f"x{axis} domain",
        xanchor=end,
        align=end,
        text=label,
        xshift=4 if end == "left" else -4,
        y=height,
        yref=f"y{axis}",
        yanchor="bottom" if side == "above" else "top",
    )


def decades(low: float, high: float) -> dict[str, Any]:
    """Return readable ticks of a logarithmic axis: 1, 2, 5 or powers of 10.

    Examples
    --------
    >>> decades(0.3, 4.2)["ticktext"]
    ['0.5', '1', '2']
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if len(exponents) <= 4 else (1,)
    values = [digit * 10.0**exponent for exponent in exponents for digit in digits]
    thin = max(1, len(exponents) // 8) if digits == (1,) else 1
    values = [value for value in values if low <= value <= high][::thin]
    return {"tickvals": values, "ticktext": [number(value, 3) for value in values]}


def number(value: float | None, digits: int = 5) -> str:
    """Format a number for readers, with spaces that do not break.

    Examples
    --------
    >>> " ".join(number(4.61430079e-4).split())
    '4.6143 × 10⁻⁴'
    >>> number(0.99987, 4), number(2443.02), number(None), number(1e-4)
    ('0.9999', '2443', '–', '10⁻⁴')
    """
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    if mantissa in ("1", "-1"):
        return mantissa.replace("1", "") + power
    return f"{mantissa}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{power}"


def plain(text: object) -> str:
    """Escape a text for Plotly, whose labels understand a few HTML tags.

    Examples
    --------
    >>> plain("<b>C71</b>")
    '&lt;b&gt;C71&lt;/b&gt;'
    """
    return html.escape(str(text), quote=False)


def title_text(title: str) -> str:
    """Text of a figure's title, for headings outside the figure, which show tags as they are.

    Parameters
    ----------
    title
        Title as Plotly takes it, with ``<br>``, other tags and character references.

    Examples
    --------
    >>> title_text("C71, <i>x</i><sup>2</sup>:<br>θ<sub>w</sub>, a&lt;b")
    'C71, x²: θ_w, a<b'
    """
    title = re.sub(r"<sup>(\d+)</sup>", lambda digits: digits[1].translate(SUPERSCRIPTS), title)
    title = re.sub(r"<sub>(\w+)</sub>", r"_\1", title)
    words = re.sub(r"</?[a-zA-Z][^>]*>", "", re.sub(r"<br\s*/?>", " ", title))
    return html.unescape(words)


def _broken(title: str, width: int = 64) -> str:
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)], dtype=float)
