"""Predictions for a task before any training: margins, shares, widths, losses.

NumPy and SciPy only. Docstrings refer to these sections; their proofs are in ``docs/theory.md`` of
the
source distribution. n is the order of the group, c_rho the square root of the real degree of an
irrep
rho, A the defects 1 - Re chi_rho(C)/d_rho, lambda the penalty strength.

============================  ====================================================================
section                       result
============================  ====================================================================
The margin of a group         gamma* = 2 t* / (3 sqrt(3) n^1.5), t* the value of the game A/c
A closed form                 gamma* = 2 / (3 sqrt(3 n) sum d^2 c) where no irrep is forbidden
Explicit networks             networks that attain gamma*: d^3+d neurons for a real irrep, and so on
More inputs                   k factors: gamma* = k! ((k+1) n)^(-(k+1)/2) min max (tau A)/c^(k-1)
Certificates without irreps   both bounds of gamma* from the Cayley table only
Memorizing                    gamma of one neuron a pair, 2/(3 sqrt(3) n^2), times (1 - 1/n)^-1.5
At a finite penalty           the exact minimum of cross-entropy + lambda sum ||w||^3
How far a network is from the minimum
                              bounds of every share, norm and margin at a given excess of the loss
Training the margin itself    both bounds of gamma* from the softmax over rows and wrong answers
Sparse parity                 gamma* = k! sqrt(2 (k+1)^-(k+1))
Other activations             the best single neuron on C_p, found by search
============================  ====================================================================

References
----------
Morwani, Edelman, Oncescu, Zhao, Kakade 2024, Feature emergence via margin maximization, ICLR,
https://arxiv.org/abs/2311.07568: Theorems 7, 8 and 9. Li, Liang, Shi, Song, Zhou 2024,
https://arxiv.org/abs/2402.09469: the maximum margin of k inputs on C_p.
"""

from marginlens.public_names import keep_public_names
from marginlens.theory.activation import Activation, OwnActivation, parse_activation
from marginlens.theory.adversary import (
    AdversaryBound,
    GroupAdversaryBound,
    ParityAdversaryBound,
    adversary_bound_for,
)
from marginlens.theory.group.certificate import (
    Certificate,
    certify,
    is_certificate_file,
    verify_file,
)
from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.group.closed_forms import (
    closed_form_applies,
    closed_form_margin,
    closed_form_masses,
    cyclic_margin,
    equalizing_distribution,
    theorem9_applies,
    theorem9_margin,
)
from marginlens.theory.group.constructions import METHODS, group_weights
from marginlens.theory.group.finite_penalty import (
    PenalizedMinimum,
    collapse_penalty,
    minimize_penalized_loss,
)
from marginlens.theory.group.linear_program import MarginSolution, solve_margin
from marginlens.theory.group.mass_bounds import GroupMassBounds, MassBounds, ParityMassBounds
from marginlens.theory.group.memorizing import (
    MemorizingComparison,
    compare_memorizing,
    memorizing_margin,
    memorizing_weights,
)
from marginlens.theory.group.three_waves import growth_time
from marginlens.theory.group.verification import Verification, verify_bounds
from marginlens.theory.group.widths import sign_neurons, simplex_neurons
from marginlens.theory.neuron.best_neuron import BestNeuron, best_neuron
from marginlens.theory.neuron.degree_law import (
    DegreeLaw,
    degree_law,
    fourier_neuron_value,
    memorizing_neuron_value,
)
from marginlens.theory.neuron.waveform import Harmonics, harmonics, relu_limit, relu_plateau
from marginlens.theory.parity.certificate import ParityVerification, certify_parity
from marginlens.theory.parity.program import (
    parity_collapse_penalty,
    parity_margin,
    parity_minimum,
    parity_weights,
    parity_width,
)
from marginlens.theory.penalty import Penalty
from marginlens.theory.penalty_path import PenaltyPath, penalty_path
from marginlens.theory.predict import Predictions, default_activation, is_covered, predict
from marginlens.theory.prediction import AtPenalty, FeaturePrediction, Prediction
from marginlens.theory.shares import STATUS_THRESHOLD, share_status
from marginlens.theory.textbook.algorithms import ALGORITHMS, Algorithm, algorithm, same_logits
from marginlens.theory.textbook.interference import Interference, averaged_cosine, interference

keep_public_names(__name__)
__all__ = [
    "ALGORITHMS",
    "METHODS",
    "STATUS_THRESHOLD",
    "Activation",
    "AdversaryBound",
    "Algorithm",
    "AtPenalty",
    "BestNeuron",
    "Certificate",
    "ClassProgram",
    "DegreeLaw",
    "FeaturePrediction",
    "GroupAdversaryBound",
    "GroupMassBounds",
    "Harmonics",
    "Interference",
    "MarginSolution",
    "MassBounds",
    "MemorizingComparison",
    "OwnActivation",
    "ParityAdversaryBound",
    "ParityMassBounds",
    "ParityVerification",
    "PenalizedMinimum",
    "Penalty",
    "PenaltyPath",
    "Prediction",
    "Predictions",
    "Verification",
    "adversary_bound_for",
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
    "is_certificate_file",
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
    "same_logits",
    "share_status",
    "sign_neurons",
    "simplex_neurons",
    "solve_margin",
    "theorem9_applies",
    "theorem9_margin",
    "verify_bounds",
    "verify_file",
]
