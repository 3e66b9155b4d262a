"""A recipe: everything that decides a training run."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from marginlens.errors import MarginLensError
from marginlens.networks import KINDS, TransformerSettings
from marginlens.tasks import Task, numbers_of, row_numbers, text_of_numbers
from marginlens.theory import (
    OwnActivation,
    Penalty,
    Prediction,
    Predictions,
    default_activation,
    is_covered,
    parity_width,
    parse_activation,
)

__all__ = ["Recipe", "as_now_named", "checked_recipe", "in_one_line", "recipe_for"]


_OF_A_KIND = {
    "embedding": "factored",
    **dict.fromkeys(
        ("heads", "hidden", "sequence", "attention", "layers", "layer_norm"), "transformer"
    ),
}


class Recipe(BaseModel):
    """Everything that decides a training run.

    Attributes
    ----------
    task, activation
        As for ``task(...)`` and ``parse_activation(...)``.
    network
        ``"mlp"``; ``"factored"``, the MLP whose embeddings are products (Chughtai et al. 2023);
        ``"transformer"``, layers of attention and an MLP (Nanda et al. 2023, Zhong et al. 2023).
    width
        Number of neurons of an MLP; length of a transformer's residual stream.
    embedding
        Coordinates of a factored embedding.
    heads, hidden, sequence, attention, layers, layer_norm
        Of a transformer, as in :class:`marginlens.networks.TransformerSettings`.
    biases
        Whether the hidden neurons of an MLP (None: they have not) or a transformer's MLP (None: it
        has) have biases.
    loss_function
        What is minimised besides the penalty, averaged over rows: ``"cross_entropy"``; ``"squared"``,
        the mean over classes of (logit - one-hot)^2 (Gromov 2023); ``"hinge"`` or, of two classes,
        ``"logistic"`` (Barak et al. 2022), as in ``marginlens.networks.loss``; or ``"margin"``: the
        smoothed minimum of the margins over all rows and wrong classes is maximised on the sphere
        sum ||omega_i||^nu = 1, without a penalty (``marginlens.training.margin_steps.MarginSteps``).
    sharpness_start, sharpness_end
        Of the loss ``"margin"``: sharpness beta of the smoothed minimum at the first and the last step,
        in units of 1 / margin: constant for the first 40 % of the steps, geometric in the others.
    penalty, strength
        ``"homogeneous"`` (strength * sum ||omega_i||^nu, for the MLP) or ``"l2"`` (strength *
        ||theta||^2).
    anneal_to
        Regularization path: the strength stays for the first quarter of the steps, falls geometrically
        to this in the next two, and stays there; None: it is constant.
    tied
        Whether all slots share one embedding.
    optimizer, learning_rate, momentum, betas, weight_decay
        SGD, Adam, AdamW, Muon, or Adam with one second moment a neuron and steps relative to the
        neuron's norm (``"neuronwise-adam"``, :func:`marginlens.training.optimizers.neuronwise_adam_`).
        ``momentum`` is that of SGD (0 by default) and Muon (.95); ``betas`` those of the Adams, .9
        and .999 by default, but .97 and .95 neuron-wise, where the rate is .03 by default;
        ``weight_decay`` the decoupled one of AdamW and Muon, apart from the penalty.
    exchange_every
        Steps after which the least useful neurons of an MLP are exchanged for the best ones against
        its errors (:class:`marginlens.training.neuron_exchange.NeuronExchange`), again and again
        in the first 60 % of the steps, or 35 % where the margin is trained; 0: never.
    schedule, warmup, steps
        ``"decay"`` keeps the rate for the first half and lets it fall to 0 along a cosine in the
        second; ``"cosine"`` falls from the first step on; ``"constant"`` keeps it. Before that it
        rises linearly over ``warmup`` steps.
    step_size
        ``"plain"``; ``"normalized"`` divides each member's gradient by its norm; ``"loss"`` divides
        it by the member's mean loss, so that steps do not shrink with it (Lyu & Li 2020).
    batch
        Rows of a mini-batch, drawn without replacement epoch by epoch; None: all rows.
    online
        Whether each step's batch is drawn anew instead, from all inputs alike: a function of
        ``split_seed`` and the step, the same for all members. The inputs need not be listed.
    train_fraction, split_seed
        Share of the table's rows to train on, and what decides which; the others are the test rows.
    train_length
        Of an addition: train on numbers of at most so many digits; longer ones are the test rows.
    train_rows, test_rows
        Numbers of the table's rows to train and to test on, in place of a share of them; where only one
        of them is given, the other is all other rows.
    corrupt
        Share of the training rows whose label is replaced by another one, all equally likely.
    stop_share
        A member stops when it has this share of the maximum margin.
    until_optimal
        A member stops when its loss exceeds the known minimum (the prediction's, at the strength that
        training ends with) by less than this, relatively. Along a regularization path not before
        its last quarter.
    tolerance
        A member stops when its loss changes by less than this, relatively, over 100 steps; 0: never.
        Along a regularization path neither stops a member before its last quarter.
    patience
        If above 0, a member stops instead after this many steps in a row, in each of which both its
        loss and its weights (||delta theta|| / ||theta||) changed by less than ``tolerance``.
    init_scale
        Standard deviation of the initial weights; None: size^(-1/2).
    record_every, snapshots
        Steps between two rows of the history; how often member 0's weights are kept.
    seed, members
        Member i starts from seed + i.
    dtype, tf32, device
        Precision of all numbers; ``tf32`` allows a GPU to round the factors of float32 products.
    compile
        ``"auto"`` compiles steps (of tiny ensembles) or passes between matrix products when the
        expected run is long enough to pay for it; ``"always"`` and ``"never"``.
    memory
        Megabytes of hidden activations held at a time; None: what stays in the cache.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    activation: str | InstanceOf[OwnActivation] = "x^2"
    network: str = "mlp"
    width: int = Field(500, ge=1, le=1_000_000)
    embedding: int = Field(256, ge=1, le=1_000_000)
    heads: int = Field(4, ge=1)
    hidden: int = Field(512, ge=1, le=1_000_000)
    sequence: Literal["ab=", "ab"] = "ab="
    attention: float = Field(1.0, ge=0, le=1)
    biases: bool | None = None
    layers: int = Field(1, ge=1, le=100)
    layer_norm: Literal["none", "pre", "post"] = "none"
    loss_function: Literal["cross_entropy", "squared", "hinge", "logistic", "margin"] = (
        "cross_entropy"
    )
    sharpness_start: float = Field(10.0, gt=0, allow_inf_nan=False)
    sharpness_end: float = Field(2000.0, gt=0, allow_inf_nan=False)
    penalty: Literal["homogeneous", "l2"] = "homogeneous"
    strength: float = Field(1e-4, ge=0, allow_inf_nan=False)
    anneal_to: float | None = Field(None, ge=0, allow_inf_nan=False)
    tied: bool = False
    optimizer: Literal["adam", "adamw", "sgd", "muon", "neuronwise-adam"] = "adam"
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    momentum: float | None = Field(None, ge=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    exchange_every: int = Field(0, ge=0)
    schedule: Literal["decay", "cosine", "constant"] = "decay"
    warmup: int = Field(0, ge=0)
    step_size: Literal["plain", "normalized", "loss"] = "plain"
    batch: int | None = Field(None, ge=1)
    online: bool = False
    train_fraction: float = Field(1.0, gt=0, le=1)
    train_length: int | None = Field(None, ge=1)
    train_rows: tuple[int, ...] | None = Field(None, min_length=1, repr=False)
    test_rows: tuple[int, ...] | None = Field(None, min_length=1, repr=False)
    split_seed: int = Field(0, ge=0, lt=2**62)
    corrupt: float = Field(0.0, ge=0, lt=1)
    steps: int = Field(1500, ge=0, le=100_000_000)
    stop_share: float | None = Field(None, gt=0, le=1)
    until_optimal: float | None = Field(None, gt=0, allow_inf_nan=False)
    tolerance: float = Field(0.0, ge=0)
    patience: int = Field(0, ge=0, le=1_000_000)
    seed: int = Field(0, ge=0, lt=2**62)
    members: int = Field(1, ge=1, le=100_000)
    init_scale: float | None = Field(None, gt=0, allow_inf_nan=False)
    dtype: Literal["float32", "float64"] = "float32"
    tf32: bool = False
    compile: Literal["auto", "always", "never"] = "auto"
    memory: float | None = Field(None, ge=1e-3, allow_inf_nan=False)
    device: str = "cpu"
    record_every: int = Field(10, ge=1)
    snapshots: int = Field(30, ge=0, le=1000)

    @field_validator("network")
    @classmethod
    def _known_network(cls, value: str) -> str:
        if value not in KINDS:
            raise ValueError(f"expected {', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]}")
        return value

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, value: Any) -> Any:
        known = parse_activation(value)
        return known if known.is_own else known.name

    @field_validator("train_rows", "test_rows", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return numbers_of(value) if isinstance(value, str) else value

    @field_serializer("activation", when_used="json")
    def _named_activation(self, value: Any) -> str:
        return str(value)

    @model_validator(mode="before")
    @classmethod
    def _suits_the_optimizer(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("optimizer") == "neuronwise-adam":
            return {"betas": (0.97, 0.95), "learning_rate": 0.03} | fields
        return fields

    @model_validator(mode="before")
    @classmethod
    def _suits_the_loss(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("loss_function") == "margin":
            return {"strength": 0.0} | fields
        return fields

    @model_validator(mode="after")
    def _fits_the_network(self) -> "Recipe":
        if isinstance(self.activation, OwnActivation):
            if self.network == "transformer":
                raise MarginLensError("an own activation is for the mlp: take a named one, as relu")
            if self.penalty == "homogeneous" and not self.activation.has_degree:
                raise MarginLensError(
                    "the homogeneous penalty needs the degree of the activation: give "
                    'OwnActivation(function, degree=2), or penalty=Penalty("l2", 1e-4)'
                )
        for name, kind in _OF_A_KIND.items():
            if (
                self.network != kind
                and getattr(self, name) != type(self).model_fields[name].default
            ):
                raise ValueError(f"{name} belongs to the {kind}: add --network {kind}")
        if self.network == "mlp":
            self._check_mlp_biases()
            return self
        if self.optimizer == "neuronwise-adam":
            raise ValueError(
                "neuronwise-adam steps by neurons, each with weights of its own, which a "
                f"{self.network} network has not: choose --optimizer adamw"
            )
        if self.network == "factored" and self.biases:
            raise ValueError("a factored network has no biases: leave biases out")
        if self.penalty == "homogeneous" and self.strength:
            raise ValueError(
                f"the homogeneous penalty is one of neurons, which a {self.network} network mixes: "
                "choose --penalty l2, or --strength 0 and --optimizer adamw --weight-decay 1"
            )
        if self.tied or self.init_scale is not None:
            what = "tied" if self.tied else "init_scale"
            raise ValueError(
                f"{what} belongs to the mlp; a {self.network} network has its own start"
            )
        if self.network == "transformer":
            self.transformer_settings()
            if self.stop_share is not None:
                raise ValueError(
                    "no maximum margin of a transformer is known; leave --stop-share out"
                )
            if self.optimizer == "muon" and self.biases is not False:
                raise ValueError(
                    "muon turns matrices, and a transformer's biases are none: add --no-biases, or "
                    "choose --optimizer adamw"
                )
            if self.optimizer == "muon" and self.layer_norm != "none":
                raise ValueError(
                    "muon turns matrices, and the gains of layer norm are none: leave --layer-norm "
                    "out, or choose --optimizer adamw"
                )
        return self

    def _check_mlp_biases(self) -> None:
        if not self.biases:
            return
        if self.penalty == "homogeneous" and self.strength:
            raise ValueError(
                "the homogeneous penalty is the theory's, whose neurons have no biases: choose "
                "--penalty l2, or --strength 0"
            )
        if self.optimizer == "muon":
            raise ValueError(
                "muon turns matrices, and biases are none: add --no-biases, or choose --optimizer adamw"
            )

    @model_validator(mode="after")
    def _belongs_together(self) -> "Recipe":
        if self.weight_decay and self.optimizer not in ("adamw", "muon"):
            raise ValueError(
                f"weight_decay belongs to adamw and muon; with {self.optimizer} add --penalty l2 "
                "--strength, or choose --optimizer adamw"
            )
        if self.momentum is not None and self.optimizer not in ("sgd", "muon"):
            raise ValueError(f"momentum belongs to sgd and muon; {self.optimizer} has betas")
        if self.betas != (0.9, 0.999) and self.optimizer in ("sgd", "muon"):
            raise ValueError(
                f"betas belong to adam, adamw and neuronwise-adam; {self.optimizer} has momentum"
            )
        if self.stop_share is not None and not self.is_population:
            raise ValueError(
                "stop_share is one of the whole table's maximum margin, which says nothing about a part "
                "of it or wrong labels: leave it out; tolerance stops what has converged"
            )
        if self.chooses_rows and (self.train_length is not None or self.train_fraction < 1):
            raise MarginLensError(
                "rows, train_fraction and train_length all say which rows are trained on: keep one"
            )
        if self.train_length is not None and self.train_fraction < 1:
            raise ValueError(
                "train_length and train_fraction both say which rows are trained on: leave one out"
            )
        if self.stop_share is not None and self.loss_function not in (
            "cross_entropy",
            "logistic",
            "margin",
        ):
            raise ValueError(
                f"stop_share is one of the maximum margin, which the {self.loss_function} loss does "
                "not seek: leave it out"
            )
        self._check_margin()
        if self.online:
            self._check_online()
        if self.exchange_every:
            self._check_exchange()
        if self.until_optimal is not None:
            self._check_until_optimal()
        if self.patience:
            self._check_patience()
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas are two numbers from 0 to below 1, such as 0.9 and 0.98")
        if self.anneal_to is not None and not 0 < self.anneal_to <= self.strength:
            raise ValueError(
                f"anneal_to is a strength above 0 and at most {self.strength:g}, where it starts"
            )
        return self

    def _check_margin(self) -> None:
        """Refuse what does not belong to the margin objective, or to any other."""
        if self.loss_function != "margin":
            for name in ("sharpness_start", "sharpness_end"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} belongs to the margin objective: add --loss margin")
            return
        if self.network != "mlp" or self.biases:
            what = "an MLP with biases" if self.network == "mlp" else f"a {self.network} network"
            raise ValueError(
                "the margin objective is one of neurons whose output is homogeneous in their weights, "
                f"got {what}: take --network mlp without biases"
            )
        if self.strength or self.anneal_to is not None or self.penalty != "homogeneous":
            raise ValueError(
                "the margin objective holds the norm at 1 and has no penalty: leave --strength, "
                "--penalty and --anneal-to out"
            )
        if self.weight_decay:
            raise ValueError(
                "the margin objective holds the norm at 1, which weight decay would change: leave "
                "--weight-decay out"
            )
        if self.batch is not None:
            raise ValueError(
                "the margin objective is the least margin of all rows: leave --batch and --online out"
            )
        if self.step_size != "plain":
            raise ValueError(
                f"the margin objective takes plain steps, got {self.step_size}: leave --step-size out"
            )
        if self.sharpness_end < self.sharpness_start:
            raise ValueError(
                f"sharpness_end must be at least sharpness_start, {self.sharpness_start:g}, for "
                "example 2000"
            )

    def _check_online(self) -> None:
        if self.batch is None:
            raise ValueError("online draws a batch at each step: add --batch 32")
        if not self.is_population:
            raise ValueError(
                "online draws from all inputs, with their right answers: leave train_fraction and "
                "corrupt out"
            )

    def _check_exchange(self) -> None:
        if self.loss_function == "margin":
            return  # which needs an MLP without biases itself
        homogeneous = self.penalty == "homogeneous" and self.final_strength > 0
        if self.network != "mlp" or self.biases or not homogeneous:
            raise ValueError(
                "exchange_every weighs neurons by the homogeneous penalty, which belongs to an MLP "
                "without biases: leave it out, or choose --penalty homogeneous --strength 1e-4"
            )
        if self.loss_function != "cross_entropy" or self.online:
            what = "draws its rows" if self.online else f"has the {self.loss_function} loss"
            raise ValueError(
                f"exchange_every needs the cross-entropy of fixed rows, and this recipe {what}: "
                "leave it out"
            )

    def _check_until_optimal(self) -> None:
        plain = self.network == "mlp" and not (self.biases or self.tied or self.weight_decay)
        homogeneous = self.penalty == "homogeneous" and self.final_strength > 0
        entropy = self.loss_function in ("cross_entropy", "logistic")
        if not (plain and homogeneous and entropy and self.is_population and not self.online):
            raise MarginLensError(
                "until_optimal needs the known minimum, which is that of an MLP's cross-entropy on the "
                "whole table with the homogeneous penalty: leave it out; for example --tolerance 1e-7 "
                "stops what has converged"
            )

    def _check_patience(self) -> None:
        if not self.tolerance:
            raise ValueError("patience counts steps within a tolerance: add --tolerance 1e-7")
        if self.batch is not None:
            raise ValueError("patience needs the loss of all rows; leave batch out")
        least = {"float32": 2.0**-23, "float64": 2.0**-52}[self.dtype]
        if self.tolerance < least:
            words = ": choose --dtype float64" if self.dtype == "float32" else ""
            raise ValueError(
                f"{self.dtype} does not tell changes below {least:.1e} apart, and tolerance is "
                f"{self.tolerance:g}{words or ', take a larger one, such as 1e-12'}"
            )

    @property
    def fits_kernel(self) -> bool:
        """Whether the kernel for ensembles of tiny networks takes such steps (``KernelSteps``)."""
        return (
            self.network == "mlp"
            and isinstance(self.activation, str)
            and not self.tied
            and not self.biases
            and self.loss_function == "cross_entropy"
            and self.optimizer in ("adam", "neuronwise-adam", "sgd")
            and not self.exchange_every
            and not self.momentum
            and self.batch is None
            and self.is_population
            and self.step_size == "plain"
            and self.device == "cpu"
        )

    def transformer_settings(self) -> TransformerSettings:
        """Sizes and variants of a transformer."""
        return TransformerSettings(
            width=self.width,
            heads=self.heads,
            hidden=self.hidden,
            activation=str(self.activation),
            sequence=self.sequence,
            attention=self.attention,
            biases=self.biases is not False,
            layers=self.layers,
            layer_norm=self.layer_norm,
        )

    @property
    def final_strength(self) -> float:
        """Strength of the penalty at the end of training."""
        return self.strength if self.anneal_to is None else self.anneal_to

    @property
    def is_population(self) -> bool:
        """Whether all rows are trained on, each with its right answer."""
        return not self.holds_out and not self.corrupt

    @property
    def holds_out(self) -> bool:
        """Whether rows are held back from training, to test on."""
        return self.train_fraction < 1 or self.train_length is not None or self.chooses_rows

    @property
    def chooses_rows(self) -> bool:
        """Whether the rows to train on, or to test on, are given by their numbers."""
        return self.train_rows is not None or self.test_rows is not None

    def is_sampled(self, task: Task) -> bool:
        """Whether a sample of inputs stands for the whole table, which is too large to list."""
        return self.online and not task.is_listed

    @property
    def neurons(self) -> int:
        """Neurons of the hidden layer."""
        return self.hidden if self.network == "transformer" else self.width

    def rows(self, task: Task) -> float:
        """Rows of a step, about."""
        if self.batch:
            return float(self.batch)
        if self.train_rows is not None:
            return float(len(self.train_rows))
        if self.train_length is not None and task.lengths is not None:
            return float((task.lengths <= self.train_length).sum())
        return len(task.answers) * self.train_fraction

    def to_toml(self) -> str:
        """The recipe as TOML text."""
        if isinstance(self.activation, OwnActivation):
            raise MarginLensError(
                "a file cannot hold an own activation: train it without a folder, as "
                "ml.train(task, activation=function)"
            )
        values = self.model_dump(exclude_none=True)
        for name in ("train_rows", "test_rows"):
            if name in values:
                values[name] = text_of_numbers(values[name])
        return tomli_w.dumps(values)

    @classmethod
    def from_toml(cls, text: str) -> "Recipe":
        """The recipe that :meth:`to_toml` wrote, also before networks had other losses and biases.

        Raises
        ------
        ValueError
            In one line, if it is no TOML or no recipe.
        """
        return checked_recipe(as_now_named(tomllib.loads(text)))

    def write(self, path: Path) -> None:
        """Write the recipe as TOML."""
        path.write_text(self.to_toml())


_LEARNED: dict[str, Any] = {
    "activation": "relu",
    "width": 128,
    "penalty": "l2",
    "strength": 0.0,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "betas": (0.9, 0.98),
    "weight_decay": 1.0,
    "schedule": "constant",
    "warmup": 10,
    "steps": 10_000,
}
_MARGIN: dict[str, Any] = {
    "loss_function": "margin",
    "strength": 0.0,
    "optimizer": "neuronwise-adam",
    "learning_rate": 0.06,
    "betas": (0.95, 0.9),
    "exchange_every": 25,
    "schedule": "cosine",
    "steps": 1000,
}
_PLAIN: dict[str, Any] = {"weight_decay": 0.0, "betas": (0.9, 0.999)}


_WEAKEST = 500
"""Times below the collapse strength from which steps of a fixed share of the norm run away."""

_SUITED = {"width", "strength", "learning_rate", "steps"}
"""Fields that suit a task, on groups."""


def recipe_for(task: Task, *, predictions: Predictions | None = None, **chosen: Any) -> Recipe:
    """Recipe for a task: what is not chosen is filled in by what suits the task.

    Width: 2.3 times the sufficient width on cyclic groups and 3.2 times on others, rounded up to
    hundreds; 5 times, and at least 40, for parity. Strength: the largest power of ten that is at
    most a quarter of the strength at which the network collapses on cyclic groups, a twentieth
    elsewhere, where the margin at a finite strength stays below the limit; 1e-3 for parity, from
    small weights (.1): from larger ones many neurons never leave the irrelevant coordinates.

    A single network that is to reach the known minimum (cross-entropy with the homogeneous penalty on
    the whole table, no optimizer chosen, at no less than 1/500 of the strength of collapse) is trained
    by neuron-wise Adam at rate .1 for 1,000 steps on cyclic groups and parity and, as features differ
    and take longer to settle, for 1,500 on others (at .05 for 2,500 from order 100 on), and neurons are
    exchanged every 50 steps. Ensembles, sweeps and other settings have Adam at rate .03 (.01 on cyclic
    groups of order 50 or more, and for parity) for 1,500 steps on cyclic groups, 6,000 on others (2,500
    from order 100 on) and 3,000 for parity.
    Where no theorem applies: the recipe's own
    defaults, but for the strength where the margin of a single neuron is known. Squared and hinge
    losses have no penalty unless one is chosen, and an MLP with biases has the L2 penalty. The margin
    objective has none: it is trained by the neuron-wise optimizer for 1,000 steps, at rate .06 that
    falls along a cosine, with betas .95 and .9 and exchanges every 25 steps; from order 50 on, except
    on cyclic groups, for 2,000 steps with betas .97 and .95.
    Factored networks and transformers are 128 wide and train as those of Nanda et al. 2023: ReLU,
    AdamW at rate .001 with betas .9 and .98 and weight decay 1, no penalty, 10,000 steps. So does an
    MLP, 512 wide, on tasks that the theory does not speak of.

    Parameters
    ----------
    task
        Task that is trained on.
    predictions
        Predictions of the task, whose solutions are shared; None: made where they are needed.
    chosen
        Values of the recipe's fields; None is left to the task. ``penalty`` may also be a number, the
        strength of the homogeneous penalty, or a ``Penalty``; ``activation`` a function of a tensor;
        ``rows`` (train_rows) and ``test_rows`` are anything that
        :func:`marginlens.tasks.row_numbers` takes.

    Raises
    ------
    ValueError
        In one line, if a chosen value is impossible.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> recipe = recipe_for(task("C71"))
    >>> recipe.width, recipe.strength, recipe.activation
    (500, 0.0001, 'x^2')
    """
    given = _with_penalty({name: value for name, value in chosen.items() if value is not None})
    given = _with_rows(task, given)
    predictions = predictions or Predictions(task)
    plain = given.get("network", "mlp") == "mlp"
    if plain and given.get("loss_function") == "margin":
        return _margin_recipe(task, given, predictions)
    if not plain or not is_covered(task):
        optimizer = given.get("optimizer", "adamw")
        defaults = _LEARNED | ({} if optimizer == "adamw" else _PLAIN)
        if optimizer == "neuronwise-adam":  # which has a rate and betas of its own
            defaults = {n: v for n, v in defaults.items() if n not in ("learning_rate", "betas")}
        wide = {"width": 512} if plain else {}
        checked = checked_recipe({"task": task.name, **defaults, **wide, **given})
        if plain and checked.stop_share is not None:
            raise ValueError(_no_margin(task, str(checked.activation)))
        return checked
    if given.get("biases"):  # which the homogeneous penalty refuses
        given.setdefault("penalty", "l2")
    activation = parse_activation(given.get("activation", default_activation(task)))
    given |= {"task": task.name, "activation": activation if activation.is_own else activation.name}
    if (
        isinstance(activation, OwnActivation)
        and not activation.has_degree
        and "penalty" not in given
    ):
        given |= {"penalty": "l2", "strength": given.get("strength", 0.0)}
    checked = checked_recipe(given)
    if given.keys() >= _SUITED and task.subset is None and checked.stop_share is None:
        return checked  # nothing to fill in: a prediction by search takes seconds
    prediction = predictions.at(activation, Penalty(checked.penalty, 0.0))
    if checked.stop_share is not None and prediction.margin is None:
        raise ValueError(_no_margin(task, activation.name))
    suited = _suited(task, prediction)
    if "optimizer" in given and checked.optimizer == "neuronwise-adam":
        suited.pop("learning_rate", None)
    if checked.loss_function not in ("cross_entropy", "logistic"):
        suited["strength"] = 0.0
    full = checked_recipe({**suited, **given})
    collapse = prediction.collapse_penalty
    near = collapse is not None and full.final_strength >= collapse / _WEAKEST
    if near and _seeks_the_minimum(full, given):
        return checked_recipe({**suited, **_exchanging(task), **given})
    return full


def _seeks_the_minimum(recipe: Recipe, given: dict[str, Any]) -> bool:
    """Whether a single network is to reach the known minimum, by no optimizer in particular."""
    homogeneous = recipe.penalty == "homogeneous" and recipe.final_strength > 0
    entropy = recipe.loss_function == "cross_entropy" and recipe.is_population
    plain = not (recipe.biases or recipe.tied or recipe.online or recipe.batch)
    plain = plain and recipe.step_size == "plain" and recipe.members == 1
    return "optimizer" not in given and homogeneous and entropy and plain


def _exchanging(task: Task) -> dict[str, Any]:
    """Neuron-wise steps with exchanges, and how many of them suit a task."""
    large = task.subset is None and task.size >= 100
    cyclic = task.subset is not None or (
        task.group is not None and task.group.generator is not None
    )
    return {
        "optimizer": "neuronwise-adam",
        "learning_rate": 0.05 if large and not cyclic else 0.1,
        "steps": 1000 if cyclic else 2500 if large else 1500,
        "exchange_every": 50,
    }


def _margin_recipe(task: Task, given: dict[str, Any], predictions: Predictions) -> Recipe:
    """Recipe of the margin objective: the neuron-wise optimizer, and the width that suits the task."""
    activation = parse_activation(given.get("activation", default_activation(task)))
    given |= {"task": task.name, "activation": activation.name}
    defaults: dict[str, Any] = dict(_MARGIN)
    if task.kind == "table" and task.size >= 50:
        cyclic = task.group is not None and task.group.generator is not None
        if not cyclic:
            defaults |= {"steps": 2000, "betas": (0.97, 0.95)}
    if given.get("optimizer", "neuronwise-adam") != "neuronwise-adam":
        for name in ("optimizer", "learning_rate", "betas", "exchange_every"):
            defaults.pop(name)
        defaults["learning_rate"] = 3e-3
    checked = checked_recipe({**defaults, **given})
    if not is_covered(task):
        if checked.stop_share is not None:
            raise ValueError(_no_margin(task, activation.name))
        return checked_recipe({**defaults, "width": 512, **given})
    prediction = predictions.at(activation)
    if checked.stop_share is not None and prediction.margin is None:
        raise ValueError(_no_margin(task, activation.name))
    suited = _suited(task, prediction)
    kept = {name: suited[name] for name in ("width", "init_scale") if name in suited}
    return checked_recipe({**defaults, **kept, **given})


def _with_rows(task: Task, given: dict[str, Any]) -> dict[str, Any]:
    """The fields with numbers of rows in place of rows in any form; all rows are no choice."""
    if "rows" in given:
        if "train_rows" in given:
            raise MarginLensError("expected rows or train_rows, got both: they are the same")
        given = {name: value for name, value in given.items() if name != "rows"} | {
            "train_rows": given["rows"]
        }
    for name in ("train_rows", "test_rows"):
        if name in given:
            given[name] = row_numbers(task, given[name])
    if "test_rows" not in given and len(given.get("train_rows", ())) == len(task.answers):
        given.pop("train_rows", None)
    return given


def _with_penalty(given: dict[str, Any]) -> dict[str, Any]:
    """The fields with norm and strength in place of a penalty that is a number or a Penalty."""
    if isinstance(given.get("penalty", ""), str):
        return given
    penalty = Penalty.of(given["penalty"])
    if given.get("strength", penalty.strength) != penalty.strength:
        raise MarginLensError(
            f"penalty says strength {penalty.strength:g}, and strength {given['strength']:g}: leave one "
            "out"
        )
    return given | {"penalty": penalty.norm, "strength": penalty.strength}


def _no_margin(task: Task, activation: str) -> str:
    return (
        f"stop_share needs a known maximum margin, and none is known for {task.name} with "
        f"{activation}; leave it out"
    )


def _suited(task: Task, prediction: Prediction) -> dict[str, Any]:
    """Fields in which what suits a task differs from the recipe's defaults."""
    if task.subset is not None:
        width = max(40, 5 * parity_width(len(task.subset)))
        return {"width": width, "strength": 1e-3, "steps": 3000, "init_scale": 0.1}
    sufficient, collapse = prediction.sufficient_width, prediction.collapse_penalty
    if collapse is None:
        return {}
    if sufficient is None:  # the best neuron is known, how many of its images it takes is not
        return {"strength": float(f"1e{math.floor(math.log10(collapse / 4))}")}
    cyclic = task.group is not None and task.group.generator is not None
    if cyclic:
        wider, below, rate, steps = 2.3, 4, 0.03 if task.size < 50 else 0.01, 1500
    else:
        wider, below, rate, steps = 3.2, 20, 0.03, 6000 if task.size < 100 else 2500
    return {
        "width": 100 * math.ceil(wider * sufficient / 100),
        "strength": float(f"1e{math.floor(math.log10(collapse / below))}"),
        "learning_rate": rate,
        "steps": steps,
    }


def checked_recipe(fields: dict[str, Any]) -> Recipe:
    """Recipe of these fields; what is wrong with them in one line, as a ValueError."""
    try:
        return Recipe(**fields)
    except ValidationError as error:
        raise ValueError(in_one_line(error)) from None


def as_now_named(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a recipe as this version reads them, from a file that an earlier one wrote.

    Files before there was a choice of losses name ``biases``, true by default, of every network, though
    transformers alone had them. Files name the sharpness also where another loss is trained, with the
    default of their time.

    Parameters
    ----------
    fields
        Fields by name, as the file has them.

    Examples
    --------
    >>> as_now_named({"task": "C5", "biases": True})
    {'task': 'C5'}
    >>> as_now_named({"task": "C5", "loss_function": "cross_entropy", "sharpness_start": 3.0})
    {'task': 'C5', 'loss_function': 'cross_entropy'}
    """
    unread: set[str] = set()
    if "loss_function" not in fields and fields.get("network", "mlp") != "transformer":
        unread.add("biases")
    if fields.get("loss_function", "cross_entropy") != "margin":
        unread |= {"sharpness_start", "sharpness_end"}
    return {name: value for name, value in fields.items() if name not in unread}


def in_one_line(error: ValidationError) -> str:
    """The first thing that is wrong, with its field and what was given."""
    problem = error.errors()[0]
    words = problem["msg"].removeprefix("Value error, ")
    field = ".".join(str(part) for part in problem["loc"])
    if not field:
        return words
    got = repr(problem["input"])
    return f"{field}: {words.lower()}, got {got if len(got) <= 80 else got[:77] + '...'}"
