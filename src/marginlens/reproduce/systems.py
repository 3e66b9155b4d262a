"""The systems of other papers by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from marginlens.reproduce import mechanisms
from marginlens.reproduce.studies import Study

__all__ = ["STUDIES"]

STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        one.name: one
        for one in (
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
