"""What one domain passes on to another where several people may share an account: π-Net's filter, PSJNet-II's split and join.

Source: specs of DDGHM, sections 6.1 and 6.2. Packed rows as in :mod:`crossrec.nn.timelines`: N events, D width, M members
(or roles), C queries; Q of what each of them knows, end to end.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.nn.dropout import dropout
from crossrec.nn.recurrent_steps import filter_steps, gated_steps

ELEMENTS = 1 << 24
"""Numbers of scored parts that are held at once where no gradient is wanted."""


def kernel(*shape: int) -> nn.Parameter:
    """A matrix for ``x @ kernel``, Xavier-normal."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(shape)))


class Cell(nn.Module):
    """Base of a recurrent cell: dropout on what goes in, on what comes out and, drawn apart, on the state that is carried."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def drop(self, x: Tensor) -> Tensor:
        """``x`` with dropout, in training."""
        return dropout(x, self.share, self.training)

    def keep(self, x_ND: Tensor) -> Tensor | None:
        """What the carried states are multiplied with; None: they are carried as they are."""
        return self.drop(torch.ones_like(x_ND)) if self.training and self.share else None


class GatedUnit(Cell):
    """A gated recurrent unit from a zero state, the reset gate applied before the recurrent product; gate biases start at 1."""

    def __init__(self, dim: int, share: float) -> None:
        """``share``: dropout on input, output and state."""
        super().__init__(share)
        self.dim = dim
        self.gate, self.new = kernel(2 * dim, 2 * dim), kernel(2 * dim, dim)
        self.bias = nn.Parameter(torch.cat([torch.ones(2 * dim), torch.zeros(dim)]))

    def forward(self, x_ND: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """States h_ND after every event."""
        dim = self.dim
        input_N3D = self.drop(x_ND) @ torch.cat([self.gate[:dim], self.new[:dim]], 1) + self.bias
        return self.drop(gated_steps(input_N3D, sizes, self.gate[dim:], self.new[dim:], self.keep(x_ND)))


class SharedAccountFilter(Cell):
    """What of one domain's states is passed on, member by member, given the other domain's states; and the unit that reads it.

    A gate f_m weighs the old mean state against what is new; the recurrence runs on the mean state s, never on the states
    of the unit that reads it (specs of DDGHM, equations 6.2 to 6.5).
    """

    def __init__(self, dim: int, members: int, share: float) -> None:
        """``members``: people who may share an account; ``share``: dropout on input, output and state."""
        super().__init__(share)
        self.dim = dim
        self.gate, self.new = kernel(3 * dim, dim), kernel(2 * dim, dim)
        self.member_gate, self.member_new = kernel(dim, dim), kernel(dim, dim)
        self.members = kernel(members, dim)
        self.bias = nn.Parameter(torch.ones(2 * dim))
        self.unit = GatedUnit(dim, share)

    def forward(self, h_ND: Tensor, g_ND: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """Transfer states t_ND. ``g``: the other domain's state that is known as of each event."""
        return self.unit(self.filtered(h_ND, g_ND, sizes), sizes)  # type: ignore[no-any-return]  # a module's call has no type

    def filtered(self, h_ND: Tensor, g_ND: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """Mean states s_ND of the filter."""
        dim, both_N2D = self.dim, self.drop(torch.cat([h_ND, g_ND], 1))
        input_N2D = torch.cat([both_N2D @ self.gate[: 2 * dim], both_N2D[:, :dim] @ self.new[:dim]], 1) + self.bias
        member_M2D = self.members @ torch.cat([self.member_gate, self.member_new], 1)
        state_D2D = torch.cat([self.gate[2 * dim :], self.new[dim:]], 1)
        return self.drop(filter_steps(input_N2D, sizes, member_M2D, state_D2D, self.keep(h_ND)))


class SplitAndJoin(nn.Module):
    """Splits one domain's states into parts by role, and joins all parts that a query knows by one attention over them.

    A reconstruction of PSJNet-II (specs of DDGHM, equations 6.7 and 6.8).
    """

    def __init__(self, dim: int, roles: int) -> None:
        super().__init__()
        self.gate, self.new = kernel(2 * dim, dim), kernel(dim, dim)
        self.role_gate, self.role_new = kernel(dim, dim), kernel(dim, dim)
        self.roles = kernel(roles, dim)
        self.gate_bias, self.new_bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.ones(dim))
        self.part, self.own, self.outer = kernel(dim, dim), kernel(dim, dim), kernel(dim, 1)
        self.bias = nn.Parameter(torch.zeros(dim))

    def split(self, h_ND: Tensor, g_ND: Tensor) -> Tensor:
        """Parts p_NMD of the states. ``g``: the other domain's state that is known as of each event."""
        gate_ND = torch.cat([h_ND, g_ND], 1) @ self.gate + self.gate_bias
        new_ND = h_ND @ self.new + self.new_bias
        f_NMD = torch.sigmoid(gate_ND[:, None] + self.roles @ self.role_gate)
        return f_NMD * torch.tanh(new_ND[:, None] + self.roles @ self.role_new)

    def join(self, p_NMD: Tensor, own_CD: Tensor, query_Q: Tensor, place_Q: Tensor) -> Tensor:
        """What each query makes of the parts that it knows, (C, D): 0 where it knows none.

        ``own``: its own domain's latest state. ``query``, ``place``: number of the query, ascending, and the event.
        """
        if not len(query_Q):
            return torch.zeros_like(own_CD)
        with torch.autocast(own_CD.device.type, enabled=False):
            roles, dim = p_NMD.shape[1:]
            a_QM = _shares(self._scores(p_NMD, own_CD, query_Q, place_Q), query_Q, len(own_CD))
            index_QM = place_Q[:, None] * roles + torch.arange(roles, device=place_Q.device)
            count_C = torch.bincount(query_Q, minlength=len(own_CD))
            return F.embedding_bag(
                index_QM.flatten(),
                p_NMD.reshape(-1, dim),
                (torch.cumsum(count_C, 0) - count_C) * roles,
                mode="sum",
                per_sample_weights=a_QM.flatten(),
            )

    def _scores(self, p_NMD: Tensor, own_CD: Tensor, query_Q: Tensor, place_Q: Tensor) -> Tensor:
        """Additive scores of the parts for the queries that know them: (Q, M)."""
        part_NMD, asks_CD = p_NMD @ self.part + self.bias, own_CD @ self.own
        roles, dim = part_NMD.shape[1:]
        scores = []
        size = max(1, ELEMENTS // (roles * dim))
        for query_q, place_q in zip(query_Q.split(size), place_Q.split(size), strict=True):
            part_qMD = F.embedding(place_q, part_NMD.flatten(1)).view(-1, roles, dim)
            scores.append((torch.tanh(part_qMD + F.embedding(query_q, asks_CD)[:, None]) @ self.outer)[..., 0])
        return torch.cat(scores)


def _shares(score_QM: Tensor, query_Q: Tensor, queries: int) -> Tensor:
    """The scores' softmax over all that a query knows: (Q, M)."""
    none_C = torch.full((queries,), -torch.inf, dtype=score_QM.dtype, device=score_QM.device)
    top_C = none_C.scatter_reduce(0, query_Q, score_QM.detach().amax(1), "amax")
    mass_QM = torch.exp(score_QM - top_C[query_Q, None])
    mass_C = torch.zeros_like(top_C).index_add(0, query_Q, mass_QM.sum(1))
    return mass_QM / mass_C[query_Q, None]
