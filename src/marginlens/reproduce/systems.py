"""Registry of the studies by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import plotly.graph_objects as go

from marginlens.reproduce import mechanisms, morwani
from marginlens.reproduce.item_page import write_item_page
from marginlens.reproduce.studies import Study
from marginlens.runs import Run
from marginlens.verdict import Verdict

__all__ = ["STUDIES"]


def _article(
    runs: Mapping[str, Run], verdict: Verdict, figures: Mapping[str, go.Figure], folder: Path
) -> Path:
    """Write the article's items, with the numbers of these runs."""
    return write_item_page(
        folder,
        "A story of sinusoids and inductive biases, figure by figure",
        "After Edelman et al. 2023, A story of sinusoids and inductive biases, and Morwani et al. 2024, "
        "Feature emergence via margin maximization. Networks: one hidden layer "
        "without biases, trained on "
        "all rows with cross-entropy and the penalty λ Σ‖ω‖^ν by neuron-wise "
        "Adam, the default here; the "
        "article trains by gradient descent. Made by: marginlens reproduce morwani",
        morwani.items(runs),
        morwani.questions(verdict, runs),
        figures,
        morwani.neuron_table(runs["mod71"]),
        {label: morwani.row(run) for label, run in runs.items()},
    )


STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        one.name: one
        for one in (
            Study(
                "morwani",
                "Why do networks learn sinusoids and representations?",
                "Morwani et al. 2024, *Feature emergence via margin maximization*",
                morwani.claims,
                morwani.row,
                morwani.figures,
                _article,
            ),
            Study(
                "power",
                "Do networks generalise long after they have memorised?",
                "Power et al. 2022, *Grokking*",
                mechanisms.power,
                mechanisms.grokked_row,
                mechanisms.curves,
            ),
            Study(
                "nanda",
                "Does a transformer grok addition modulo 113 by a few frequencies?",
                "Nanda et al. 2023, *Progress measures for grokking*",
                mechanisms.nanda,
                mechanisms.nanda_row,
                mechanisms.curves,
            ),
            Study(
                "pizza",
                "Clock or pizza, as attention goes from constant to softmax?",
                "Zhong et al. 2023, *The clock and the pizza*",
                mechanisms.pizza,
                mechanisms.pizza_row,
                mechanisms.curves,
            ),
            Study(
                "chughtai",
                "Which irreps compose in S5?",
                "Chughtai et al. 2023, *A toy model of universality*",
                mechanisms.chughtai,
                mechanisms.chughtai_row,
                mechanisms.curves,
            ),
            Study(
                "gromov",
                "Does x^2 grok with squared error, even from corrupted labels?",
                "Gromov 2023, *Grokking modular arithmetic*; Doshi et al. 2023",
                mechanisms.gromov_claims,
                mechanisms.gromov_row,
                mechanisms.curves,
            ),
            Study(
                "barak",
                "Is there hidden progress before SGD learns a sparse parity?",
                "Barak et al. 2022, *Hidden progress in deep learning*",
                mechanisms.barak,
                mechanisms.barak_row,
                mechanisms.nothing,
            ),
            Study(
                "lottery",
                "Do the initial weights tell which frequency a neuron ends with?",
                "He et al. 2026, *On the mechanism and dynamics of modular addition*",
                mechanisms.lottery,
                mechanisms.lottery_row,
                mechanisms.lottery_figures,
            ),
        )
    }
)
