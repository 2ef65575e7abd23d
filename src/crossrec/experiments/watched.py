"""A sampler whose negatives are looked at as they pass: later clicked or not, how near the top, and what the truth says.

Shapes: P queries, K negatives of each, M negatives shared by all queries, N queries that are looked at closely, V items
of the domain, U users, S pairs of a user and a held-out item, D width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.planted import Singles
from crossrec.data.splits import Split
from crossrec.data.splits.parts import everything
from crossrec.data.vocabulary import Ints
from crossrec.models.base import Model, still
from crossrec.samplers.base import Negatives, Sampler, SeenPairs
from crossrec.streams import derive

EVERY = 4
"""Ranks and truth are looked up in every so many batches (ours)."""
LEAST, MOST, SCORES = 32, 512, 2**19
"""And there for as many queries as make so many scores of all items of the domain, between these bounds (ours)."""
TOP = 0.01
"""Share of a domain's items that counts as what a user truly wants (ours)."""

Truth = Callable[[str, Ints], Singles]
"""How much users (N,) want every item of a domain, (N, V), 0 or more: :class:`~crossrec.data.truth.PlantedTruth`, or any."""
Sums = defaultdict[str, float]


class HeldOut(SeenPairs):
    """The items of a domain that each user has outside the training rows and not in them."""

    def __init__(self, split: Split, domain: str, device: torch.device) -> None:
        everyone = everything(split.data, np.arange(split.data.num_users))
        super().__init__(split.events, everyone, domain, device)
        trained = SeenPairs(split.events, split.train, domain, device)
        self.key_S = self.key_S[~torch.isin(self.key_S, trained.key_S)]
        first_U1 = torch.arange(split.data.num_users + 1, device=device) * self.num_ids
        self.offset_U1 = torch.searchsorted(self.key_S, first_U1)
        unseen_U = len(split.data.catalogue.block(domain)) - torch.searchsorted(trained.key_S, first_U1).diff()
        self.share_U = self.offset_U1.diff() / unseen_U.clamp(min=1)
        """Share of the held-out items among all that the user has not in training."""

    def count(self, user_P: Tensor, ids: Tensor) -> int:
        """How many of the negatives, (P, K) or (M,) shared by all queries, the query's user has held out."""
        if ids.ndim == 2:
            return int(self.contains(user_P, ids).sum())
        times_S = torch.bincount(ids, minlength=self.num_ids)[self.key_S % self.num_ids]
        upto_S1 = torch.cat([times_S.new_zeros(1), torch.cumsum(times_S, 0)])
        return int((upto_S1[self.offset_U1[user_P + 1]] - upto_S1[self.offset_U1[user_P]]).sum())


