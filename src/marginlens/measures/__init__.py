"""What a network learned, feature by feature and neuron by neuron."""

from marginlens.measures.algorithms import AlgorithmFit, compare_logits, logit_table
from marginlens.measures.grokking import (
    Grokking,
    Stages,
    find_stages,
    first_held,
    grokking,
    onset_of_fall,
)
from marginlens.measures.logit_spectrum import LogitSpectrum, logit_spectrum
from marginlens.measures.lottery import (
    RULES,
    Lottery,
    RuleScore,
    Tickets,
    departures,
    draw_tickets,
    score_tickets,
    ticket_time,
    why_no_lottery,
)
from marginlens.measures.lottery_alone import grow_alone
from marginlens.measures.measurement import Measurement, measure
from marginlens.measures.norm_share import norm_shares
from marginlens.measures.observables import Observables, key_set_name, observe
from marginlens.measures.selection_law import KeySet, SelectionLaw, selection_law
from marginlens.measures.waveform import WaveformFit, fit_waveform

__all__ = [
    "RULES",
    "AlgorithmFit",
    "Grokking",
    "KeySet",
    "LogitSpectrum",
    "Lottery",
    "Measurement",
    "Observables",
    "RuleScore",
    "SelectionLaw",
    "Stages",
    "Tickets",
    "WaveformFit",
    "compare_logits",
    "departures",
    "draw_tickets",
    "find_stages",
    "first_held",
    "fit_waveform",
    "grokking",
    "grow_alone",
    "key_set_name",
    "logit_spectrum",
    "logit_table",
    "measure",
    "norm_shares",
    "observe",
    "onset_of_fall",
    "score_tickets",
    "selection_law",
    "ticket_time",
    "why_no_lottery",
]
