"""The field's networks, forward and backward, in one autograd function over blocks of rows.

Layer by layer under autograd, the networks of a step take about a hundred small operators over
matrices of many megabytes. Here a block of rows passes through all layers while it is in the cache.
The backward pass computes the hidden layers of the heads again instead of keeping them. The two
heads around a slice of samples form one network of twice the width:

    hidden = relu(x [W1_lower; W1_upper]^T) * (1 - f, f),    code = hidden [W2_lower, W2_upper]^T

This is the blend of their outputs in two matrix products.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from taichi_pynerf.model.heads import LevelSlices
from taichi_pynerf.ops.bridge import once_differentiable

ROWS = 2**12  # rows per block, so few that each of two threads' share fits its cache
LARGEST_LOGIT = 15.0  # largest logit of a density; keeps value and gradient from overflowing


def weights_of(network: nn.Module) -> list[Tensor]:
    """The matrices of an `mlp`, first to last."""
    return list(network.parameters())


class _Pair(NamedTuple):
    """The heads of one slice of samples, side by side.

    Attributes:
        first, last: the slice's rows.
        heads: the numbers of one or two heads.
        columns: number of features that they see.
        inner: [heads * H, columns]; a head that sees fewer features has zeros for the others.
        outer: [C, heads * H].
    """

    first: int
    last: int
    heads: tuple[int, ...]
    columns: int
    inner: Tensor
    outer: Tensor

    def hidden(self, features: Tensor, shares: Tensor) -> Tensor:
        """Hidden layer [R, heads * H] of R rows with features [R, F] and heads' shares [R, 2]."""
        hidden = torch.mm(features[:, : self.columns], self.inner.t()).relu_()
        return self.by_share(hidden, shares)

    def by_share(self, hidden: Tensor, shares: Tensor) -> Tensor:
        """Multiply each head's columns of `hidden` by its share, in place."""
        if len(self.heads) == 2:
            hidden.view(-1, 2, hidden.shape[1] // 2).mul_(shares.unsqueeze(-1))
        return hidden

    def blocks(self, rows: int) -> Iterator[slice]:
        for first in range(self.first, self.last, rows):
            yield slice(first, min(first + rows, self.last))


def _pairs(slices: LevelSlices, weights: Sequence[tuple[Tensor, Tensor]]) -> list[_Pair]:
    """The heads of each slice that has samples; `weights` are the two matrices of each head."""
    pairs, num_levels = [], len(slices.starts) - 1
    for level in range(num_levels):
        first, last = slices.starts[level], slices.starts[level + 1]
        if first == last:
            continue
        inner, outer = weights[level]
        heads: tuple[int, ...] = (level,)
        if slices.two_heads and level + 1 < num_levels:
            upper_inner, upper_outer = weights[level + 1]
            heads = (level, level + 1)
            padded = nn.functional.pad(inner, (0, upper_inner.shape[1] - inner.shape[1]))
            inner = torch.cat([padded, upper_inner])
            outer = torch.cat([outer, upper_outer], 1)
        pairs.append(_Pair(first, last, heads, inner.shape[1], inner, outer))
    return pairs


def _shares(slices: LevelSlices, like: Tensor) -> Tensor:
    """Shares [M, 2] of the lower and the upper head."""
    fraction = slices.fraction.to(like.dtype)
    return torch.cat([1 - fraction, fraction], 1)


def _rows_per_block(tensor: Tensor) -> int:
    return ROWS if tensor.device.type == "cpu" else max(tensor.shape[0], 1)


@torch.no_grad()
def head_codes(features: Tensor, slices: LevelSlices, heads: Sequence[nn.Module]) -> Tensor:
    """The heads' blended outputs [M, C], without gradients; arguments as in `field_pass`."""
    return _head_codes(features, slices, _in_twos(w for head in heads for w in weights_of(head)))


def _in_twos(weights: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The matrices of all heads, grouped by twos: one pair per head."""
    inner_and_outer = iter(weights)
    return list(zip(inner_and_outer, inner_and_outer, strict=True))


def _head_codes(
    features: Tensor, slices: LevelSlices, weights: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    codes = features.new_empty(features.shape[0], weights[0][1].shape[0])
    shares = _shares(slices, features)
    for pair in _pairs(slices, weights):
        for rows in pair.blocks(_rows_per_block(features)):
            hidden = pair.hidden(features[rows], shares[rows])
            torch.mm(hidden, pair.outer.t(), out=codes[rows])
    return codes


def field_pass(
    features: Tensor,
    basis: Tensor,
    slices: LevelSlices,
    heads: Sequence[nn.Module],
    color_head: nn.Module,
    known_codes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Densities and colours of M samples from the grid's features. Differentiable.

    Args:
        features: [M, F] grid features, in sorted rows.
        basis: [M, B] encoded view directions, in sorted rows.
        slices: the order in which the samples are sorted.
        heads: L networks of two layers; head l sees the first columns of `features`.
        color_head: the colour network; its input is the codes beside the basis.
        known_codes: `head_codes` of these samples, if known.

    Returns:
        densities [M], exp(code_0), and colours [M, 3], in the order before sorting.
    """
    weights = [weight for network in (*heads, color_head) for weight in weights_of(network)]
    return _FieldPass.apply(features, basis, slices, len(heads), known_codes, *weights)


class _FieldPass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        basis: Tensor,
        slices: LevelSlices,
        num_heads: int,
        codes: Tensor | None,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        of_heads = _in_twos(weights[: 2 * num_heads])
        of_color = weights[2 * num_heads :]
        if codes is None:
            codes = _head_codes(features, slices, of_heads)
        inputs = torch.cat([codes, basis.to(codes.dtype)], 1)
        layers = [inputs]
        for weight in of_color:
            layers.append(inputs.new_empty(inputs.shape[0], weight.shape[0]))
        for rows in _blocks(inputs):
            for weight, x, y in zip(of_color, layers, layers[1:], strict=False):
                torch.mm(x[rows], weight.t(), out=y[rows])
                if weight is not of_color[-1]:
                    y[rows].relu_()
        rgbs = layers.pop().sigmoid_()
        sigmas = codes[:, 0].clamp(max=LARGEST_LOGIT).exp_()
        ctx.slices, ctx.num_heads = slices, num_heads
        ctx.num_layers = len(layers)
        ctx.save_for_backward(features, sigmas, rgbs, *layers, *weights)
        places = torch.empty_like(slices.order)
        places[slices.order] = torch.arange(len(places), device=places.device)
        return sigmas.index_select(0, places), rgbs.index_select(0, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_sigmas: Tensor, grad_rgbs: Tensor) -> tuple[Tensor | None, ...]:
        features, sigmas, rgbs, *rest = ctx.saved_tensors
        layers, weights = rest[: ctx.num_layers], rest[ctx.num_layers :]
        slices, num_heads = ctx.slices, ctx.num_heads
        of_heads = _in_twos(weights[: 2 * num_heads])
        of_color = weights[2 * num_heads :]
        grad_color = [torch.zeros_like(weight) for weight in of_color]
        grad_inputs = torch.empty_like(layers[0])
        grad_out = grad_rgbs.index_select(0, slices.order)
        grad_out = torch.ops.aten.sigmoid_backward(grad_out, rgbs)
        for rows in _blocks(features):
            grad = grad_out[rows]
            for k in reversed(range(len(of_color))):
                grad_color[k].addmm_(grad.t(), layers[k][rows])
                if k:
                    grad = torch.mm(grad, of_color[k])
                    grad = torch.ops.aten.threshold_backward(grad, layers[k][rows], 0)
                else:
                    torch.mm(grad, of_color[0], out=grad_inputs[rows])
        num_codes = of_heads[0][1].shape[0]
        grad_codes, grad_basis = grad_inputs[:, :num_codes], grad_inputs[:, num_codes:]
        grad_codes[:, 0].addcmul_(grad_sigmas.index_select(0, slices.order), sigmas)

        # Heads without samples get None, not zeros: Adam would take a step on zeros.
        grad_heads: list[Tensor | None] = [None] * (2 * num_heads)
        shares, grad_features = _shares(slices, features), torch.empty_like(features)
        for pair in _pairs(slices, of_heads):
            grad_inner, grad_outer = torch.zeros_like(pair.inner), torch.zeros_like(pair.outer)
            for rows in pair.blocks(_rows_per_block(features)):
                x, grad = features[rows], grad_codes[rows]
                hidden = pair.hidden(x, shares[rows])
                grad_outer.addmm_(grad.t(), hidden)
                grad_hidden = pair.by_share(torch.mm(grad, pair.outer), shares[rows])
                # The product with the share tells which units were active. Where the share is 0,
                # the gradient is 0 anyway.
                grad_hidden = torch.ops.aten.threshold_backward(grad_hidden, hidden, 0)
                grad_inner.addmm_(grad_hidden.t(), x[:, : pair.columns])
                torch.mm(grad_hidden, pair.inner, out=grad_features[rows, : pair.columns])
                grad_features[rows, pair.columns :] = 0
            width = grad_inner.shape[0] // len(pair.heads)
            for place, head in enumerate(pair.heads):
                own, columns = slice(place * width, (place + 1) * width), of_heads[head][0].shape[1]
                parts = grad_inner[own, :columns], grad_outer[:, own]
                for k, part in zip((2 * head, 2 * head + 1), parts, strict=True):
                    before = grad_heads[k]
                    grad_heads[k] = part.contiguous() if before is None else before + part
        return grad_features, grad_basis, None, None, None, *grad_heads, *grad_color


def _blocks(tensor: Tensor) -> Iterator[slice]:
    """The rows of a matrix, a block at a time."""
    num_rows, rows = tensor.shape[0], _rows_per_block(tensor)
    for first in range(0, num_rows, rows):
        yield slice(first, min(first + rows, num_rows))
