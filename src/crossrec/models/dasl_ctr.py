"""DASL as its paper makes it: GRUs over short histories of all domains, one attention over them, and a perceptron that scores a
candidate (Li et al. 2021).

Source: specs of DDGHM, section 6.5. P queries, K latest events, X domains, N events or items, V items, U users, D width, H
width of a state. :class:`~crossrec.models.dasl.DASL` is another system, which was adapted from this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from crossrec.data.batches import Batch, Views
from crossrec.data.histories import History
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import EveryDomain
from crossrec.models.users import LONGEST, TRAINING, UNIFORM
from crossrec.nn.by_domain import by_domain, numbers
from crossrec.nn.dropout import dropout
from crossrec.nn.items import ItemTable
from crossrec.nn.pair_perceptron import in_blocks
from crossrec.nn.users import UserTable

SLOPE = 4.0
"""Gain of the perceptron's first weights (ours): the slope of a sigmoid is a quarter."""


@dataclass(frozen=True)
class DASLCTRConfig:
    """Settings of DASL for click prediction."""

    dim: int = 64
    """Width of user and item vectors (published code)."""
    hidden: int = 64
    """Width of the states of the recurrences (ours; published code: 128)."""
    attention: int = 20
    """Width of the hidden layer of the attention (published code)."""
    layers: tuple[int, int] = (80, 40)
    """Widths of the two layers of the perceptron (published code)."""
    window: int = 10
    """Latest events of each domain that are looked at (published code)."""
    dropout: float = 0.1
    """Dropout of what the recurrences read, in training alone (published code, whose 0.1 is the share that it keeps)."""
    orthogonal: float = 1.0
    """Weight of the alignment of the domains' user vectors (specs of DDGHM, 6.5)."""
    std: float = 0.5
    """Deviation of the normal distribution that user and item vectors are drawn from (ours)."""


class Window(NamedTuple):
    """The latest events that each query knows of one domain, oldest first."""

    item_PK: Tensor
    """Their ids, left-aligned, 0 behind the last."""
    count_P: Tensor


class Tower(nn.Module):
    """What a domain that is asked for has of its own: the attention over all events, and the perceptron over a candidate."""

    def __init__(self, dim: int, hidden: int, attention: int, layers: tuple[int, int]) -> None:
        super().__init__()
        self.inner = nn.Linear(hidden, attention)
        self.outer = nn.Linear(attention, 1, bias=False)
        self.query = nn.Linear(hidden, layers[0])
        self.user = nn.Linear(dim, layers[0], bias=False)
        self.item = nn.Linear(dim, layers[0], bias=False)
        self.second = nn.Linear(layers[0], layers[1])
        self.last = nn.Linear(layers[1], 1)
        for half in (self.query, self.user, self.item):
            bound = SLOPE * math.sqrt(6 / (hidden + 2 * dim + layers[0]))
            nn.init.uniform_(half.weight, -bound, bound)
        for layer in (self.second, self.last):
            nn.init.xavier_uniform_(layer.weight, SLOPE)
        for layer in (self.query, self.second, self.last):
            nn.init.zeros_(layer.bias)

    def forward(self, sum_NH: Tensor) -> Tensor:
        """Logits (...) by the sums (..., H) of all shares of the first layer."""
        logit: Tensor = self.last(self.second(sum_NH.sigmoid()).sigmoid())[..., 0]
        return logit


