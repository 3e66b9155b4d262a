"""Smoothed minimum of the margins over all rows and wrong classes, with its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.evaluator import Parameters
from marginlens.networks.mlp import MLP
from marginlens.networks.mlp_evaluator import MLPEvaluator
from marginlens.networks.rows import Rows
from marginlens.tasks import Task

__all__ = ["SoftMargin", "SoftMarginEvaluator", "SoftMarginSums"]


@dataclass(frozen=True, eq=False)
class SoftMargin:
    """Smoothed minimum of the margins, one number a member.

    Attributes
    ----------
    value
        -(1/beta) log sum_r sum_{c != y_r} exp(-beta m_{r,c}), with m_{r,c} the logit of the asked
        answer minus that of class c: at most the least margin, and at least that minus
        log(number of pairs (r, c)) / beta.
    mean
        Mean of the margins under the adversary q ~ exp(-beta m), a distribution over rows and wrong
        classes; the value plus the entropy of q divided by beta. By homogeneity it is also -<omega,
        gradient> / nu. None without a gradient.
    margin
        Least margin over rows and wrong classes.
    adversary
        Probability under q of each pair (requested answer, wrong class), summed over rows; None
        unless requested.
    size
        Root mean square of the margins over all rows and wrong classes; None unless requested.
    """

    value: Float[Tensor, " member"]
    mean: Float[Tensor, " member"] | None
    margin: Float[Tensor, " member"]
    adversary: Float[Tensor, "member answer class"] | None = None
    size: Float[Tensor, " member"] | None = None


@dataclass(eq=False)
class SoftMarginSums:
    """Sums of exp(-beta m) over rows and wrong classes, in units of exp(reference).

    Gradients that belong to them are those of the sum in the same units, divided by beta. Sums over
    other rows have other references; :meth:`rebase` makes them equal, so that they can be added.

    Attributes
    ----------
    reference
        Logarithm of the unit of each member.
    total
        Sum of exp(-beta m - reference).
    margin
        Least margin over rows and wrong classes.
    adversary
        Same sum for each pair (requested answer, wrong class); None unless requested.
    squares
        Sum of the squared margins, and number of margins; None unless requested.
    """

    reference: Float[Tensor, " member"]
    total: Float[Tensor, " member"]
    margin: Float[Tensor, " member"]
    adversary: Float[Tensor, "member answer class"] | None = None
    squares: Float[Tensor, "member 2"] | None = None

    def rebase(self, reference: Float[Tensor, " member"], gradients: Parameters | None) -> None:
        """Change the units, of the gradients too, in place."""
        if torch.equal(reference, self.reference):
            return
        factor = (self.reference - reference).exp()
        self.reference = reference
        self.total = self.total * factor
        if self.adversary is not None:
            self.adversary = self.adversary * factor.view(-1, 1, 1)
        for gradient in (gradients or {}).values():
            gradient.mul_(factor.to(gradient.dtype).view(-1, 1, 1))

    def finish(
        self,
        sharpness: Float[Tensor, " member"],
        w: Float[Tensor, "member class neuron"],
        gradients: Parameters | None,
    ) -> SoftMargin:
        """Return the smoothed minimum; gradients become those of its negative.

        Parameters
        ----------
        sharpness
            beta, which the sums were taken with.
        w
            Output weights, in which the logits are linear.
        gradients
            Those of the sums, divided in place.
        """
        mean = None
        if gradients is not None:
            for gradient in gradients.values():
                gradient.div_(self.total.to(gradient.dtype).view(-1, 1, 1))
            mean = -(w.double() * gradients["w"].double()).sum((1, 2))
        value = -(self.reference + self.total.log()) / sharpness
        q = None if self.adversary is None else self.adversary / self.total.view(-1, 1, 1)
        size = None if self.squares is None else (self.squares[:, 0] / self.squares[:, 1]).sqrt()
        return SoftMargin(value, mean, self.margin, q, size)


class SoftMarginEvaluator:
    r"""Evaluator of the smoothed minimum of the margins, and its gradient, over a task's rows.

    $S_\beta = -\frac1\beta \log \sum_r \sum_{c \ne y_r} e^{-\beta (f(r)_{y_r} - f(r)_c)}$, with
    $\beta$ → ``sharpness``, one number a member. The softmax q over rows and wrong classes together
    is taken block by block: sums are kept in units of the largest term so far, and sums and gradients
    are rescaled where a block has a larger one. The gradient of $-S_\beta$ in the logit of a wrong
    class is q, in that of the asked answer minus the row's sum of q.

    Parameters
    ----------
    task
        Task that is evaluated.
    network
        Network without biases: gives shapes, precision, device and activation; its parameters are
        passed at each call.
    rows
        Rows and the answers asked for; all by default.
    count
        Number of rows that the rows' weights are shares of: a row of weight w counts as w * count
        rows. By default the number of rows given, before those are merged that tied embeddings
        cannot tell apart.
    memory
        Bytes of hidden activations held at a time, as for :class:`MLPEvaluator`.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> network = construct(task("C5"))
    >>> soft = SoftMarginEvaluator(task("C5"), network)
    >>> found = soft(network.tensors, torch.tensor([1e4], dtype=torch.float64))
    >>> bool(found.margin - math.log(100) / 1e4 <= found.value <= found.margin)
    True
    """

    def __init__(
        self,
        task: Task,
        network: MLP,
        *,
        rows: Rows | None = None,
        count: int | None = None,
        memory: int | None = None,
    ) -> None:
        if network.biases:
            raise ValueError(
                "the margin objective needs a homogeneous network, which has no biases: leave "
                "biases out"
            )
        self.rows = MLPEvaluator(task, network, rows=rows, memory=memory)
        weights = self.rows.weights
        self._multiplicity: Tensor | None = None
        if weights is not None:
            given = len(task.answers if rows is None else rows)
            self._multiplicity = (weights.double() * (count or given)).log().to(weights)

    @torch.no_grad()
    def __call__(
        self,
        parameters: Parameters,
        sharpness: Float[Tensor, " member"],
        gradients: Parameters | None = None,
        *,
        adversary: bool = False,
        size: bool = False,
    ) -> SoftMargin:
        """Evaluate; if ``gradients`` are given, overwrite them with those of minus the value.

        Parameters
        ----------
        parameters
            Parameters by name, stacked over members.
        sharpness
            beta of each member, in units of 1 / margin, in float64; 0 gives the uniform adversary
            (and no value).
        gradients
            Under the parameters' names.
        adversary
            Whether the adversary's probabilities are returned.
        size
            Whether the margins' root mean square is returned.
        """
        sums = self.sums(parameters, sharpness, gradients, adversary=adversary, size=size)
        return sums.finish(sharpness, parameters["w"].detach(), gradients)

    @torch.no_grad()
    def sums(
        self,
        parameters: Parameters,
        sharpness: Float[Tensor, " member"],
        gradients: Parameters | None = None,
        *,
        adversary: bool = False,
        size: bool = False,
    ) -> SoftMarginSums:
        """Sums over the rows, of which processes that share a table add theirs up."""
        parameters = {name: p.detach() for name, p in parameters.items()}
        w, rows = parameters["w"], self.rows
        members, classes = w.shape[:2]
        compiled = rows.embedded
        if compiled is not None and compiled.takes(
            *parameters.values(), *(gradients or {}).values()
        ):
            matrix = None
            if adversary:
                matrix = w.new_zeros(members, classes, classes, dtype=torch.float64)
            found = compiled.soft_margin(
                parameters, gradients, sharpness, self._multiplicity, matrix, squares=size
            )
            squares = None
            if size:
                count = float(rows.count * (classes - 1))
                squares = torch.stack([found[:, 3], torch.full_like(found[:, 3], count)], 1)
            return SoftMarginSums(found[:, 0], found[:, 1], found[:, 2], matrix, squares)
        parts = []
        for group, p, g in rows.groups(parameters, gradients):
            zeros = w.new_zeros(len(p["w"]), dtype=torch.float64)
            sums = SoftMarginSums(
                reference=zeros - math.inf,
                total=zeros,
                margin=zeros + math.inf,
                adversary=zeros.new_zeros(len(zeros), classes, classes) if adversary else None,
                squares=zeros.new_zeros(len(zeros), 2) if size else None,
            )
            for lo, hi in rows.blocks():
                self._block(p, sharpness[group], g, lo, hi, sums)
            parts.append(sums)
        if len(parts) == 1:
            return parts[0]
        matrices = [part.adversary for part in parts if part.adversary is not None]
        squares = [part.squares for part in parts if part.squares is not None]
        return SoftMarginSums(
            torch.cat([part.reference for part in parts]),
            torch.cat([part.total for part in parts]),
            torch.cat([part.margin for part in parts]),
            torch.cat(matrices) if matrices else None,
            torch.cat(squares) if squares else None,
        )

    @torch.no_grad()
    def slopes(
        self, parameters: Parameters, sharpness: Float[Tensor, " member"]
    ) -> Float[Tensor, "member class row"]:
        """Derivatives of minus the value in all logits: q, and minus the row's sum of it.

        They take the memory of all logits.

        Parameters
        ----------
        parameters
            Parameters by name, of one member.
        sharpness
            beta, above 0, in float64.
        """
        found = self(parameters, sharpness)
        parameters = {name: p.detach() for name, p in parameters.items()}
        rows, parts = self.rows, []
        for lo, hi in rows.blocks():
            where = rows.rows_of(lo, hi)
            _, _, logits = rows.forward(parameters, lo, hi)
            asked = rows.answers[where].expand(len(logits), 1, -1)
            lead = logits.gather(1, asked) - logits
            q = (-sharpness.view(-1, 1, 1) * (lead.double() - found.value.view(-1, 1, 1))).exp()
            if self._multiplicity is not None:
                q = q * self._multiplicity[where].double().exp()
            q = q.to(logits.dtype).scatter_(1, asked, 0.0)
            parts.append(q.scatter_(1, asked, -q.sum(1, keepdim=True)))
        return torch.cat(parts, 2)

    def _block(
        self,
        p: Parameters,
        sharpness: Float[Tensor, " member"],
        gradients: Parameters | None,
        lo: int,
        hi: int,
        sums: SoftMarginSums,
    ) -> None:
        """Add the rows of units lo to hi to sums and gradients."""
        rows = self.rows
        where = rows.rows_of(lo, hi)
        before, hidden, logits = rows.forward(p, lo, hi)
        answers = rows.answers[where]
        asked = answers.expand(len(logits), 1, -1)
        logits.sub_(logits.gather(1, asked))
        if sums.squares is not None:
            sums.squares[:, 0] += logits.square().sum((1, 2), dtype=torch.float64)
            sums.squares[:, 1] += (logits.shape[1] - 1) * logits.shape[2]
        logits.scatter_(1, asked, -math.inf)
        sums.margin = torch.minimum(sums.margin, -logits.amax((1, 2)).double())
        # a sharpness of 0 times minus infinity is no number: the asked answer is set again below
        logits.mul_(sharpness.to(logits.dtype).view(-1, 1, 1))
        if self._multiplicity is not None:
            logits.add_(self._multiplicity[where])
        logits.scatter_(1, asked, -math.inf)
        largest = logits.amax((1, 2)).double()
        sums.rebase(torch.maximum(sums.reference, largest), gradients)
        # exp is many times slower where its value is zero or denormal: it ends just above
        lowest = math.log(torch.finfo(logits.dtype).tiny) + 0.5
        logits.sub_(sums.reference.to(logits.dtype).view(-1, 1, 1)).clamp_min_(lowest).exp_()
        logits.scatter_(1, asked, 0.0)
        of_rows = logits.sum(1, keepdim=True)
        sums.total += of_rows.sum((1, 2), dtype=torch.float64)
        if sums.adversary is not None:
            sums.adversary.index_add_(1, answers, logits.mT.double())
        if gradients is not None:
            logits.scatter_(1, asked, -of_rows)
            rows.backward(p, gradients, lo, hi, before, hidden, logits)
