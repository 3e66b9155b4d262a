"""Measurements of trained networks: margins, neurons, logits, dynamics and ensembles."""

from marginlens.measures.dynamics.grokking import (
    Grokking,
    Stages,
    find_stages,
    first_held,
    grokking,
    onset_of_fall,
)
from marginlens.measures.dynamics.lottery import (
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
from marginlens.measures.dynamics.lottery_alone import grow_alone
from marginlens.measures.dynamics.parity_progress import (
    ParityProgress,
    fourier_gaps,
    neuron_gradients,
    parity_progress,
    threshold_coefficient,
    time_to_learn,
)
from marginlens.measures.dynamics.progress import (
    Progress,
    embedding_gini,
    gini,
    progress,
    progress_path,
)
from marginlens.measures.ensembles.observables import Observables, key_set_name, observe
from marginlens.measures.ensembles.selection_law import KeySet, SelectionLaw, selection_law
from marginlens.measures.logits.algorithms import AlgorithmFit, compare_logits, logit_table
from marginlens.measures.logits.clock_pizza import (
    Circle,
    circles,
    circularity,
    distance_irrelevance,
    gradient_symmetricity,
)
from marginlens.measures.logits.displacement import Displacement, displacement
from marginlens.measures.logits.learned_algorithm import LearnedAlgorithm
from marginlens.measures.logits.mechanism import (
    MEASURE_WORDS,
    ClockPizza,
    Mechanism,
    examine,
    examine_network,
)
from marginlens.measures.logits.operation_measures import (
    OperationMeasures,
    examine_operation,
    examine_table,
)
from marginlens.measures.logits.spectrum import LogitSpectrum, logit_spectrum
from marginlens.measures.measurement import Measurement, measure
from marginlens.measures.neurons.cosets import CosetConcentration, coset_concentration
from marginlens.measures.neurons.hidden_evidence import HiddenEvidence, hidden_evidence
from marginlens.measures.neurons.irrep_matrices import coefficient_matrix, rank_one_share
from marginlens.measures.neurons.norm_share import norm_shares
from marginlens.measures.neurons.representations import (
    HiddenShares,
    LogitAblations,
    hidden_shares,
    logit_ablations,
    weight_shares,
)
from marginlens.measures.neurons.waveform import WaveformFit, fit_waveform
from marginlens.public_names import keep_public_names

keep_public_names(__name__)
__all__ = [
    "MEASURE_WORDS",
    "RULES",
    "AlgorithmFit",
    "Circle",
    "ClockPizza",
    "CosetConcentration",
    "Displacement",
    "Grokking",
    "HiddenEvidence",
    "HiddenShares",
    "KeySet",
    "LearnedAlgorithm",
    "LogitAblations",
    "LogitSpectrum",
    "Lottery",
    "Measurement",
    "Mechanism",
    "Observables",
    "OperationMeasures",
    "ParityProgress",
    "Progress",
    "RuleScore",
    "SelectionLaw",
    "Stages",
    "Tickets",
    "WaveformFit",
    "circles",
    "circularity",
    "coefficient_matrix",
    "compare_logits",
    "coset_concentration",
    "departures",
    "displacement",
    "distance_irrelevance",
    "draw_tickets",
    "embedding_gini",
    "examine",
    "examine_network",
    "examine_operation",
    "examine_table",
    "find_stages",
    "first_held",
    "fit_waveform",
    "fourier_gaps",
    "gini",
    "gradient_symmetricity",
    "grokking",
    "grow_alone",
    "hidden_evidence",
    "hidden_shares",
    "key_set_name",
    "logit_ablations",
    "logit_spectrum",
    "logit_table",
    "measure",
    "neuron_gradients",
    "norm_shares",
    "observe",
    "onset_of_fall",
    "parity_progress",
    "progress",
    "progress_path",
    "rank_one_share",
    "score_tickets",
    "selection_law",
    "threshold_coefficient",
    "ticket_time",
    "time_to_learn",
    "weight_shares",
    "why_no_lottery",
]
