"""Figures: one function per figure, from records to a Plotly figure.

``FIGURES`` lists them by name, in the order of a report. To add one, write its functions in a new
file and add an entry here.

Examples
--------
>>> list(FIGURES)[:6]
['neurons', 'margin', 'waveform', 'heatmap', 'power', 'shares']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from marginlens.figures.run.algorithms import algorithms_figure
from marginlens.figures.run.clock_pizza_plane import plane_figure
from marginlens.figures.run.excess import excess_caption, excess_figure
from marginlens.figures.run.grokking import grokking_caption, grokking_chart, grokking_figure
from marginlens.figures.run.heatmap import heatmap_caption, heatmap_figure
from marginlens.figures.run.logits import logits_caption, logits_figure
from marginlens.figures.run.loss import loss_caption, loss_figure
from marginlens.figures.run.lottery import lottery_caption, lottery_chart, lottery_figure
from marginlens.figures.run.margin import margin_caption, margin_figure
from marginlens.figures.run.matrices import (
    irreps_caption,
    irreps_figure,
    matrices_caption,
    matrices_figure,
    run_irreps,
)
from marginlens.figures.run.neurons import (
    band_limited,
    choose_neurons,
    neurons_caption,
    neurons_figure,
)
from marginlens.figures.run.phases import phases_caption, phases_figure
from marginlens.figures.run.power import power_caption, power_figure
from marginlens.figures.run.shares import shares_caption, shares_figure
from marginlens.figures.run.waveform import waveform_caption, waveform_figure
from marginlens.figures.run.wheel import wheel_caption, wheel_figure
from marginlens.figures.style import DARK, LIGHT, Palette, feature_color, template
from marginlens.figures.subject import Subject
from marginlens.figures.sweep.multiplicities import Multiplicities, multiplicities_figure
from marginlens.figures.sweep.selection_law import law_figure
from marginlens.figures.sweep.selection_settings import laws_by_setting_figure
from marginlens.figures.sweep.spectral_counts import SpectralCounts, spectral_counts_figure
from marginlens.figures.theory.atlas import atlas_figure
from marginlens.figures.theory.degree import degree_law_figure
from marginlens.figures.theory.interference import interference_figure
from marginlens.figures.theory.memorizing import memorizing_figure
from marginlens.figures.theory.penalty_path import penalty_path_figure
from marginlens.figures.theory.predicted_shares import predicted_shares_figure
from marginlens.figures.theory.widths import widths_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from marginlens.runs import Run
    from marginlens.theory import Prediction

__all__ = [
    "DARK",
    "FIGURES",
    "LIGHT",
    "FigureEntry",
    "Multiplicities",
    "Palette",
    "SpectralCounts",
    "algorithms_figure",
    "atlas_figure",
    "band_limited",
    "choose_neurons",
    "degree_law_figure",
    "excess_figure",
    "feature_color",
    "grokking_chart",
    "grokking_figure",
    "heatmap_figure",
    "interference_figure",
    "irreps_figure",
    "law_figure",
    "laws_by_setting_figure",
    "logits_figure",
    "loss_figure",
    "lottery_chart",
    "lottery_figure",
    "margin_figure",
    "matrices_figure",
    "memorizing_figure",
    "multiplicities_figure",
    "neurons_figure",
    "penalty_path_figure",
    "phases_figure",
    "plane_figure",
    "power_figure",
    "predicted_shares_figure",
    "shares_figure",
    "spectral_counts_figure",
    "template",
    "waveform_figure",
    "wheel_figure",
    "widths_figure",
]


@dataclass(frozen=True)
class FigureEntry:
    """Figure in the report, with its heading and caption.

    Attributes
    ----------
    heading
        Heading in a few words.
    draw
        Function from a run to the figure, or to ``None`` if the run has no such figure.
    caption
        Function from a run to the expected pattern, and the method.
    needs
        Property that a run needs for this figure.
    in_report
        Whether the report of a run includes it.
    draw_predicted
        Function from a prediction to the figure of what is predicted; ``None`` for figures that a
        prediction alone does not have.
    """

    heading: str
    draw: Callable[[Run], go.Figure | None]
    caption: Callable[[Run], tuple[str, str]]
    needs: str = "neurons that are measured"
    in_report: bool = True
    draw_predicted: Callable[[Prediction], go.Figure | None] | None = None

    def draw_of(self, subject: Run | Subject) -> go.Figure | None:
        """Draw the figure of a run, or of those parts of one that are given.

        Parameters
        ----------
        subject
            Run, or parts of one (:func:`marginlens.figures.subject.subject_of`).

        Raises
        ------
        MissingPartError
            If the figure needs a part that is not given.
        """
        prediction = subject.only_prediction if isinstance(subject, Subject) else None
        if prediction is not None and self.draw_predicted is not None:
            return self.draw_predicted(prediction)
        return self.draw(cast("Run", subject))


FIGURES: Mapping[str, FigureEntry] = MappingProxyType(
    {
        "neurons": FigureEntry("What single neurons learn", neurons_figure, neurons_caption),
        "margin": FigureEntry(
            "The margin on its way to the maximum", margin_figure, margin_caption
        ),
        "waveform": FigureEntry(
            "The predicted waveform beside trained neurons",
            waveform_figure,
            waveform_caption,
            "an activation without a closed form, such as relu, on addition modulo a prime",
        ),
        "heatmap": FigureEntry("Every neuron's spectrum", heatmap_figure, heatmap_caption),
        "power": FigureEntry("How concentrated each neuron is", power_figure, power_caption),
        "shares": FigureEntry(
            "Which features are used, and how much",
            shares_figure,
            shares_caption,
            "known shares, as of a group with x^2, or neurons that are measured",
            draw_predicted=predicted_shares_figure,
        ),
        "phases": FigureEntry(
            "Do the phases add up?",
            phases_figure,
            phases_caption,
            "a cyclic group, whose neurons have phases",
        ),
        "wheel": FigureEntry(
            "Phases on the circle",
            wheel_figure,
            wheel_caption,
            "a cyclic group, whose neurons have phases",
        ),
        "matrices": FigureEntry(
            "Neurons as matrices",
            matrices_figure,
            matrices_caption,
            "a group that is not abelian, with neurons in an irrep of degree 2 to 24",
        ),
        "irreps": FigureEntry(
            "Irreps as matrices",
            run_irreps,
            irreps_caption,
            "a group that is not abelian",
            in_report=False,
        ),
        "logits": FigureEntry(
            "Logits against characters",
            logits_figure,
            logits_caption,
            "a group's multiplication table",
        ),
        "grokking": FigureEntry(
            "From memorising to generalising",
            grokking_figure,
            grokking_caption,
            "rows that were held back, as by --train-fraction 0.4",
        ),
        "lottery": FigureEntry(
            "Which frequency each neuron was to win",
            lottery_figure,
            lottery_caption,
            "an MLP on two inputs of a cyclic group, with an activation that is not odd",
        ),
        "loss": FigureEntry("Loss and accuracy", loss_figure, loss_caption),
        "excess": FigureEntry(
            "The distance from the minimum",
            excess_figure,
            excess_caption,
            "cross-entropy on all rows at one penalty whose minimum is known",
            in_report=False,
        ),
    }
)
"""Figures of a run by name, in the order of a report."""