class Watch:
    """What is known and counted: one for all copies of a watched sampler, which the trainer makes per phase and domain."""

    def __init__(self, split: Split, truth: Truth | None = None) -> None:
        self.split, self.truth = split, truth
        self.sums: dict[str, dict[str, Sums]] = {}
        """Of the epoch: per domain and kind (``drawn``, ``hard``)."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Watch:
        return self

    def begin(self, domain: str) -> None:
        """A new epoch: nothing is counted yet."""
        self.sums[domain] = {"drawn": Sums(float), "hard": Sums(float)}


class Watched(Sampler):
    """Another sampler that is watched: same name, same settings, same draws, and no random number of the run is used."""

    def __init__(self, inner: Sampler, watch: Watch) -> None:
        vars(self).update(name=inner.name, Config=inner.Config)
        self.config, self.inner, self.watch = inner.config, inner, watch

    def prepare(self, split: Split, domain: str, device: torch.device) -> None:
        self.inner.prepare(split, domain, device)
        self.domain, self.block, self.device = domain, split.data.catalogue.block(domain), device
        self.held = HeldOut(self.watch.split, domain, device)

    def begin_epoch(self, model: Model, epoch: int, generator: torch.Generator) -> None:
        self.inner.begin_epoch(model, epoch, generator)
        self.watch.begin(self.domain)
        self.batches = 0
        self.choosing = torch.Generator().manual_seed(derive(epoch, f"watched {self.domain}"))

    def draw(self, batch: Batch, query_PD: Tensor, model: Model, count: int, generator: torch.Generator) -> Negatives:
        drawn = self.inner.draw(batch, query_PD, model, count, generator)
        self.look(batch, query_PD, model, drawn)
        return drawn

    def facts(self) -> dict[str, float]:
        return self.inner.facts()

    def state(self) -> dict[str, Tensor]:
        return self.inner.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.inner.load_state(state)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch has no types for it
    def look(self, batch: Batch, query_PD: Tensor, model: Model, drawn: Negatives) -> None:
        """Count the negatives of a batch; of some batches look at some queries closely."""
        kinds = {"drawn": drawn} | ({} if drawn.hard is None else {"hard": drawn.hard})
        sums = self.watch.sums[self.domain]
        for kind, negatives in kinds.items():
            self._count(sums[kind], batch.user_P, negatives)
        if self.batches % EVERY == 0:
            with still(model), torch.autocast(query_PD.device.type, enabled=False):
                self._look_closely(sums, batch, query_PD, model, kinds)
        self.batches += 1

    def _count(self, sums: Sums, user_P: Tensor, negatives: Negatives) -> None:
        known = negatives.ids if negatives.vectors is None else negatives.vectors[..., 0]
        assert known is not None
        slots = len(user_P) * known.shape[-1]
        sums["negatives"] += slots
        if negatives.vectors is None:
            sums["named"] += slots
            sums["later"] += self.held.count(user_P, known)
            sums["expected"] += float(self.held.share_U[user_P].double().sum()) * known.shape[-1]

    def _look_closely(
        self, sums: Mapping[str, Sums], batch: Batch, query_PD: Tensor, model: Model, kinds: Mapping[str, Negatives]
    ) -> None:
        number = min(max(SCORES // len(self.block), LEAST), MOST)
        chosen_N = torch.randperm(len(batch), generator=self.choosing)[:number].to(self.device)
        query_ND = model.selection_queries(batch)[chosen_N].float()
        score_NV = model.logits(query_ND, model.item_block(self.domain).float(), self.domain)
        wanted_NV = None
        if self.watch.truth is not None:
            wanted = self.watch.truth(self.domain, batch.user_P[chosen_N].cpu().numpy())
            wanted_NV = torch.as_tensor(wanted, device=self.device).float()
        for kind, negatives in kinds.items():
            if negatives.vectors is not None:
                vector_NKD = negatives.vectors[chosen_N].float()
                _rank(sums[kind], score_NV, model.logits(query_ND, vector_NKD, self.domain), own=0)
                continue
            assert negatives.ids is not None
            ids_NK = negatives.ids[chosen_N] if negatives.ids.ndim == 2 else negatives.ids.expand(len(chosen_N), -1)
            place_NK = ids_NK - self.block.start
            _rank(sums[kind], score_NV, score_NV.gather(1, place_NK), own=1)
            if wanted_NV is not None:
                _judge(sums[kind], wanted_NV, place_NK)


def _rank(sums: Sums, score_NV: Tensor, score_NK: Tensor, own: int) -> None:
    """Ranks from 0 to 1, ties in the middle. ``own``: 1 where the negatives are items themselves, and so are one of them."""
    size = score_NV.shape[1]
    sorted_NV = torch.sort(score_NV, 1).values
    above_NK = size - torch.searchsorted(sorted_NV, score_NK, right=True)
    equal_NK = size - torch.searchsorted(sorted_NV, score_NK) - above_NK - own
    sums["ranked"] += score_NK.numel()
    sums["rank"] += float((above_NK + equal_NK / 2).double().sum()) / max(size - own, 1)


def _judge(sums: Sums, wanted_NV: Tensor, place_NK: Tensor) -> None:
    least_N1 = wanted_NV.topk(max(1, round(TOP * wanted_NV.shape[1])), 1).values[:, -1:]
    wanted_NK = wanted_NV.gather(1, place_NK)
    mean_N1 = wanted_NV.mean(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    sums["judged"] += place_NK.numel()
    sums["top"] += int((wanted_NK >= least_N1).sum())
    sums["affinity"] += float((wanted_NK / mean_N1).double().sum())
