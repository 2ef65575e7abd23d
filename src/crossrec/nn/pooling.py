"""Additive attention that pools histories: one softmax over all that a query knows, in however many histories.

The logit of a state does not depend on who asks, so what the queries of a row need are running sums along the row. They
are taken relative to the running maximum of the logits, by doubling: no logit is too small or too large, nothing of
the future gets in, not even by rounding, and T places cost T log(longest row) sums instead of a product per query and
place. Shapes: T places of all chunks, P queries, D width, b rows and l places of a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from crossrec.data.histories import History


class JointPooling(nn.Module):
    """Weights a = softmax(w^T tanh(W h + b)) over the states of all histories together; pools each history's own part."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(dim, dim), nn.Linear(dim, 1, bias=False)
        for linear in (self.inner, self.outer):
            nn.init.xavier_normal_(linear.weight)

    def forward(self, states: Mapping[str, tuple[History, Tensor]]) -> dict[str, Tensor]:
        """Pooled states c_PD of every history, from it and its states h_TD; 0 where a query knows nothing of it.

        The weights of a query sum to 1 over all histories, not within each.
        """
        known = {name: known_sums(history, self.logits(h_TD), h_TD) for name, (history, h_TD) in states.items()}
        peak_P = torch.stack([peak_P for peak_P, _ in known.values()]).amax(0)
        scaled = {name: sum_PD1 * (own_P - peak_P).exp()[:, None] for name, (own_P, sum_PD1) in known.items()}
        mass_P = torch.stack([sum_PD1[:, -1] for sum_PD1 in scaled.values()]).sum(0)
        mass_P = mass_P.clamp(min=1)  # the largest logit alone weighs 1: smaller is only the mass of nothing
        return {name: sum_PD1[:, :-1] / mass_P[:, None] for name, sum_PD1 in scaled.items()}

    def logits(self, h_TD: Tensor) -> Tensor:
        """Logits (T,) of states."""
        logit_T: Tensor = self.outer(torch.tanh(self.inner(h_TD)))[:, 0]
        return logit_T.to(h_TD.dtype)


def known_sums(history: History, logit_T: Tensor, h_TD: Tensor) -> tuple[Tensor, Tensor]:
    """What every query knows of a history: the largest logit, (P,), and the sums of :func:`running_sums`, (P, D + 1).

    Where it knows nothing the sums are 0, and the logit is less than any.
    """
    peaks, sums, at = [], [], 0
    for chunk in history.chunks:
        here = slice(at, at + chunk.numel())
        peak_bl, sum_blD1 = running_sums(logit_T[here].view(chunk.shape), h_TD[here].view(*chunk.shape, -1))
        peaks.append(peak_bl.flatten())
        sums.append(sum_blD1.flatten(0, 1))
        at = here.stop
    peaks.append(logit_T.new_full((1,), torch.finfo(logit_T.dtype).min))
    sums.append(h_TD.new_zeros(1, h_TD.shape[1] + 1))
    return torch.cat(peaks)[history.at_P], torch.cat(sums)[history.at_P]


def running_sums(logit_bl: Tensor, h_blD: Tensor) -> tuple[Tensor, Tensor]:
    """Running maximum m of the logits along every row, (b, l), and running sums of exp(logit - m) h, (b, l, D + 1).

    The last column is the running sum of exp(logit - m) itself.
    """
    peak_bl = logit_bl.detach().cummax(1).values
    ones_bl1 = torch.ones_like(h_blD[..., :1])
    sum_blD1 = torch.cat([h_blD, ones_bl1], -1) * (logit_bl - peak_bl).exp()[..., None]
    reach = 1
    while reach < logit_bl.shape[1]:
        fade = (peak_bl[:, :-reach] - peak_bl[:, reach:]).exp()[..., None]
        sum_blD1 = torch.cat([sum_blD1[:, :reach], sum_blD1[:, reach:] + fade * sum_blD1[:, :-reach]], 1)
        reach *= 2
    return peak_bl, sum_blD1
