"""From a task to what a network on it will learn, before any training (NumPy and SciPy only)."""

from marginlens.public_names import keep_public_names
from marginlens.theory.activation import Activation, parse_activation
from marginlens.theory.algorithms import ALGORITHMS, Algorithm, algorithm
from marginlens.theory.certificate import Certificate, certify, verify_file
from marginlens.theory.class_program import ClassProgram
from marginlens.theory.closed_forms import (
    closed_form_applies,
    closed_form_margin,
    closed_form_masses,
    cyclic_margin,
    equalizing_distribution,
    theorem9_applies,
    theorem9_margin,
)
from marginlens.theory.constructions import METHODS, group_weights
from marginlens.theory.degree_law import (
    DegreeLaw,
    degree_law,
    fourier_neuron_value,
    memorizing_neuron_value,
)
from marginlens.theory.finite_penalty import (
    PenalizedMinimum,
    collapse_penalty,
    minimize_penalized_loss,
)
from marginlens.theory.interference import Interference, averaged_cosine, interference
from marginlens.theory.linear_program import MarginSolution, solve_margin
from marginlens.theory.memorizing import (
    MemorizingComparison,
    compare_memorizing,
    memorizing_margin,
    memorizing_weights,
)
from marginlens.theory.parity import (
    parity_collapse_penalty,
    parity_margin,
    parity_minimum,
    parity_weights,
    parity_width,
)
from marginlens.theory.parity_certificate import ParityVerification, certify_parity
from marginlens.theory.penalty import Penalty
from marginlens.theory.penalty_path import PenaltyPath, penalty_path
from marginlens.theory.predict import default_activation, is_covered, predict
from marginlens.theory.prediction import AtPenalty, FeaturePrediction, Prediction
from marginlens.theory.shares import STATUS_THRESHOLD, share_status
from marginlens.theory.single_neuron import BestNeuron, best_neuron
from marginlens.theory.three_waves import growth_time
from marginlens.theory.verification import Verification, verify_bounds
from marginlens.theory.waveform import Harmonics, harmonics, relu_limit, relu_plateau
from marginlens.theory.widths import sign_neurons, simplex_neurons

keep_public_names(__name__)
__all__ = [
    "ALGORITHMS",
    "METHODS",
    "STATUS_THRESHOLD",
    "Activation",
    "Algorithm",
    "AtPenalty",
    "BestNeuron",
    "Certificate",
    "ClassProgram",
    "DegreeLaw",
    "FeaturePrediction",
    "Harmonics",
    "Interference",
    "MarginSolution",
    "MemorizingComparison",
    "ParityVerification",
    "PenalizedMinimum",
    "Penalty",
    "PenaltyPath",
    "Prediction",
    "Verification",
    "algorithm",
    "averaged_cosine",
    "best_neuron",
    "certify",
    "certify_parity",
    "closed_form_applies",
    "closed_form_margin",
    "closed_form_masses",
    "collapse_penalty",
    "compare_memorizing",
    "cyclic_margin",
    "default_activation",
    "degree_law",
    "equalizing_distribution",
    "fourier_neuron_value",
    "group_weights",
    "growth_time",
    "harmonics",
    "interference",
    "is_covered",
    "memorizing_margin",
    "memorizing_neuron_value",
    "memorizing_weights",
    "minimize_penalized_loss",
    "parity_collapse_penalty",
    "parity_margin",
    "parity_minimum",
    "parity_weights",
    "parity_width",
    "parse_activation",
    "penalty_path",
    "predict",
    "relu_limit",
    "relu_plateau",
    "share_status",
    "sign_neurons",
    "simplex_neurons",
    "solve_margin",
    "theorem9_applies",
    "theorem9_margin",
    "verify_bounds",
    "verify_file",
]