class DASLCTR(EveryDomain):
    """logit = b_i + b_u + MLP([q; e_i; p_u]), with sigmoid layers; q = sum over own events of a_k o_k.

    o = GRU over [e_item; p_u] of the latest ``window`` events of a domain, u's vector being that of the domain asked for; the
    attention a = softmax(u' tanh(W o + b)) is over the events of all domains together, and is not normalised again. The other
    domains' events reach q by what they take of the weights, and by the vectors and recurrences, which are shared.

    Events are those strictly before the asked place, of all domains; the published program ends the history with the
    candidate itself, aligns domains by index, and drops 90 % at test. Its batch normalisation has no batch: it is an affine
    map, which the first layer of the perceptron contains.

    Users have a vector and a bias per domain. ``auxiliary`` holds, for every source domain d, W_d p_u^d near the target's
    p_u (one minus the cosine, mean over the batch's users with training events in both) and W_d near orthogonal, in every
    step (published: one step an epoch). Strangers, and users without a training event in the domain asked for: see
    :class:`~crossrec.nn.users.UserTable`, by the events of that domain.

    For any number of domains (ours; published: two), also for one: a recurrence, an attention and a perceptron each.
    Published, each of 4 negatives counts as much as a positive; here the four together do.
    """

    name = "dasl-ctr"
    Config = DASLCTRConfig
    product = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "lr": 3e-3}, "sampler": UNIFORM},
        "paper": {
            "model": {"hidden": 128},
            "train": {
                **TRAINING,
                "betas": (0.9, 0.999),
                "batch": 16,
                "clip": 1.0,
                "epochs": 100,
                "eval_every": 1,
                "patience": 10,
            },
            "sampler": UNIFORM,
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        config: DASLCTRConfig = self.config
        self.table = ItemTable(catalogue, self.reads, config.dim + 1)
        self.users = nn.ModuleList(UserTable(catalogue, [name], config.dim + 1, config.std) for name in self.reads)
        self.table.weight.data[1:].normal_(std=config.std)
        for weight in (self.table.weight, *(self.people(x).weight for x in range(len(self.reads)))):
            weight.data[:, -1] = 0
        self.recurrences = nn.ModuleList(nn.GRU(2 * config.dim, config.hidden) for _ in self.reads)
        self.towers = nn.ModuleList(
            Tower(config.dim, config.hidden, config.attention, config.layers) for _ in self.reads
        )
        self.maps = nn.ParameterList(nn.init.orthogonal_(torch.empty(config.dim, config.dim)) for _ in self.sources)

    def people(self, x: int) -> UserTable:
        """Vectors and biases of users in the domain of this number."""
        found = self.users[x]
        assert isinstance(found, UserTable)
        return found

    def tower(self, x: int) -> Tower:
        """The attention and the perceptron of the domain of this number."""
        found = self.towers[x]
        assert isinstance(found, Tower)
        return found

    def views(self) -> Views:
        return Views({name: (name,) for name in self.reads}, LONGEST)

    def learn(self, split: Split) -> None:
        for x in range(len(self.reads)):
            self.people(x).learn(split)

    def queries(self, batch: Batch) -> Tensor:
        """[W_q q + W_p p_u + b; b_u]: what a candidate is not needed for, (P, H + 1)."""
        windows = [latest(batch.histories[name], self.config.window) for name in self.reads]

        def asking(x: int, chosen: Tensor) -> Tensor:
            name, tower = self.reads[x], self.tower(x)
            known = [batch.asking(name, chosen).histories[name]]
            p_CD, bias_C1 = self.people(x)(batch.user_P[chosen], known).split([self.config.dim, 1], 1)
            q_CH = self.attended(x, p_CD, [Window(w.item_PK[chosen], w.count_P[chosen]) for w in windows])
            return torch.cat([tower.query(q_CH) + tower.user(p_CD), bias_C1], 1)

        return by_domain(self.asked(batch), asking)

    def attended(self, x: int, p_PD: Tensor, windows: list[Window]) -> Tensor:
        """q_PH of queries for the domain of this number, by their users' vectors there and their events of every domain."""
        tower = self.tower(x)
        states = [self.states(y, p_PD, window) for y, window in enumerate(windows)]
        weights = [tower.outer(tower.inner(o_PKH).tanh())[..., 0] for o_PKH in states]
        known = [_inside(window) for window in windows]
        logit_PK = torch.cat(weights, 1).masked_fill(~torch.cat(known, 1), -torch.inf)
        blank_P1 = ~torch.cat(known, 1).any(1, keepdim=True)
        weight_PK = logit_PK.masked_fill(blank_P1, 0.0).softmax(1).masked_fill(blank_P1, 0.0)
        before = sum(each.shape[1] for each in known[:x])
        own_PK = weight_PK[:, before : before + known[x].shape[1]]
        return torch.einsum("pk,pkh->ph", own_PK, states[x])

    def states(self, y: int, p_PD: Tensor, window: Window) -> Tensor:
        """States o_PKH behind every event of a window of the domain of this number; zeros behind the last."""
        inside_PK = _inside(window)
        states_PKH = p_PD.new_zeros(*inside_PK.shape, self.config.hidden)
        if not inside_PK.numel() or not bool(inside_PK.any()):
            return states_PKH
        order_P = window.count_P.argsort(descending=True, stable=True)
        step_N, place_N = inside_PK[order_P].T.nonzero(as_tuple=True)
        row_N = order_P[place_N]
        e_ND = self.table(window.item_PK[row_N, step_N])[:, : self.config.dim]
        x_ND = dropout(torch.cat([e_ND, p_PD[row_N]], 1), self.config.dropout, self.training)
        count_K = inside_PK.sum(0)
        packed = PackedSequence(x_ND, count_K[count_K > 0].cpu())
        o_NH = self.recurrences[y](packed)[0].data
        return states_PKH.index_put((row_N, step_N), o_NH)

    def items(self, ids: Tensor) -> Tensor:
        """[W_e e_i; b_i]: what candidates add, (..., H + 1)."""
        row_ND, flat = self.table(ids.flatten()), ids.flatten()
        share_NH: Tensor = by_domain(numbers(flat, self.blocks), lambda x, chosen: self._share(x, row_ND[chosen]))
        share: Tensor = share_NH.unflatten(0, ids.shape)
        return share

    def item_block(self, domain: str) -> Tensor:
        return self._share(self.reads.index(domain), self.table.block(domain))

    def logits(self, query_PD: Tensor, vectors: Tensor, domain: str) -> Tensor:
        """What the rest of the domain's perceptron makes of the sums of the shares, and the biases."""
        tower = self.tower(self.reads.index(domain))

        def score(query: Tensor, item: Tensor) -> Tensor:
            pair = query + item
            logit: Tensor = tower(pair[..., :-1]) + pair[..., -1]
            return logit

        return in_blocks(score, query_PD, vectors, query_PD.shape[1])

    def auxiliary(self, batch: Batch) -> Tensor | None:
        """How far the domains' user vectors are from each other's turned ones, and the maps from orthogonal: ()."""
        if not self.sources or not self.config.orthogonal:
            return None
        user_N = batch.user_P[batch.user_P >= 0].unique()
        total: Tensor = self.maps[0].new_zeros(())
        for x, map_DD in enumerate(self.maps, start=1):
            both_N = user_N[self.people(0).trained_U[user_N] & self.people(x).trained_U[user_N]]
            own_ND, other_ND = (
                F.embedding(both_N, self.people(y).weight, sparse=True)[:, : self.config.dim] for y in (0, x)
            )
            apart = (1 - F.cosine_similarity(other_ND @ map_DD.T, own_ND)).sum() / max(1, len(both_N))
            crooked = (map_DD.T @ map_DD - torch.eye(len(map_DD), dtype=map_DD.dtype, device=map_DD.device)).square()
            total = total + apart + crooked.sum()
        return float(self.config.orthogonal) * total

    def _share(self, x: int, row_ND: Tensor) -> Tensor:
        return torch.cat([self.tower(x).item(row_ND[:, :-1]), row_ND[:, -1:]], 1)


def latest(history: History, most: int) -> Window:
    """The last events that every query knows of a history, ``most`` at most."""
    none = torch.zeros(0, dtype=torch.int64, device=history.at_P.device)
    item_T = torch.cat([*(chunk.flatten() for chunk in history.chunks), none.new_zeros(1)])
    step_T = torch.cat(
        [
            *(torch.arange(1, c.shape[1] + 1, device=none.device).repeat(len(c)) for c in history.chunks),
            none.new_zeros(1),
        ]
    )
    count_P = step_T[history.at_P].clamp(max=most)
    place_K = torch.arange(int(count_P.max()) if len(count_P) else 0, device=none.device)
    place_PK = history.at_P[:, None] + 1 - count_P[:, None] + place_K
    inside_PK = place_K < count_P[:, None]
    return Window(torch.where(inside_PK, item_T[torch.where(inside_PK, place_PK, 0)], 0), count_P)


def _inside(window: Window) -> Tensor:
    place_K = torch.arange(window.item_PK.shape[1], device=window.item_PK.device)
    return place_K < window.count_P[:, None]
