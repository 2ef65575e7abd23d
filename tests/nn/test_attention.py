"""Causal attention over chunks."""

from __future__ import annotations

import math

import pytest
import torch

from crossrec.nn.attention import Block, CausalAttention


def written_out(layer: CausalAttention, q: torch.Tensor, x: torch.Tensor, padded: int) -> torch.Tensor:
    """One head, one row, ``padded`` places of zero input on its left: (l, D)."""
    dim = q.shape[1]
    wq, wk, wv = layer.in_weight.split(dim)
    bq, bk, bv = layer.in_bias.split(dim)
    x = torch.cat([x.new_zeros(padded, dim), x])
    out = []
    for t in range(len(q)):
        seen = x[: padded + t + 1]
        logit = (seen @ wk.T + bk) @ (wq @ q[t] + bq) / math.sqrt(dim)
        out.append(layer.out(logit.softmax(0) @ (seen @ wv.T + bv)))
    return torch.stack(out)


@pytest.mark.parametrize("sink", [False, True])
@torch.no_grad()
def test_chunks_agree_with_rows_written_out(sink: bool) -> None:
    torch.manual_seed(0)
    layer = CausalAttention(6, 1, 0.3, sink=sink).eval()
    torch.nn.init.normal_(layer.in_bias)
    shapes, pads = [(2, 3), (1, 5)], [torch.tensor([7, 0]), torch.tensor([4])]
    q, x = torch.randn(2, 11, 6)
    found = layer(q, x, shapes, pads)
    rows = [(slice(0, 3), 7), (slice(3, 6), 0), (slice(6, 11), 4)]
    for here, padded in rows:
        torch.testing.assert_close(found[here], written_out(layer, q[here], x[here], padded if sink else 0))


@torch.no_grad()
def test_heads_look_at_their_own_part() -> None:
    """Two heads are two layers of one head each on half of the columns, their outputs end to end."""
    torch.manual_seed(0)
    both = CausalAttention(8, 2, 0.0).eval()
    torch.nn.init.eye_(both.out.weight)
    q, x = torch.randn(2, 5, 8)
    parts = []
    for head in range(2):
        rows = torch.cat([part + torch.arange(4) + 4 * head for part in (0, 8, 16)])
        weight, bias = both.in_weight[rows], both.in_bias[rows]
        ahead = torch.ones(5, 5, dtype=torch.bool).triu(1)
        hq, hk, hv = (z @ w.T + b for z, w, b in zip((q, x, x), weight.split(4), bias.split(4), strict=True))
        parts.append((hq @ hk.T / 2).masked_fill(ahead, -torch.inf).softmax(-1) @ hv)
    torch.testing.assert_close(both(q, x, [(1, 5)]), torch.cat(parts, 1))


@torch.no_grad()
def test_block_sees_no_later_place() -> None:
    torch.manual_seed(0)
    block = Block(6, 2, 0.2, sink=True).eval()
    x, pads = torch.randn(8, 6), [torch.tensor([2])]
    before = block(x, [(1, 8)], pads)
    x[5:] += 1
    after = block(x, [(1, 8)], pads)
    assert torch.equal(before[:5], after[:5])
    assert not torch.equal(before[5:], after[5:])


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        CausalAttention(6, 4, 0.0)
