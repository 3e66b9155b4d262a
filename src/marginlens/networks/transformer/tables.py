r"""Tables of a one-layer transformer: computed once per element instead of once per row.

Only the last position of a one-layer transformer is read, and everything up to the MLP's
activation is linear but for the attention weights. So with $R = [W; U]$ (the MLP's first layer on
top of the unembedding) a row $(a_1, ..., a_k)$ needs from the attention

$$R r = \sum_{h,j} A_{hj}(a)\, G_{hj}(a_j) + g(a_k),\qquad G_{hj}(a) = R\,O_h^T V_h x_j(a),$$

a weighted sum of table rows, and the MLP's output reaches the logits by one product, $U D^T$. The
weights $A$ themselves come from tables of scores. With "ab=" the sum over j of $A_{hj}$ is a
constant s, so the equals sign's term is $(s - \sum_j A_{hj}) G_{h=}$: its table row is subtracted
from the others and added, times s, to g. With alpha = 0 every weight is 1 and the heads merge.

Gradients are chained by hand from those of the tables; shapes have the member axis first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.transformer.transformer_settings import TransformerSettings
from marginlens.tasks import Task

__all__ = ["Forward", "Tables"]

VECTOR = 8
"""Numbers that classes are padded to multiples of."""

Parameters = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Forward:
    """Tables at given parameters, each with a leading member axis.

    Attributes
    ----------
    mix
        Row (slot * n + element) * heads + head is G_head,slot(element), on hidden neurons and
        classes
        side by side, then zeros; then n rows g(element of the last slot). With alpha = 0 only k * n
        rows, g added to the last slot's.
    scores
        (last token * T + position's token, head): logits of attention; ``None`` with alpha = 0.
    read
        U D^T, from hidden neurons to classes and some rows of zeros.
    x, last
        Inputs of the attention at each (slot, element) and the equals sign, and at the last
        position.
    queries, keys, values
        Projections by the heads, shape (head, token, channel); only the values with alpha = 0.
    readers
        Matrix R that reads the residual stream.
    folded
        O_h R^T; with alpha = 0 the residual stream's tables, (slot and element, width).
    """

    mix: Float[Tensor, "member entry column"]
    scores: Float[Tensor, "member pair head"] | None
    read: Float[Tensor, "member class neuron"]
    x: Float[Tensor, "member token width"]
    last: Float[Tensor, "member query width"]
    queries: Float[Tensor, "member head query channel"] | None
    keys: Float[Tensor, "member head token channel"] | None
    values: Tensor
    readers: Float[Tensor, "member column width"]
    folded: Tensor


class Tables:
    """Makes the tables of a task from parameters, and parameters' gradients from the tables'.

    Parameters
    ----------
    task
        Gives the number n of elements and k of slots.
    settings
        Gives sizes, sequence and alpha.
    """

    def __init__(self, task: Task, settings: TransformerSettings) -> None:
        self.size, self.slots = task.size, task.factors
        self.equals = settings.sequence == "ab="
        self.settings = settings
        self.alpha = settings.attention
        self.heads = settings.heads if self.alpha else 1
        self.tokens = self.slots * self.size + self.equals
        self.positions = self.slots + self.equals
        self.entries = self.heads * self.slots * self.size + (self.size if self.alpha else 0)
        # Zeros up to whole vectors: products with 64 classes are faster than with 59.
        self.padding = -task.classes % VECTOR
        self.columns = settings.hidden + task.classes + self.padding
        self.total = self.alpha + (1 - self.alpha) * self.positions

    def forward(self, p: Parameters) -> Forward:
        """Compute the tables at parameters p."""
        k, n = self.slots, self.size
        x = (p["embed"][:, None, :n] + p["position"][:, :k, None]).flatten(1, 2)
        if self.equals:
            last = p["embed"][:, n:] + p["position"][:, k:]
            x = torch.cat([x, last], 1)
        else:
            last = x[:, -n:]
        readers = torch.nn.functional.pad(
            torch.cat([p["up"], p["unembed"]], 1), (0, 0, 0, self.padding)
        )
        unembed = readers[:, self.settings.hidden :]
        read = unembed @ p["down"].mT
        bias = None
        if self.settings.biases:
            shift = unembed @ p["down_bias"][..., None]
            bias = torch.cat([p["up_bias"], shift[..., 0]], 1)[:, None]
        if not self.alpha:
            return self._added(p, x, last, readers, read, bias)

        queries, keys, values = (_split(p[name], v) for name, v in self._inputs(x, last))
        pairs = (queries @ keys.mT).mul_(1 / math.sqrt(self.settings.channels))
        scores = pairs.flatten(2).mT.contiguous()
        folded = (p["output"].flatten(1, 2) @ readers.mT).unflatten(1, p["output"].shape[1:3])
        mix = x.new_empty(x.shape[0], self.entries, self.columns)
        own = mix[:, -n:]
        own.copy_(last @ readers.mT)
        if bias is not None:
            own += bias
        heads = mix[:, :-n].unflatten(1, (k * n, self.heads)).transpose(1, 2)
        for member in range(len(mix)):
            torch.bmm(values[member, :, : k * n], folded[member], out=heads[member])
        if self.equals:
            equals = values[:, :, k * n :] @ folded
            heads -= equals
            own += self.total * equals.sum(1)
        return Forward(mix, scores, read, x, last, queries, keys, values, readers, folded)

    def _added(
        self,
        p: Parameters,
        x: Tensor,
        last: Tensor,
        readers: Tensor,
        read: Tensor,
        bias: Tensor | None,
    ) -> Forward:
        """Tables with all attention weights 1: a sum of the residual stream's, slot by slot."""
        k, n = self.slots, self.size
        values = x @ p["value"].flatten(1, 2).mT
        stream = values @ p["output"].flatten(1, 2)
        folded = stream[:, : k * n].contiguous()
        folded[:, -n:] += last + stream[:, k * n :] if self.equals else last
        mix = folded @ readers.mT
        if bias is not None:
            mix[:, -n:] += bias
        return Forward(mix, None, read, x, last, None, None, values, readers, folded)

    @staticmethod
    def _inputs(x: Tensor, last: Tensor) -> tuple[tuple[str, Tensor], ...]:
        return ("query", last), ("key", x), ("value", x)

    def backward(
        self,
        p: Parameters,
        f: Forward,
        mix: Tensor,
        scores: Tensor | None,
        read: Tensor,
        gradients: Parameters,
    ) -> None:
        """Add the parameter gradients, given those of ``mix``, ``scores`` and ``read``."""
        k, n, hidden = self.slots, self.size, self.settings.hidden
        end = self.columns - self.padding
        read = read[:, : end - hidden]
        gradients["unembed"] += read @ p["down"]
        gradients["down"] += read.mT @ p["unembed"]
        own = mix[:, -n:]
        if self.settings.biases:
            shift = own.sum(1)
            gradients["up_bias"] += shift[:, :hidden]
            shift = shift[:, hidden:end, None]
            gradients["down_bias"] += (p["unembed"].mT @ shift)[..., 0]
            gradients["unembed"] += shift * p["down_bias"][:, None]
        x = torch.zeros_like(f.x)
        if scores is None or f.queries is None or f.keys is None:
            readers = mix.mT @ f.folded
            stream = mix @ f.readers
            last = stream[:, -n:]
            if self.equals:
                last = last.sum(1, keepdim=True)
                stream = torch.cat([stream, last], 1)
            gradients["output"] += (f.values.mT @ stream).view_as(p["output"])
            values = stream @ p["output"].flatten(1, 2).mT
            self._project(p, "value", f.x, values, x, gradients)
        else:
            if self.equals:
                own = own.sum(1, keepdim=True)
            readers = own.mT @ f.last
            last = own @ f.readers
            heads = mix[:, :-n].unflatten(1, (k * n, self.heads)).transpose(1, 2)
            if self.equals:
                heads = torch.cat([heads, self.total * own[:, None] - heads.sum(2, True)], 2)
            folded = f.values.mT @ heads
            folded = folded.flatten(1, 2)
            gradients["output"] += (folded @ f.readers).view_as(p["output"])
            readers.baddbmm_(folded.mT, p["output"].flatten(1, 2))
            values = heads @ f.folded.mT
            self._project(p, "value", f.x, _merge(values), x, gradients)
            pairs = scores.mT.unflatten(2, (f.last.shape[1], self.tokens))
            pairs = pairs * (1 / math.sqrt(self.settings.channels))
            self._project(p, "key", f.x, _merge(pairs.mT @ f.queries), x, gradients)
            self._project(p, "query", f.last, _merge(pairs @ f.keys), last, gradients)
        gradients["up"] += readers[:, :hidden]
        gradients["unembed"] += readers[:, hidden:end]
        x[:, -last.shape[1] :] += last
        slots = x[:, : k * n].unflatten(1, (k, n))
        gradients["embed"][:, :n] += slots.sum(1)
        gradients["position"][:, :k] += slots.sum(2)
        if self.equals:
            gradients["embed"][:, n:] += x[:, k * n :]
            gradients["position"][:, k:] += x[:, k * n :]

    @staticmethod
    def _project(
        p: Parameters,
        name: str,
        inputs: Tensor,
        outputs: Tensor,
        back: Tensor,
        gradients: Parameters,
    ) -> None:
        """Through outputs = inputs @ weight^T: the weight's gradient, and the inputs' onto back."""
        weight = p[name].flatten(1, 2)
        gradients[name] += (outputs.mT @ inputs).view_as(p[name])
        back.baddbmm_(outputs, weight)


def _split(weight: Tensor, x: Tensor) -> Tensor:
    """Return each head's projection of x, shape (member, head, token, channel)."""
    return (x @ weight.flatten(1, 2).mT).unflatten(2, weight.shape[1:3]).transpose(1, 2)


def _merge(heads: Tensor) -> Tensor:
    """(member, head, token, channel) to (member, token, head and channel)."""
    return heads.transpose(1, 2).flatten(2)
