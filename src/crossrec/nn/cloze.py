"""Histories with hidden events: which are hidden, and a Transformer that looks both ways and says what they were.

Source: specs of DDGHM, section 4.3. b rows and l places of a chunk, m places of every row that are asked, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.histories import History, like_lengths
from crossrec.nn.dropout import dropout


@dataclass(frozen=True)
class Cloze:
    """A chunk of rows with hidden events."""

    item_bl: Tensor
    """Global ids, 0 behind the end of a row; a hidden one is not looked at."""
    length_b: Tensor
    hidden_bl: Tensor
    """Which events are hidden."""
    place_bm: Tensor
    """Where they are; any other place in a row that has fewer."""
    asked_bm: Tensor
    """Whether they are there."""

    @property
    def answers(self) -> Tensor:
        """The hidden items, row by row: (N,)."""
        return self.item_bl.gather(1, self.place_bm)[self.asked_bm]


def scattered(item_bl: Tensor, length_b: Tensor, share: float) -> Cloze:
    """Rows with a share of their events hidden, rounded and at least one, at random places."""
    place_l = torch.arange(item_bl.shape[1], device=item_bl.device)
    key_bl = torch.rand(item_bl.shape, device=item_bl.device).masked_fill(place_l >= length_b[:, None], 2.0)
    order_bl = key_bl.argsort(1)
    count_b = (length_b * share).round().long().clamp(min=1)
    place_bm = order_bl[:, : int(count_b.max())]
    hidden_bl = torch.zeros_like(order_bl).scatter_(1, order_bl, place_l.expand_as(order_bl)) < count_b[:, None]
    return Cloze(item_bl, length_b, hidden_bl, place_bm, place_l[: place_bm.shape[1]] < count_b[:, None])


def last_hidden(item_bl: Tensor, length_b: Tensor) -> Cloze:
    """Rows with their last event hidden, and no other."""
    place_b1 = length_b[:, None] - 1
    hidden_bl = torch.arange(item_bl.shape[1], device=item_bl.device) == place_b1
    return Cloze(item_bl, length_b, hidden_bl, place_b1, torch.ones_like(place_b1, dtype=torch.bool))


class Question(NamedTuple):
    """Beginnings of rows with one hidden event behind them, and which of all asked beginnings they are."""

    cloze: Cloze
    number_b: Tensor


def questions(history: History, most: int) -> tuple[list[Question], Tensor]:
    """What the queries of a history know, the latest ``most`` - 1 events of it, and one hidden event more.

    Beginnings of like length are chunked together. Also the number of the beginning that every query knows, (P,).
    """
    device = history.at_P.device
    none = torch.zeros(1, dtype=torch.int64, device=device)
    item_T1 = torch.cat([*(chunk.flatten() for chunk in history.chunks), none])
    known_T1 = torch.cat(
        [*(torch.arange(1, c.shape[1] + 1, device=device).repeat(c.shape[0]) for c in history.chunks), none]
    )
    place_U, session_P = torch.unique(history.at_P, return_inverse=True)
    known_U = known_T1[place_U].clamp(max=most - 1)
    order_U = known_U.argsort(stable=True)
    found = []
    for a, b in like_lengths((known_U[order_U] + 1).cpu().numpy()):
        number_b = order_U[a:b]
        known_b1, place_b1 = known_U[number_b, None], place_U[number_b, None]
        place_l = torch.arange(int(known_b1[-1]) + 1, device=device)
        at_bl = torch.where(place_l < known_b1, place_b1 + 1 - known_b1 + place_l, len(item_T1) - 1)
        found.append(Question(last_hidden(item_T1[at_bl], known_b1[:, 0] + 1), number_b))
    return found, session_P


class LooksBothWays(nn.Module):
    """Multi-head attention in which asked places of a row see all its events."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key_value, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, q_bmD: Tensor, x_blD: Tensor, inside_bl: Tensor) -> Tensor:
        """Attend from ``q`` to the places of ``x`` that are inside their rows."""
        dim = q_bmD.shape[-1]
        q_bHmd = self.query(q_bmD).unflatten(-1, (self.heads, -1)).transpose(1, 2) * (dim // self.heads) ** -0.5
        k_bHld, v_bHld = self.key_value(x_blD).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        logit = (q_bHmd @ k_bHld.transpose(-1, -2)).masked_fill(~inside_bl[:, None, None], -torch.inf)
        weight = dropout(logit.softmax(-1), self.dropout, self.training)
        mixed: Tensor = self.out((weight @ v_bHld).transpose(1, 2).flatten(2))
        return mixed


class Layer(nn.Module):
    """One Transformer layer, normalised behind its residual sums: attention, and a layer four times as wide with GELU."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.attention = LooksBothWays(dim, heads, dropout)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.norm_y, self.norm_h = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x_blD: Tensor, inside_bl: Tensor, place_bm: Tensor | None) -> Tensor:
        """One layer over all places, or at the asked ones of every row alone: to (b, l, D) or (b, m, D)."""
        q_bmD = x_blD if place_bm is None else _at(x_blD, place_bm)
        heard = dropout(self.attention(q_bmD, x_blD, inside_bl), self.dropout, self.training)
        y_bmD = self.norm_y(q_bmD + heard)
        thought = dropout(self.down(F.gelu(self.up(y_bmD))), self.dropout, self.training)
        h_bmD: Tensor = self.norm_h(y_bmD + thought)
        return h_bmD


class Guesser(nn.Module):
    """Rows with hidden events to what their items' vectors ought to be. Source: specs of DDGHM, 4.11.

    Positions count from the first event that is looked at. All weights are drawn normal with deviation .02, cut at twice
    that; biases are 0.
    """

    def __init__(self, dim: int, *, blocks: int, heads: int, dropout: float, max_len: int) -> None:
        super().__init__()
        self.dropout = dropout
        self.hidden = nn.Parameter(torch.empty(dim))
        self.positions = nn.Parameter(torch.empty(max_len, dim))
        self.layers = nn.ModuleList(Layer(dim, heads, dropout) for _ in range(blocks))
        self.norm_x, self.norm_o, self.out = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.Linear(dim, dim)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1 or name == "hidden":
                draw(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, cloze: Cloze, e_blD: Tensor) -> Tensor:
        """Guesses o_ND of the hidden items, row by row. ``e``: vectors of all items, hidden ones' of no matter."""
        place_l = torch.arange(e_blD.shape[1], device=e_blD.device)
        e_blD = torch.where(cloze.hidden_bl[..., None], self.hidden, e_blD)
        x_blD = dropout(self.norm_x(e_blD + self.positions[: len(place_l)]), self.dropout, self.training)
        inside_bl = place_l < cloze.length_b[:, None]
        for number, layer in enumerate(self.layers, 1):
            x_blD = layer(x_blD, inside_bl, cloze.place_bm if number == len(self.layers) else None)
        o_ND: Tensor = self.norm_o(F.gelu(self.out(x_blD[cloze.asked_bm])))
        return o_ND


def draw(weight: Tensor) -> None:
    """First values of a weight: normal with deviation .02, cut at twice that."""
    nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04)


def _at(x_blD: Tensor, place_bm: Tensor) -> Tensor:
    return x_blD.gather(1, place_bm[..., None].expand(-1, -1, x_blD.shape[2]))
