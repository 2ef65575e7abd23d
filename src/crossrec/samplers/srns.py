"""SRNS: hard negatives that score high or whose score varies, from a memory per user.

Source: specs of RealHNS, section 4.4; Ding et al. 2020. Shapes: R training users, C items watched of each, S items of each
in the memory, T scores kept of each, P queries, H hard negatives of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives
from crossrec.samplers.hard import HardConfig, HardSampler
from crossrec.samplers.pools import Groups
from crossrec.samplers.users import TrainingUsers


@dataclass(frozen=True)
class SRNSConfig(HardConfig):
    """Settings of SRNS."""

    memory: int = 20
    """Items in every user's memory (S1, published code)."""
    candidates: int = 160
    """Items that are offered to the memory every epoch (S2, published code: 8 times the memory)."""
    watched: int = 300
    """Items per user whose scores are followed (published code: 3,000; specs: fewer, for memory)."""
    history: int = 5
    """Epochs whose scores are kept; as many epochs replace all that is watched and not in the memory (published code)."""
    weight: float = 5.0
    """Weight of a score's deviation over the epochs (alpha, published code)."""
    warm: int = 50
    """Epochs over which that weight grows from none (T0, published code)."""
    temperature: float = 10.0
    """Temperature of the draw that keeps items in the memory (tau, published code)."""


class SRNS(HardSampler):
    """Hard negatives are those of the user's memory with the largest likelihood plus deviation.

    The likelihood is sigma(r_negative - r_positive), the deviation that of its values at the starts of the latest epochs,
    taken at the user's last training event. The memory is drawn anew once per epoch by the scores, among itself and other
    items that are watched.
    """

    name = "srns"
    Config = SRNSConfig

    def check(self) -> None:
        super().check()
        self.at_least(1, "memory", "candidates", "history", "warm")
        if not self.config.hard <= self.config.memory <= self.config.watched:
            raise InputError(
                f"srns takes {self.config.hard} hard negatives from a memory of {self.config.memory} of {self.config.watched} "
                "watched items: none of these may be smaller than the one before."
            )

    def prepare(self, split: Split, domain: str, device: torch.device) -> None:
        super().prepare(split, domain, device)
        self.users = TrainingUsers(split, domain, device)
        self.watched_RC = torch.empty(0, dtype=torch.int64, device=device)
        self.likelihood_RCT = torch.empty(0, device=device)
        self.memory_RS = torch.empty(0, dtype=torch.int64, device=device)

    def begin_epoch(self, model: Model, epoch: int, generator: torch.Generator) -> None:
        super().begin_epoch(model, epoch, generator)
        config = self.config
        shape = (len(self.users), config.watched)
        if not len(self.watched_RC):
            self.watched_RC = self.uniform.own(self.users.user_R, config.watched, generator)
            self.memory_RS = torch.arange(config.memory, device=self.device).repeat(len(self.users), 1)
            self.likelihood_RCT = torch.zeros((*shape, config.history), device=self.device)
            fresh_RC = torch.ones(shape, dtype=torch.bool, device=self.device)
        else:
            turn_C = torch.arange(config.watched, device=self.device) % config.history == epoch % config.history
            fresh_RC = turn_C.expand(shape).scatter(1, self.memory_RS, False)
            others_RC = self.uniform.own(self.users.user_R, config.watched, generator)
            self.watched_RC = torch.where(fresh_RC, others_RC, self.watched_RC)
        score_RC, likelihood_RC = self._scores(model)
        self.likelihood_RCT[..., epoch % config.history] = likelihood_RC
        self.likelihood_RCT = torch.where(fresh_RC[..., None], likelihood_RC[..., None], self.likelihood_RCT)
        offered_RC = torch.rand(shape, generator=generator, device=self.device)
        offered_RC = offered_RC < config.candidates / config.watched
        offered_RC = offered_RC.scatter(1, self.memory_RS, True)
        self.memory_RS = kept(score_RC / config.temperature, offered_RC, config.memory, generator)

    def choose(self, batch: Batch, model: Model, number: int, generator: torch.Generator) -> Negatives:
        with torch.no_grad():
            groups = Groups.of(batch.user_P)
            row_G = self.users.place_U[groups.user_G]
            memory_GS = self.memory_RS[row_G]
            ids_GS = self.watched_RC[row_G].gather(1, memory_GS)
            query_PD, item_VD = model.selection_queries(batch), model.item_block(batch.domain)
            score_PS = groups.scores(query_PD[:, None], item_VD, ids_GS - self.block.start)[:, 0]
            positive_P = (query_PD * item_VD[batch.positive_P - self.block.start]).sum(1)
            past_GST = self.likelihood_RCT[row_G].gather(1, memory_GS[..., None].expand(-1, -1, self.config.history))
            weight = self.config.weight * min(self.epoch / self.config.warm, 1.0)
            deviation_PS = past_GST.std(-1, correction=0)[groups.group_P]
            best_PH = criterion(score_PS, positive_P, deviation_PS, weight).topk(number, dim=1).indices
            return Negatives(ids_GS[groups.group_P].gather(1, best_PH))

    def state(self) -> dict[str, Tensor]:
        """What is watched, its likelihoods and the memory."""
        return {"watched": self.watched_RC, "likelihood": self.likelihood_RCT, "memory": self.memory_RS}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.watched_RC, self.memory_RS = state["watched"].to(self.device), state["memory"].to(self.device)
        self.likelihood_RCT = state["likelihood"].to(self.device)

    def _scores(self, model: Model) -> tuple[Tensor, Tensor]:
        """Scores of all watched items by the state before the last training event, and their likelihoods, (R, C) each."""
        scores, likelihoods, at = [], [], 0
        with torch.no_grad():
            item_VD = model.item_block(self.users.domain)
            for batch in self.users.batches(model):
                query_BD = model.selection_queries(batch)
                column_BC = self.watched_RC[at : at + len(batch)] - self.block.start
                score_BC = Groups.of(batch.user_P).scores(query_BD[:, None], item_VD, column_BC)[:, 0]
                positive_B = (query_BD * item_VD[batch.positive_P - self.block.start]).sum(1)
                scores.append(score_BC)
                likelihoods.append(torch.sigmoid(score_BC - positive_B[:, None]))
                at += len(batch)
        return torch.cat(scores), torch.cat(likelihoods)


def criterion(score_PS: Tensor, positive_P: Tensor, deviation_PS: Tensor, weight: float) -> Tensor:
    """Likelihood of each item as a positive, plus its weighted deviation: (P, S)."""
    return torch.sigmoid(score_PS - positive_P[:, None]) + weight * deviation_PS


def kept(logit_RC: Tensor, offered_RC: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Places (R, number) of items drawn without replacement among those offered, likely as the exponential of a logit."""
    uniform_RC = torch.rand(logit_RC.shape, generator=generator, device=logit_RC.device).clamp(min=1e-20)
    gumbel_RC = logit_RC - torch.log(-torch.log(uniform_RC))
    return gumbel_RC.masked_fill(~offered_RC, -torch.inf).topk(number, dim=1).indices
