"""Figures: one function a figure, from records to a Plotly figure.

``FIGURES`` lists them by name, in the order of a report. To add one, write its function in a file of its
own and add an entry here.

Examples
--------
>>> list(FIGURES)
['neurons', 'margin', 'power', 'shares', 'phases', 'loss']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from marginlens.figures.loss import loss_figure
from marginlens.figures.margin import margin_figure
from marginlens.figures.neurons import band_limited, choose_neurons, neurons_figure
from marginlens.figures.phases import phases_figure
from marginlens.figures.power import power_figure
from marginlens.figures.shares import shares_figure
from marginlens.figures.style import DARK, LIGHT, Palette, feature_color, template

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from marginlens.runs import Run

__all__ = [
    "DARK",
    "FIGURES",
    "LIGHT",
    "FigureEntry",
    "Palette",
    "band_limited",
    "choose_neurons",
    "feature_color",
    "loss_figure",
    "margin_figure",
    "neurons_figure",
    "phases_figure",
    "power_figure",
    "shares_figure",
    "template",
]


@dataclass(frozen=True)
class FigureEntry:
    """A figure as a report shows it.

    Attributes
    ----------
    heading
        What it shows, in a few words.
    look_for
        A sentence: what to look for.
    computed
        A sentence: how it is computed.
    draw
        From a run to the figure, or to None where the run has no such figure.
    """

    heading: str
    look_for: str
    computed: str
    draw: Callable[[Run], go.Figure | None]


FIGURES: Mapping[str, FigureEntry] = MappingProxyType(
    {
        "neurons": FigureEntry(
            "What single neurons learn",
            "Move the slider or press play: weights that begin as noise should settle into a single "
            "feature, while their power spectrum collapses onto one bar.",
            "Points are the input weights u of the largest live neurons with different features; "
            "bars are the share of their centred energy in each feature, and for a cyclic group the "
            "curve is the Fourier interpolation of all points.",
            neurons_figure,
        ),
        "margin": FigureEntry(
            "The margin on its way to the maximum",
            "The curve should rise to the predicted value and stay there, and never cross γ*.",
            "The normalized margin is the least lead of the right logit over the best wrong one, over "
            "all inputs, divided by the sum of the neurons' norms to the power ν (the network's "
            "degree of homogeneity).",
            margin_figure,
        ),
        "power": FigureEntry(
            "One feature a neuron",
            "Before training the energy of a neuron is spread over many features; afterwards every "
            "neuron should stand at 100 %.",
            "For each live neuron, the largest share of the energy of its weights (u, v and w "
            "together) that lies in one feature.",
            power_figure,
        ),
        "shares": FigureEntry(
            "Which features are used, and how much",
            "Bars should end at the diamonds, the shares predicted for this penalty, and approach the "
            "ticks, the range of shares among networks of maximum margin.",
            "Each live neuron counts for its dominant feature, with its norm to the power ν (for "
            "parity: with the energy of its input weights on each coordinate).",
            shares_figure,
        ),
        "phases": FigureEntry(
            "Phases add up",
            "Every point should lie on the dashed line, where the phases of the two inputs add up to "
            "the phase of the output.",
            "θ is the phase of the cosine that fits a live neuron's weights u, v or w at its dominant "
            "frequency; angles are modulo 2π.",
            phases_figure,
        ),
        "loss": FigureEntry(
            "Loss and accuracy",
            "The loss should settle on the dotted line: with a penalty its least value is not zero, and "
            "the theory predicts it.",
            "Mean cross-entropy, without the penalty, and share of right answers over the whole "
            "table of inputs.",
            loss_figure,
        ),
    }
)
"""Figures of a run by name, in the order of a report."""
