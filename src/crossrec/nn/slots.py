"""Slot attention over sessions, and what the events of another domain read in the slots.

S sessions laid end to end, M events, K slots, D width; C queries. Source: specs of DDGHM, 6.4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossrec.nn.segments import segment_sum

SMALL = 1e-8
"""Keeps shares of a slot that nothing chooses finite (published code)."""


class SlotAttention(nn.Module):
    """A few vectors per session that share its events out among themselves.

    In every step the events' weights are a softmax over the slots, then made to sum to 1 over the events; what a slot
    reads so goes through a gated unit and a perceptron. In training slots begin at random around their means, else at the
    means. Every slot has a mean and a deviation of its own (ours; published: one for all): with one mean all slots of a
    session would be the same where nothing is random.
    """

    def __init__(self, dim: int, slots: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.mean, self.log_deviation = nn.Parameter(torch.empty(slots, dim)), nn.Parameter(torch.empty(slots, dim))
        for weight in (self.mean, self.log_deviation):
            nn.init.xavier_uniform_(weight)
        self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.norm_events, self.norm_slots, self.norm_inner = (nn.LayerNorm(dim) for _ in range(3))
        self.unit = nn.GRUCell(dim, dim)
        self.inner = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, x_MD: Tensor, segment_M: Tensor, count: int) -> Tensor:
        """Slots of ``count`` sessions, none of them empty: (S, K, D). ``segment``: the session of every event."""
        slot_SKD = self.mean.expand(count, -1, -1)
        if self.training:
            slot_SKD = slot_SKD + self.log_deviation.exp() * torch.randn_like(slot_SKD)
        x_MD = self.norm_events(x_MD)
        key_MD, value_MD = self.key(x_MD) * x_MD.shape[-1] ** -0.5, self.value(x_MD)
        for _ in range(self.steps):
            query_SKD = self.query(self.norm_slots(slot_SKD))
            logit_MK = torch.einsum("md,mkd->mk", key_MD, query_SKD.index_select(0, segment_M))
            share_MK = logit_MK.softmax(-1).to(slot_SKD.dtype) + SMALL
            mass_SK = segment_sum(share_MK, segment_M, count)
            read_SKD = segment_sum(share_MK[..., None] * value_MD[:, None], segment_M, count) / mass_SK[..., None]
            moved_D = self.unit(read_SKD.flatten(0, 1), slot_SKD.flatten(0, 1))
            slot_SKD = moved_D.view_as(slot_SKD)
            slot_SKD = slot_SKD + self.inner(self.norm_inner(slot_SKD))
        return slot_SKD


class SlotTransfer(nn.Module):
    """y = x + g * z: z is the softmax of x^T W Z_m over the slots, times them; g = sigmoid(W_g [x; z]): equation 6.16."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.match, self.gate = nn.Linear(dim, dim, bias=False), nn.Linear(2 * dim, dim, bias=False)

    def forward(self, x_MD: Tensor, segment_M: Tensor, slot_CKD: Tensor, there_CK: Tensor) -> Tensor:
        """Events (M, D) with what they read in the slots of their query, ``segment``; x where it has none.

        ``there``: whether a query has a slot.
        """
        if not slot_CKD.shape[1]:
            return x_MD
        slot_MKD, there_MK = slot_CKD.index_select(0, segment_M), there_CK[segment_M]
        logit_MK = torch.einsum("md,mkd->mk", self.match(x_MD), slot_MKD.to(x_MD.dtype))
        logit_MK = logit_MK.masked_fill(~there_MK, torch.finfo(logit_MK.dtype).min)
        z_MD = torch.einsum("mk,mkd->md", logit_MK.softmax(-1) * there_MK, slot_MKD)
        return x_MD + torch.sigmoid(self.gate(torch.cat([x_MD, z_MD], -1))) * z_MD


class EventReadout(nn.Module):
    """W_3 [sum_k a_k y_k; y_last] with a_k = p^T sigmoid(W_1 y_last + W_2 y_k + c), no softmax: equations 4.8 and 4.9."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.last, self.each = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.weight, self.out = nn.Parameter(torch.empty(dim)), nn.Linear(2 * dim, dim, bias=False)
        nn.init.uniform_(self.weight, -(dim**-0.5), dim**-0.5)

    def forward(self, y_MD: Tensor, segment_M: Tensor, count_C: Tensor) -> Tensor:
        """Vectors (C, D) of queries with ``count`` events each, at least one."""
        last_CD = y_MD[count_C.cumsum(0) - 1]
        share_M = torch.sigmoid(self.last(last_CD).index_select(0, segment_M) + self.each(y_MD)) @ self.weight
        pooled_CD = segment_sum(share_M[:, None].to(y_MD.dtype) * y_MD, segment_M, len(count_C))
        vector_CD: Tensor = self.out(torch.cat([pooled_CD, last_CD], -1))
        return vector_CD
