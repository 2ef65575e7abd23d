"""RealHNS: real hard negatives from a band of the user's own ranking, general and cross-domain, with two curricula.

Source: specs of RealHNS, section 5. Shapes: P queries, G users of a batch, R training users, N candidates of each, H hard
negatives of each query, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.models.base import CrossDomainModel, Model
from crossrec.samplers import bands, clusters, curriculum, transfer
from crossrec.samplers.bands import Band
from crossrec.samplers.base import Negatives
from crossrec.samplers.curriculum import FilterConfig
from crossrec.samplers.hard import HardConfig, HardSampler
from crossrec.samplers.pools import Groups, among_top, hardest, mixed
from crossrec.samplers.transfer import Cross, looked_at
from crossrec.samplers.users import TrainingUsers

MEASURED = 64
"""Users whose approximate candidates are compared with the exact band, every epoch."""


UNIT = 1e-4
"""Item vectors of this much other length still count as unit vectors."""


@dataclass(frozen=True)
class RealHNSConfig(FilterConfig, HardConfig):
    """Settings of RealHNS. Every part can be switched off by itself."""

    gradual: bool = True
    """Curriculum of the number: hard negatives enter one by one (RealHNS, equation 7); off: all from the first epoch."""
    base: Literal["dns_star", "dns", "mixgcf"] = "dns_star"
    """The last choice among the candidates: any of the best, the best of a few, or that with a share of the positive."""
    band: tuple[float, ...] = (20.0, 30.0)
    """General coarse selector: per cent of the user's ranking that candidates come from (published code: toys 20 to 30,
    games 10 to 20)."""
    pool: int = 1000
    """Candidates of every user, drawn once per epoch from the band (RealHNS, settings)."""
    coarse: bool = True
    """General coarse selector; off: candidates are uniform."""
    filter_items: bool = True
    """Dynamic item-based filter: no candidate that is too similar to the positive."""
    gradual_filter: bool = True
    """Curriculum of the filter: strict first, lenient later (RealHNS, equation 4); off: lenient at once."""
    fine: bool = True
    """Fine selector: by the current scores; off: uniform among the candidates that pass the filter."""
    top: int = 100
    """``dns_star``: best candidates that hard negatives are drawn from (RealHNS, settings)."""
    candidates: int = 32
    """``dns`` and ``mixgcf``: candidates of every hard negative, of which the best is taken (ours)."""
    cross: bool = True
    """Cross-domain coarse and fine selectors, for a model that fuses one state per domain."""
    cross_slots: int = 2
    """The last this many hard negatives are cross-domain (RealHNS: 2 of 10)."""
    cross_band: tuple[float, ...] = (0.0, 30.0)
    """Per cent of the ranking by the transferred state that cross-domain candidates come from (RealHNS, settings)."""
    filter_users: bool = True
    """Dynamic user-based filter: cross-domain negatives for outliers alone; off: for everyone."""
    outliers: float = 0.1
    """Share of every user cluster that are outliers (RealHNS: toys .1, games .8)."""
    item_clusters: int = 100
    """Clusters of items, whose mean tightness is the scale of the filter (RealHNS, k_i)."""
    user_clusters: int = 20
    """Clusters of users by their state in a source domain (RealHNS, k_u)."""
    sample: int = 0
    """Approximate coarse selection for large catalogues: rank this many items, drawn every epoch, instead of all; 0: exact
    (ours; specs, section 11)."""


class RealHNS(HardSampler):
    """Hard negatives from the middle of the user's own ranking, kept away from the positive; some of them transferred.

    Once per epoch and user, without dropout: candidates from a band of the ranking by the state before the last training
    event. Per step and positive: those too similar to the positive are left out, and of the others hard negatives are
    chosen by current scores. Outliers, whose state in the target domain is least like that of their cluster (by a source
    domain), get cross-domain negatives in the last slots: candidates and scores by a state fused with the cluster's mean
    target state. With several source domains clusters, outliers and candidates are made per source, and the cross-domain
    slots go to the sources in turn, another one first every epoch. A model of one domain gets general ones alone.
    """

    name = "realhns"
    Config = RealHNSConfig

    def check(self) -> None:
        super().check()
        self.at_least(0, "cross_slots", "outliers", "sample")
        self.at_least(1, "strictness", "growth", "pool", "top", "candidates", "item_clusters", "user_clusters")
        self.band, self.cross_band = _band(self.config.band), _band(self.config.cross_band)

    def prepare(self, split: Split, domain: str, device: torch.device) -> None:
        super().prepare(split, domain, device)
        self.users = TrainingUsers(split, domain, device)
        self.pool_RN = torch.empty(0, device=device)
        self.crosses: list[Cross] = []
        self.threshold, self.slots, self.filled, self.unit = 0.0, 0, 0, False
        self.measured: dict[str, float] = {}
        self.centre_KD = torch.empty(0, device=device)

    def begin_epoch(self, model: Model, epoch: int, generator: torch.Generator) -> None:
        super().begin_epoch(model, epoch, generator)
        self.crosses, self.slots, self.filled, self.measured = [], 0, 0, {}
        if not self.number or not len(self.users):
            return
        with torch.no_grad():
            item_VD = model.item_block(self.users.domain)
            self.unit = bool((item_VD.norm(dim=1) - 1).abs().max() < UNIT)
            self._filter(item_VD, generator)
            if not (self.config.coarse or self._num_cross):
                return
            query_RD, states = self._states(model)
            if self.config.coarse:
                self.pool_RN = self._select(query_RD, item_VD, self.band, generator)
            if self._num_cross and states:
                assert isinstance(model, CrossDomainModel)
                self.crosses = [
                    self._cross(model, states, source, item_VD, generator)
                    for source in list(states)
                    if source != model.target
                ]

    def choose(self, batch: Batch, model: Model, number: int, generator: torch.Generator) -> Negatives:
        with torch.no_grad():
            item_VD = model.item_block(batch.domain)
            query_PD, states = looked_at(model, batch, bool(self.crosses))
            groups = Groups.of(batch.user_P)
            place_G = self.users.place_U[groups.user_G]
            if self.config.coarse:
                pool_GN = self.pool_RN[place_G].long()
            else:
                pool_GN = self.uniform.own(groups.user_G, self.config.pool, generator) - self.block.start
            column_PH = self._pick(batch, groups, query_PD, item_VD, pool_GN, number, generator)
            for turn, cross in enumerate(self.crosses):
                due = range(max(0, number - self._num_cross), number)
                slots = [slot for slot in due if (slot + self.epoch) % len(self.crosses) == turn]
                self._transfer(cross, slots, column_PH, batch, model, states, item_VD, generator)
            real_PH = column_PH >= 0
            self.slots, self.filled = self.slots + real_PH.numel(), self.filled + int(real_PH.sum())
            ids_PH = torch.where(real_PH, column_PH + self.block.start, 0)
            if not bool(real_PH.all()):
                ids_PH = torch.where(real_PH, ids_PH, self.uniform.own(batch.user_P, number, generator))
        if self.config.base != "mixgcf":
            return Negatives(ids_PH)
        share_PH = torch.rand(ids_PH.shape, generator=generator, device=ids_PH.device) * real_PH
        return Negatives(vectors=mixed(model.items(batch.positive_P), model.items(ids_PH), share_PH))

    def facts(self) -> dict[str, float]:
        """``filled``: share of the hard slots that hold a real hard negative, not a uniform one for want of candidates;
        ``threshold``: largest cosine with the positive, where there is a limit; ``outliers``: share of the users (per
        source, their mean); ``recall``: with ``sample``, share of the candidates that lie in the exact band.
        """
        if not self.slots:
            return {}
        limit = {"threshold": self.threshold} if math.isfinite(self.threshold) else {}
        return {"filled": self.filled / self.slots} | limit | self.measured

    def state(self) -> dict[str, Tensor]:
        """The centres of the item clusters: those of an epoch begin where those of the last one ended."""
        return {"centre_KD": self.centre_KD}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.centre_KD = state["centre_KD"].to(self.device)

    @property
    def _num_cross(self) -> int:
        """Cross-domain slots in this epoch: what exceeds the general ones, which come first."""
        general = max(0, self.config.hard - self.config.cross_slots)
        return max(0, self.number - general) if self.config.cross else 0

    def _filter(self, item_VD: Tensor, generator: torch.Generator) -> None:
        """The largest cosine that a candidate may have with the positive in this epoch: s_d without the temperature."""
        self.threshold = math.inf
        if not self.config.filter_items:
            return
        start_KD = self.centre_KD if len(self.centre_KD) else None
        found = clusters.kmeans(F.normalize(item_VD, dim=1), self.config.item_clusters, generator, start_KD)
        self.centre_KD, scale = found.centre_KD, found.scale()
        gradual = self.config.gradual_filter
        self.threshold = curriculum.threshold(self.config, self.epoch, scale) if gradual else scale

    def _states(self, model: Model) -> tuple[Tensor, dict[str, Tensor]]:
        """Every training user's query, and where cross-domain slots are due the state in every domain."""
        queries, states = [], []
        for batch in self.users.batches(model):
            query_BD, state = looked_at(model, batch, self._num_cross > 0)
            queries.append(query_BD)
            states.append(state)
        return torch.cat(queries), {name: torch.cat([state[name] for state in states]) for name in states[0]}

    def _select(self, query_RD: Tensor, item_VD: Tensor, band: Band, generator: torch.Generator) -> Tensor:
        sample = self.config.sample or None
        found_RN = bands.select(query_RD, item_VD, band, self.users.seen, self.config.pool, generator, sample)
        if sample is not None:
            some = torch.arange(min(MEASURED, len(query_RD)), device=query_RD.device)
            seen = self.users.seen.take(some)
            self.measured["recall"] = bands.recall(query_RD[some], item_VD, band, seen, found_RN[some].long())
        return found_RN

    def _cross(
        self,
        model: CrossDomainModel,
        states: Mapping[str, Tensor],
        source: str,
        item_VD: Tensor,
        generator: torch.Generator,
    ) -> Cross:
        """A source domain's clusters of users, the outliers and their cross-domain candidates."""
        config = self.config
        share = config.outliers if config.filter_users else None
        cross = transfer.find(source, model.target, states, config.user_clusters, share, generator)
        who, users = cross.outliers, len(cross.place_R)
        query_OD = cross.transferred(model, states, who, who)
        seen, sample = self.users.seen.take(who), config.sample or None
        pool_ON = bands.select(query_OD, item_VD, self.cross_band, seen, config.pool, generator, sample)
        self.measured["outliers"] = self.measured.get("outliers", 0.0) + len(who) / users / (len(states) - 1)
        return replace(cross, pool_ON=pool_ON)

    def _pick(
        self,
        batch: Batch,
        groups: Groups,
        query_PD: Tensor,
        item_VD: Tensor,
        pool_GN: Tensor,
        number: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Columns (P, H) of the items that are taken from the pools; -1 where nothing passes the filter."""
        left = [query_PD]
        if self.config.filter_items:
            positive_PD = item_VD[batch.positive_P - self.block.start]
            left.append(positive_PD)
        score_PSN = groups.scores(torch.stack(left, 1), item_VD, pool_GN)
        score_PN = score_PSN[:, 0] if self.config.fine else torch.zeros_like(score_PSN[:, 0])
        if self.config.filter_items:
            limit: Tensor | float = self.threshold
            if not self.unit:
                length_V = item_VD.norm(dim=1)
                limit = (
                    limit * length_V[batch.positive_P - self.block.start][:, None] * length_V[pool_GN][groups.group_P]
                )
            score_PN = score_PN.masked_fill(score_PSN[:, 1] > limit, -torch.inf)
        if self.config.base == "dns_star":
            top = self.config.top if self.config.fine else score_PN.shape[1]
            place_PH = among_top(score_PN, top, number, generator)
        else:
            place_PH = hardest(score_PN, self.config.candidates if self.config.fine else 1, number, generator)
        column_PH = pool_GN[groups.group_P].gather(1, place_PH)
        return torch.where(torch.isfinite(score_PN.gather(1, place_PH)), column_PH, -1)

    def _transfer(
        self,
        cross: Cross,
        slots: list[int],
        column_PH: Tensor,
        batch: Batch,
        model: Model,
        states: Mapping[str, Tensor],
        item_VD: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Put cross-domain negatives into some slots of the queries whose user is an outlier of a source."""
        assert isinstance(model, CrossDomainModel)
        row_P = self.users.place_U[batch.user_P]
        chosen_Q = (cross.place_R[row_P] >= 0).nonzero()[:, 0]
        if not len(chosen_Q) or not slots:
            return
        part = batch.asking(batch.domain, chosen_Q)
        inside = Groups.of(part.user_P)
        pool_GN = cross.pool_ON[cross.place_R[self.users.place_U[inside.user_G]]].long()
        query_QD = cross.transferred(model, states, row_P[chosen_Q], chosen_Q)
        column_PH[chosen_Q[:, None], torch.tensor(slots, device=column_PH.device)] = self._pick(
            part, inside, query_QD, item_VD, pool_GN, len(slots), generator
        )


def _band(percentages: tuple[float, ...]) -> Band:
    if len(percentages) != 2:
        raise InputError(f"A band is two percentages of the ranking, not {percentages}.")
    return Band(*percentages)
