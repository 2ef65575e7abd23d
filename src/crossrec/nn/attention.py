"""Causal self-attention over chunks of rows of like length (see :class:`crossrec.data.histories.History`).

Shapes: T places of all chunks laid end to end, R rows of all chunks, M seats (asked places) of each, S seats of all rows,
D width, H heads, d width of a head, b rows and l places of a chunk.
Attention runs chunk by chunk; everything else runs over all places at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.nn.dropout import dropout


class CausalAttention(nn.Module):
    """Multi-head attention in which every place sees itself and the places to its left.

    Rows are left-aligned, so the padding is to the right of every place that is asked for and is never seen. With
    ``sink`` the places to the left that published code pads to a fixed length, and attends to, are added exactly
    (specs: their input is the zero vector, so each has the bias of the keys for key and that of the values for value):
    one more column with the logit raised by ln(number of padded places).
    """

    def __init__(self, dim: int, heads: int, dropout: float, *, sink: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim ({dim}) must be a multiple of heads ({heads}).")
        self.heads, self.dropout, self.sink = heads, dropout, sink
        self.in_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out = nn.Linear(dim, dim)
        nn.init.xavier_normal_(self.in_weight)
        nn.init.xavier_normal_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, q_TD: Tensor, x_TD: Tensor, shapes: Sequence[tuple[int, int]], pads: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Attend from ``q_TD`` to ``x_TD``. ``pads``: with ``sink``, the padded places of every row, (b,) per chunk."""
        dim = q_TD.shape[1]
        weight_q, weight_kv = self.in_weight[:dim], self.in_weight[dim:]
        bias_q, bias_kv = self.in_bias[:dim], self.in_bias[dim:]
        q_all = F.linear(q_TD, weight_q, bias_q) / math.sqrt(dim // self.heads)
        kv_all = F.linear(x_TD, weight_kv, bias_kv)
        mixed, places = [], [b * length for b, length in shapes]
        for n, (shape, q, kv) in enumerate(zip(shapes, q_all.split(places), kv_all.split(places), strict=True)):
            q_bHlD = q.view(*shape, self.heads, -1).transpose(1, 2)
            k, v = kv.view(*shape, 2, self.heads, -1).unbind(2)
            pad_b = pads[n] if self.sink and pads is not None else None
            mixed_bHlD = self._mix(q_bHlD, k.transpose(1, 2), v.transpose(1, 2), pad_b)
            mixed.append(mixed_bHlD.transpose(1, 2).reshape(-1, dim))
        return F.linear(torch.cat(mixed), self.out.weight, self.out.bias)

    def asked(
        self,
        q_SD: Tensor,
        x_TD: Tensor,
        shapes: Sequence[tuple[int, int]],
        pads: Sequence[Tensor] | None,
        place_RM: Tensor,
    ) -> Tensor:
        """``forward`` at few places, M of every row: attend from them, ``q_SD``, to ``x_TD``.

        Keys and values are not made, for it is cheaper to turn what is asked: <q, W_k x + b> is <W_k^T q, x> and a number
        that is the same for every x, which softmax does not see; and a mean of values W_v x + b is W_v (mean of x) + b.
        """
        dim, seats = q_SD.shape[1], place_RM.shape[1]
        weight_q, weight_k, weight_v = self.in_weight.view(3, self.heads, -1, dim)
        bias_q, _, bias_v = self.in_bias.view(3, self.heads, -1)
        q_SHd = (torch.einsum("sD,hdD->shd", q_SD, weight_q) + bias_q) / math.sqrt(dim // self.heads)
        turned_SHD = torch.einsum("shd,hdD->shD", q_SHd, weight_k)
        means, sums, at, row = [], [], 0, 0
        x_chunks = x_TD.split([b * length for b, length in shapes])
        turned_chunks = turned_SHD.split([b * seats for b, _ in shapes])
        for n, ((b, length), x, turned) in enumerate(zip(shapes, x_chunks, turned_chunks, strict=True)):
            x_blD, turned = x.view(b, length, dim), turned.reshape(b, seats * self.heads, dim)
            logit = (turned @ x_blD.transpose(1, 2)).view(b, seats, self.heads, length)
            place_bl = torch.arange(at, at + b * length, device=x_TD.device).view(b, length)
            ahead = place_bl[:, None] > place_RM[row : row + b, :, None]
            logit = logit.masked_fill(ahead[:, :, None], -torch.inf)
            if self.sink and pads is not None:
                sunk = pads[n].to(logit.dtype).log()[:, None, None, None].expand(b, seats, self.heads, 1)
                logit = torch.cat([logit, sunk], -1)
            weight = dropout(logit.softmax(-1), self.dropout, self.training)
            means.append((weight[..., :length].flatten(1, 2) @ x_blD).view(b * seats, self.heads, dim))
            sums.append(weight.sum(-1, keepdim=True).flatten(0, 1))
            at, row = at + b * length, row + b
        mixed = torch.einsum("shD,hdD->shd", torch.cat(means), weight_v) + torch.cat(sums) * bias_v
        return F.linear(mixed.flatten(1), self.out.weight, self.out.bias)

    def alone(self, q_SD: Tensor, x_LD: Tensor) -> Tensor:
        """``forward`` over a single row, at its last S places: one of them or all. Neither dropout nor ``sink``."""
        (seats, dim), length = q_SD.shape, len(x_LD)
        q_HSd = F.linear(q_SD, self.in_weight[:dim], self.in_bias[:dim]).view(seats, self.heads, -1).transpose(0, 1)
        kv = F.linear(x_LD, self.in_weight[dim:], self.in_bias[dim:]).view(length, 2, self.heads, -1)
        k_HLd, v_HLd = kv.permute(1, 2, 0, 3)
        mixed = F.scaled_dot_product_attention(q_HSd[None], k_HLd[None], v_HLd[None], is_causal=seats > 1)
        return F.linear(mixed[0].transpose(0, 1).reshape(seats, dim), self.out.weight, self.out.bias)

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, pad_b: Tensor | None) -> Tensor:
        length = q.shape[2]
        ahead = q.new_full((length, length), -torch.inf).triu(1)
        logit = q @ k.transpose(-1, -2) + ahead
        if pad_b is None:
            weight = dropout(logit.softmax(-1), self.dropout, self.training)
            plain: Tensor = weight @ v
            return plain
        bias_k, bias_v = self.in_bias.view(3, self.heads, 1, -1)[1:]
        sunk = (q * bias_k).sum(-1, keepdim=True) + pad_b.to(q.dtype).log()[:, None, None, None]
        weight = dropout(torch.cat([logit, sunk], -1).softmax(-1), self.dropout, self.training)
        mixed: Tensor = weight[..., :-1] @ v + weight[..., -1:] * bias_v
        return mixed


class Block(nn.Module):
    """One Transformer layer as the published SASRec code has it: keys and values are not normalised, the residual adds Q.

    Q = LN(X); Y = LN'(Q + attention(Q, X)); X <- Y + drop(W2 relu(drop(W1 Y))). Source: specs of RealHNS, section 2.1.
    """

    def __init__(self, dim: int, heads: int, dropout: float, *, sink: bool = False) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm_q = nn.LayerNorm(dim, eps=1e-8)
        self.norm_y = nn.LayerNorm(dim, eps=1e-8)
        self.attention = CausalAttention(dim, heads, dropout, sink=sink)
        self.up, self.down = nn.Linear(dim, dim), nn.Linear(dim, dim)
        for linear in (self.up, self.down):
            nn.init.xavier_normal_(linear.weight)

    def forward(
        self,
        x_TD: Tensor,
        shapes: Sequence[tuple[int, int]],
        pads: Sequence[Tensor] | None = None,
        place_RM: Tensor | None = None,
    ) -> Tensor:
        """One layer over all places: (T, D) to (T, D); or at ``place_RM`` alone, M places of every row: to (S, D)."""
        if place_RM is None:
            q_TD = self.norm_q(x_TD)
            y_TD = self.norm_y(q_TD + self.attention(q_TD, x_TD, shapes, pads))
        else:
            q_TD = self.norm_q(x_TD[place_RM.flatten()])
            y_TD = self.norm_y(q_TD + self.attention.asked(q_TD, x_TD, shapes, pads, place_RM))
        inner = dropout(F.relu(self.up(y_TD)), self.dropout, self.training)
        return torch.add(y_TD, dropout(self.down(inner), self.dropout, self.training))

    def alone(self, x_LD: Tensor, seats: int) -> Tensor:
        """One layer over a single row, at its last places alone (see :meth:`CausalAttention.alone`): (L, D) to (S, D)."""
        q_SD = self.norm_q(x_LD[-seats:])
        y_SD = self.norm_y(q_SD + self.attention.alone(q_SD, x_LD))
        return torch.add(y_SD, self.down(F.relu(self.up(y_SD))))
